// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <cstring>
#include <new>

#include "lib/call.h"

// The condition, by the call and from the page.
//
// The host keeps one page of the program up to date, known to it by its place in the guest's memory. The
// guest's kernel may move the page at any time (compaction moves locked pages too), and what is read then is
// a copy that ages. The host makes the record anew each second at least: so one that is older than two is
// such a copy, or the machine stood still, and either way the page is registered again.
namespace cloister::guest {
namespace {

constexpr std::uint64_t kOldest = 2 * kTicksPerSecond;
constexpr int kMostTries = 1000;  // a writer that takes longer than so many reads was stopped in the middle

int read_by_call(cloister_condition* out) {
  // The host writes to it, and asks for an alignment of 8.
  alignas(8) cloister_condition record;
  std::memset(&record, 0, sizeof record);
  const Answer answer =
      call(CLOISTER_CALL_CONDITION, reinterpret_cast<std::uint64_t>(&record), sizeof record);
  if (answer.status == CLOISTER_OK) *out = record;
  return static_cast<int>(answer.status);
}

// What was read before stays before what is read after. The compiler's own fence orders writes as well, which
// costs more than all the rest here.
inline void order_reads() {
#if defined(__riscv)
  asm volatile("fence r, r" ::: "memory");
#else
  std::atomic_thread_fence(std::memory_order_acquire);
#endif
}

// One consistent copy of a record that another may be writing; false when there is none to be had.
bool copy_record(const void* page, cloister_condition* out) {
  constexpr std::size_t kWords = sizeof(cloister_condition) / 8;
  const auto* from = static_cast<const std::uint64_t*>(page);
  auto* to = reinterpret_cast<std::uint64_t*>(out);
  for (int tries = 0; tries < kMostTries; ++tries) {
    const std::uint64_t before = __atomic_load_n(from, __ATOMIC_RELAXED);
    if ((before & 1) != 0) continue;
    order_reads();
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kWords; ++i) to[i] = __atomic_load_n(from + i, __ATOMIC_RELAXED);
    order_reads();
    if (__atomic_load_n(from, __ATOMIC_RELAXED) == before) return true;
  }
  return false;
}

// Harts' clocks are one, but a record may be a moment ahead of the reader.
bool is_fresh(const cloister_condition& record) {
  return static_cast<std::int64_t>(now_in_ticks() - record.time) < static_cast<std::int64_t>(kOldest);
}

}  // namespace
}  // namespace cloister::guest

using cloister::guest::call;

struct cloister_watch {
  void* page;
  std::size_t size;
  std::atomic<std::uint32_t> registering;  // 1: a thread does; a whole word, as RISC-V swaps those
};

namespace cloister::guest {
namespace {

// A byte is written first: the page must be there, and this program's own.
int register_page(cloister_watch* watch) {
  mlock(watch->page, watch->size);  // one that may not be locked is registered more often, that is all
  __atomic_store_n(static_cast<char*>(watch->page), 0, __ATOMIC_RELAXED);
  return static_cast<int>(
      call(CLOISTER_CALL_CONDITION_PAGE, reinterpret_cast<std::uint64_t>(watch->page)).status);
}

int map_page(cloister_watch* watch) {
  watch->size = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  watch->page =
      mmap(nullptr, watch->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (watch->page == MAP_FAILED) return CLOISTER_SYSTEM;
  // A child begins with zeros, which are old, and registers a page of its own.
  madvise(watch->page, watch->size, MADV_WIPEONFORK);
  return CLOISTER_OK;
}

}  // namespace
}  // namespace cloister::guest

extern "C" {

int cloister_discover(uint32_t* version, uint64_t* features) {
  const auto answer = call(CLOISTER_CALL_DISCOVER);
  if (answer.status != CLOISTER_OK) return static_cast<int>(answer.status);
  if (version != nullptr) *version = static_cast<uint32_t>(answer.values[0]);
  if (features != nullptr) *features = answer.values[1];
  return CLOISTER_OK;
}

int cloister_condition_read(cloister_condition* out) { return cloister::guest::read_by_call(out); }

int cloister_watch_open(cloister_watch** out) {
  *out = nullptr;
  if (!cloister::guest::is_here()) return CLOISTER_NOT_HERE;
  void* memory = std::malloc(sizeof(cloister_watch));
  if (memory == nullptr) return CLOISTER_SYSTEM;
  auto* watch = new (memory) cloister_watch{};
  int status = cloister::guest::map_page(watch);
  if (status == CLOISTER_OK) {
    status = cloister::guest::register_page(watch);
    if (status != CLOISTER_OK) munmap(watch->page, watch->size);
  }
  if (status == CLOISTER_OK) {
    *out = watch;
  } else {
    const int why = errno;
    std::free(memory);
    errno = why;
  }
  return status;
}

int cloister_watch_read(cloister_watch* watch, cloister_condition* out) {
  using namespace cloister::guest;
  if (copy_record(watch->page, out) && is_fresh(*out)) return CLOISTER_OK;
  // One thread registers; what all are told meanwhile comes by the call, which is never old.
  if (watch->registering.exchange(1, std::memory_order_acquire) == 0) {
    register_page(watch);
    watch->registering.store(0, std::memory_order_release);
  }
  return read_by_call(out);
}

void cloister_watch_close(cloister_watch* watch) {
  if (watch == nullptr) return;
  munmap(watch->page, watch->size);
  std::free(watch);
}

const char* cloister_status_text(int status) {
  switch (status) {
    case CLOISTER_OK:
      return "done";
    case CLOISTER_NO_FUNCTION:
      return "this host does not know the function";
    case CLOISTER_BAD_ARGUMENT:
      return "an argument is not aligned, too small or too large";
    case CLOISTER_NOT_YOURS:
      return "the program may not write there";
    case CLOISTER_NOT_VALUE:
      return "the page does not hold the balloon value";
    case CLOISTER_BUSY:
      return "the page is in use: try again later";
    case CLOISTER_OFF:
      return "this is switched off for the machine";
    case CLOISTER_NOT_HERE:
      return "not here: no Cloister machine, or one without this part";
    case CLOISTER_SYSTEM:
      return "the guest's kernel refused";
    case CLOISTER_NOTHING:
      return "nothing new";
    case CLOISTER_NO_ROOM:
      return "the program may not have more memory";
    default:
      return "a status that this library does not know";
  }
}
}
