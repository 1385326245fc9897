// SPDX-License-Identifier: Apache-2.0
// Cloister's calls as a hostile or careless program makes them.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../../src/base/guest_abi.h"
#include "probe.h"

namespace cloister::probe {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kPiece = CLOISTER_GIVE_MOST * kPage;

struct Answer {
  std::uint64_t status, results[4];
};

Answer call([[maybe_unused]] std::uint64_t function, [[maybe_unused]] std::uint64_t first = 0,
            [[maybe_unused]] std::uint64_t second = 0) {
#if defined(__riscv)
  register std::uint64_t a0 asm("a0") = first;
  register std::uint64_t a1 asm("a1") = second;
  register std::uint64_t a2 asm("a2") = 0;
  register std::uint64_t a3 asm("a3") = 0;
  register std::uint64_t a4 asm("a4") = 0;
  register std::uint64_t a7 asm("a7") = function;
  asm volatile(".4byte 0x0000000b" : "+r"(a0), "+r"(a1), "+r"(a2), "+r"(a3), "+r"(a4) : "r"(a7) : "memory");
  return {a0, {a1, a2, a3, a4}};
#else
  return {CLOISTER_NO_FUNCTION, {}};
#endif
}

std::uint64_t address(const void* place) { return reinterpret_cast<std::uint64_t>(place); }
Answer give(const void* place, std::uint64_t pages) {
  return call(CLOISTER_CALL_BALLOON_GIVE, address(place), pages);
}
Answer fill(const void* place, std::uint64_t pages) {
  return call(CLOISTER_CALL_BALLOON_FILL, address(place), pages);
}

char* pages(std::uint64_t bytes, int protection = PROT_READ | PROT_WRITE) {
  void* place = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return place == MAP_FAILED ? nullptr : static_cast<char*>(place);
}

std::uint64_t ticks() {
  std::uint64_t now = 0;
#if defined(__riscv)
  asm volatile("rdtime %0" : "=r"(now));
#endif
  return now;
}

void write_mark(char* page, const Answer& mark) { std::memcpy(page, mark.results, sizeof mark.results); }

bool failed = false;
void expect(const char* what, std::uint64_t found, std::uint64_t wanted) {
  if (found == wanted) return;
  failed = true;
  std::printf("FAILED %s: %llu instead of %llu\n", what, static_cast<unsigned long long>(found),
              static_cast<unsigned long long>(wanted));
}

using Giving = Answer(const void* place, std::uint64_t pages);

// One page that is refused, and why.
void expect_refused(const char* what, const void* place, std::uint64_t why, Giving* by = give) {
  const Answer answer = by(place, 1);
  expect(what, answer.status, CLOISTER_OK);
  expect(what, answer.results[0], 0);
  expect(what, answer.results[2], why);
}

void expect_given(const char* what, const void* place, std::uint64_t count, Giving* by = give) {
  const Answer answer = by(place, count);
  expect(what, answer.status, CLOISTER_OK);
  expect(what, answer.results[0], count);
}

// Runs `part` in a child, which has all memory of this program until one of them writes.
template <typename Part>
void in_a_child(Part part) {
  if (const pid_t child = fork(); child == 0) {
    part();
    std::fflush(stdout);
    _exit(failed ? 1 : 0);
  } else {
    int status = 1;
    waitpid(child, &status, 0);
    if (status != 0) failed = true;
  }
}

std::uint64_t differs(const char* page, const Answer& mark) {
  return static_cast<std::uint64_t>(std::memcmp(page, mark.results, sizeof mark.results));
}

// The host writes the value for its caller: where the caller could, and nowhere else.
void expect_fillings(const Answer& mark) {
  char* own = pages(4 * kPage);
  for (int i = 0; i < 4; ++i) own[i * kPage] = 7;
  expect_refused("filling the kernel's", reinterpret_cast<void*>(0xffffffff80000000), CLOISTER_NOT_YOURS,
                 fill);
  expect_refused("filling what was never touched", pages(kPage), CLOISTER_NOT_YOURS, fill);
  mprotect(own, kPage, PROT_READ);
  expect_refused("filling what is read-only", own, CLOISTER_NOT_YOURS, fill);
  expect("it was not filled", static_cast<std::uint64_t>(own[0]), 7);
  in_a_child([&] { expect_refused("filling what a child shares", own + kPage, CLOISTER_NOT_YOURS, fill); });
  expect("the parent's was not filled", static_cast<std::uint64_t>(own[kPage]), 7);
  own[2 * kPage] = own[3 * kPage] = 8;  // its own again
  expect_given("filling one's own", own + 2 * kPage, 2, fill);
  expect("it holds the value", differs(own + 2 * kPage, mark) + differs(own + 3 * kPage, mark), 0);
  own[3 * kPage + 100] = 7;
  expect("it takes a write after it was filled", static_cast<std::uint64_t>(own[3 * kPage + 100]), 7);
  expect_given("filling it again", own + 3 * kPage, 1, fill);
  expect("and nothing is left", static_cast<std::uint64_t>(own[3 * kPage + 100]), 0);
}

}  // namespace

int balloon_refusals() {
  const Answer mark = call(CLOISTER_CALL_BALLOON_MARK);
  expect("mark", mark.status, CLOISTER_OK);
  char* own = pages(8 * kPage);
  for (int i = 0; i < 8; ++i) write_mark(own + i * kPage, mark);
  expect_refused("nothing mapped there", reinterpret_cast<void*>(0x10000), CLOISTER_NOT_YOURS);
  expect_refused("the kernel's", reinterpret_cast<void*>(0xffffffff80000000), CLOISTER_NOT_YOURS);
  expect_refused("never touched", pages(kPage), CLOISTER_NOT_YOURS);
  expect_refused("not to be touched", pages(kPage, PROT_NONE), CLOISTER_NOT_YOURS);
  mprotect(own + kPage, kPage, PROT_READ);
  expect_refused("read-only", own + kPage, CLOISTER_NOT_YOURS);
  own[2 * kPage + 4095] = 1;
  expect_refused("a forged value", own + 2 * kPage, CLOISTER_NOT_VALUE);
  own[3 * kPage] = static_cast<char>(own[3 * kPage] + 1);
  expect_refused("a page that was changed before the call", own + 3 * kPage, CLOISTER_NOT_VALUE);
  expect("misaligned", give(own + 8, 1).status, CLOISTER_BAD_ARGUMENT);
  expect("too many", give(own, CLOISTER_GIVE_MOST + 1).status, CLOISTER_BAD_ARGUMENT);
  expect("none", give(own, 0).status, CLOISTER_BAD_ARGUMENT);
  expect("no such function", call(99).status, CLOISTER_NO_FUNCTION);
  expect_given("one's own", own + 4 * kPage, 4);
  expect("it reads as it was", differs(own + 4 * kPage, mark), 0);
  own[5 * kPage + 100] = 7;
  expect("it takes a write", static_cast<std::uint64_t>(own[5 * kPage + 100]), 7);
  expect_refused("a page that was written after it was given", own + 5 * kPage, CLOISTER_NOT_VALUE);
  in_a_child([&] {
    write_mark(own + 6 * kPage, mark);
    expect_given("a child's copy", own + 6 * kPage, 1);
    own[7 * kPage] = 1;
  });
  expect("the parent's is as it was", differs(own + 7 * kPage, mark), 0);
  expect_fillings(mark);
  std::printf(failed ? "refusals: failed\n" : "refusals: as they should be\n");
  return failed ? 1 : 0;
}

namespace {

constexpr std::uint64_t kHuge = 2 << 20;

bool reads_as(const char* page, const Answer& mark) {
  return std::memcmp(page, mark.results, sizeof mark.results) == 0;
}

// How much of the mapping that begins there the kernel has in huge pages.
std::uint64_t huge_bytes_of(const char* begin) {
  std::FILE* file = std::fopen("/proc/self/smaps", "r");
  char line[256];
  bool here = false;
  unsigned long long first = 0, last = 0, kib = 0, sum = 0;
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr) {
    if (std::sscanf(line, "%llx-%llx ", &first, &last) == 2)
      here = first <= address(begin) && address(begin) < last;
    if (here && std::sscanf(line, "AnonHugePages: %llu kB", &kib) == 1) sum = kib << 10;
  }
  if (file != nullptr) std::fclose(file);
  return sum;
}

// Two neighbours that are one huge page each, filled with the value. A kernel without a block in one piece
// uses small pages: the next try may find one.
char* two_huge_pages(const Answer& mark) {
  char* own = nullptr;
  for (int tries = 0; tries < 20; ++tries) {
    own = pages(3 * kHuge);
    own += (kHuge - address(own) % kHuge) % kHuge;
    madvise(own, 2 * kHuge, MADV_HUGEPAGE);
    for (std::uint64_t at = 0; at < 2 * kHuge; at += kPage) write_mark(own + at, mark);
    if (huge_bytes_of(own) == 2 * kHuge) break;
  }
  return own;
}

// Pages that were given as one huge page, of which each second is then let go or made read-only: the kernel
// splits it, and what remains is as it was.
void split_a_huge_page(const Answer& mark) {
  char* own = two_huge_pages(mark);
  expect("they are huge", huge_bytes_of(own), 2 * kHuge);
  expect_given("a huge page", own, kHuge / kPage);
  expect_given("another", own + kHuge, kHuge / kPage);
  expect("they are huge when they were given", huge_bytes_of(own), 2 * kHuge);
  for (std::uint64_t at = 0; at < kHuge; at += 2 * kPage) madvise(own + at, kPage, MADV_DONTNEED);
  for (std::uint64_t at = kHuge; at < 2 * kHuge; at += 2 * kPage) mprotect(own + at, kPage, PROT_READ);
  expect("no longer", huge_bytes_of(own), 0);
  for (std::uint64_t at = 0; at < kHuge; at += 2 * kPage) {
    expect("what was let go reads as zero", static_cast<std::uint64_t>(own[at]), 0);
    expect("its neighbour holds", reads_as(own + at + kPage, mark), true);
    expect("what may only be read holds", reads_as(own + kHuge + at, mark), true);
    expect("and its neighbour", reads_as(own + kHuge + at + kPage, mark), true);
  }
  own[kPage + 8] = 1;
  expect("a written piece is the program's", reads_as(own + kPage, mark), false);
  expect("and no other", reads_as(own + 3 * kPage, mark), true);
  expect_given("a piece of it again", own + 3 * kPage, 1);
  expect_refused("a piece that may only be read", own + kHuge, CLOISTER_NOT_YOURS);
}

// A child has the same pages until one of them writes: what it may not write it cannot give, and what it
// writes is its own.
void share_with_a_child(const Answer& mark) {
  char* own = pages(4 * kPage);
  for (int i = 0; i < 3; ++i) write_mark(own + i * kPage, mark);
  expect_given("before the child is made", own, 2);
  if (const pid_t child = fork(); child == 0) {
    expect("the child reads what was given", reads_as(own, mark), true);
    expect_refused("what is still shared", own + 2 * kPage, CLOISTER_NOT_YOURS);
    own[0] = 1;
    expect("the child's write is its own", static_cast<std::uint64_t>(own[0]), 1);
    std::fflush(stdout);
    _exit(failed ? 1 : 0);
  } else {
    int status = 1;
    waitpid(child, &status, 0);
    if (status != 0) failed = true;
  }
  expect("the parent's holds beside it", reads_as(own, mark), true);
  write_mark(own + 2 * kPage, mark);
  expect_given("what is the parent's alone again", own + 2 * kPage, 1);
}

}  // namespace

int balloon_shapes() {
  const Answer mark = call(CLOISTER_CALL_BALLOON_MARK);
  expect("mark", mark.status, CLOISTER_OK);
  split_a_huge_page(mark);
  share_with_a_child(mark);
  std::printf(failed ? "shapes: failed\n" : "shapes: as they should be\n");
  return failed ? 1 : 0;
}

namespace {

// Whether pages, each `step`th of so many bytes, hold the value to their last byte.
void tell_what_holds(const char* own, std::uint64_t bytes, std::uint64_t step, const Answer& mark) {
  std::array<char, kPage> value{};
  write_mark(value.data(), mark);
  std::uint64_t right = 0, wrong = 0;
  for (std::uint64_t at = 0; at < bytes; at += step * kPage)
    ++(std::memcmp(own + at, value.data(), kPage) == 0 ? right : wrong);
  std::printf("%llu pages hold, %llu are wrong\n", static_cast<unsigned long long>(right),
              static_cast<unsigned long long>(wrong));
  std::fflush(stdout);
}

// SIGUSR1 is something to wait for, and not the program's end.
sigset_t block_questions() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  return set;
}

}  // namespace

int balloon_hold(unsigned long long mib, Hold how) {
  const sigset_t questions = block_questions();
  const Answer mark = call(CLOISTER_CALL_BALLOON_MARK);
  char* own = pages(mib << 20);
  if (mark.status != CLOISTER_OK || own == nullptr) return 1;
  madvise(own, mib << 20, MADV_DONTFORK);
  if (how == Hold::kScattered) madvise(own, mib << 20, MADV_NOHUGEPAGE);
  std::uint64_t given = 0, writing = 0, giving = 0;
  for (std::uint64_t at = 0; at < mib << 20; at += kPiece) {
    const std::uint64_t piece = (mib << 20) - at < kPiece ? (mib << 20) - at : kPiece;
    const std::uint64_t begin = ticks();
    for (std::uint64_t page = 0; page < piece; page += kPage) write_mark(own + at + page, mark);
    const std::uint64_t middle = ticks();
    given += how == Hold::kUnnamed ? piece / kPage : give(own + at, piece / kPage).results[0];
    writing += middle - begin;
    giving += ticks() - middle;
  }
  const std::uint64_t step = how == Hold::kScattered ? 2 : 1;
  for (std::uint64_t at = kPage; step == 2 && at < mib << 20; at += 2 * kPage)
    madvise(own + at, kPage, MADV_DONTNEED);
  std::printf("holds %llu pages: written in %llu us, given in %llu us\n",
              static_cast<unsigned long long>(given), static_cast<unsigned long long>(writing / 10),
              static_cast<unsigned long long>(giving / 10));
  std::fflush(stdout);
  for (int number = 0; sigwait(&questions, &number) == 0;) tell_what_holds(own, mib << 20, step, mark);
  return 1;
}

// No two pages are alike, nor those of two runs, or the host would share them.
int touch(unsigned long long mib, unsigned long long mib_a_second) {
  const std::uint64_t bytes = mib << 20, words = kPage / sizeof(std::uint64_t);
  auto* own = reinterpret_cast<std::uint64_t*>(pages(bytes));
  if (own == nullptr) return 1;
  const std::uint64_t run = static_cast<std::uint64_t>(getpid()) << 40 ^ address(own) << 8;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t page = 0; page < bytes / kPage; ++page) {
    own[page * words] = run + page;
    if (mib_a_second == 0) continue;
    const std::chrono::nanoseconds earliest(page * kPage * 1'000'000'000 / (mib_a_second << 20));
    while (std::chrono::steady_clock::now() < begin + earliest) {
    }
  }
  for (std::uint64_t page = 0; page < bytes / kPage; ++page) {
    if (own[page * words] != run + page) return 1;
  }
  std::printf("touched %llu MiB\n", mib);
  return 0;
}

namespace {

// One look at the live record, as docs/guest-abi.md says it is read.
std::uint64_t read_level(const char* page) {
  const auto* live = reinterpret_cast<const cloister_condition*>(page);
  for (;;) {
    const std::uint64_t before = __atomic_load_n(&live->sequence, __ATOMIC_ACQUIRE);
    const std::uint32_t level = __atomic_load_n(&live->level, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    if (before % 2 == 0 && __atomic_load_n(&live->sequence, __ATOMIC_RELAXED) == before) return level;
  }
}

}  // namespace

int condition_cost(unsigned long long times) {
  char* page = pages(kPage);
  page[0] = 1;
  if (call(CLOISTER_CALL_CONDITION_PAGE, address(page)).status != CLOISTER_OK) return 1;
  std::uint64_t sum = 0;
  const std::uint64_t start = ticks();
  for (std::uint64_t i = 0; i < times; ++i) sum += read_level(page);
  const std::uint64_t middle = ticks();
  cloister_condition record{};
  for (std::uint64_t i = 0; i < times / 100; ++i)
    sum += call(CLOISTER_CALL_CONDITION, address(&record), sizeof record).status;
  const std::uint64_t end = ticks();
  std::printf("condition cost: page %.1f ns, call %.1f ns (%llu)\n",
              static_cast<double>(middle - start) * 100 / static_cast<double>(times),
              static_cast<double>(end - middle) * 10'000 / static_cast<double>(times),
              static_cast<unsigned long long>(sum));
  return 0;
}

int condition_wait(unsigned long long changes) {
  const int talk = vsock_to_host(CLOISTER_PORT_CONDITION);
  if (talk < 0) return 1;
  struct {
    cloister_record head;
    cloister_condition record;
  } told{};
  static_assert(sizeof told == sizeof(cloister_record) + sizeof(cloister_condition));
  for (unsigned long long i = 0; i <= changes; ++i) {
    for (std::size_t have = 0; have < sizeof told;) {
      const ssize_t got = read(talk, reinterpret_cast<char*>(&told) + have, sizeof told - have);
      if (got <= 0) return 1;
      have += static_cast<std::size_t>(got);
    }
    const std::uint64_t late = ticks() - told.record.time;
    if (i == 0) std::printf("waiting\n");
    if (i != 0)
      std::printf("told level %u after %llu us\n", told.record.level,
                  static_cast<unsigned long long>(late / 10));
    std::fflush(stdout);
  }
  return 0;
}

int show_condition() {
  cloister_condition called{};
  const Answer answer = call(CLOISTER_CALL_CONDITION, address(&called), sizeof called);
  char* page = pages(kPage);
  page[0] = 1;
  const Answer shown = call(CLOISTER_CALL_CONDITION_PAGE, address(page));
  const auto* live = reinterpret_cast<const volatile cloister_condition*>(page);
  std::printf("condition %llu %llu level %u %u configured %llu held %llu balloon %llu target %llu\n",
              static_cast<unsigned long long>(answer.status), static_cast<unsigned long long>(shown.status),
              called.level, live->level, static_cast<unsigned long long>(live->configured),
              static_cast<unsigned long long>(live->held), static_cast<unsigned long long>(live->balloon),
              static_cast<unsigned long long>(live->target));
  return answer.status == CLOISTER_OK && shown.status == CLOISTER_OK ? 0 : 1;
}

}  // namespace cloister::probe
