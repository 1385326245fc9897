// SPDX-License-Identifier: Apache-2.0
// What it costs to take a guest's memory and to give it back. One line a figure: name, value, unit, and,
// where there is one, the same by the host's own means.
//   ninja reclaim_bench && bin/reclaim_bench [FOLDER-FOR-SWAP]
//
// Rates of one core are by CPU time, latencies are medians, rates of disks are by the clock and the best of
// three.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/os/clock.h"
#include "base/os/file.h"
#include "base/os/mem_file.h"
#include "base/random.h"
#include "memory/codec.h"
#include "memory/guest_memory.h"
#include "memory/page_copy.h"
#include "memory/reclaimer.h"

namespace cloister::memory {
namespace {

constexpr GuestPhys kBase{0x8000'0000};
constexpr u64 kPages = 32768;  // 128 MiB
constexpr double kMiBOfPages = kPages * kPageSize / 1048576.0;

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point begun) {
  return std::chrono::duration<double>(Clock::now() - begun).count();
}

Gpn nth(u64 n) { return {kBase.page() + n}; }
std::vector<Gpn> all_pages() {
  std::vector<Gpn> pages;
  for (u64 i = 0; i < kPages; ++i) pages.push_back(nth(i));
  return pages;
}

void print(const char* name, double value, const char* unit, std::optional<double> peer = {}) {
  std::printf("%s %.4g %s", name, value, unit);
  if (peer) std::printf(" %.4g", *peer);
  std::printf("\n");
  std::fflush(stdout);
}

// A hart that runs on the bench's thread and remembers nothing.
class Hart : public TlbHolder {
 public:
  explicit Hart(GuestMemory& memory) : memory_(memory), id_(memory.attach(*this)) { memory.enter(id_); }
  ~Hart() override {
    memory_.leave(id_);
    memory_.detach(id_);
  }
  void ask_for_safe_point() override {}
  void forget(const PageSet&) override {}
  void touch(u64 page, Access access) {
    std::byte* host = memory_.frame(id_, nth(page), access)->host;
    if (access == Access::kWrite) *host = std::byte{1};
  }

 private:
  GuestMemory& memory_;
  const GuestMemory::HolderId id_;
};

// What fills a guest's memory: words of text, tables of small numbers and pointers, and code-like bytes.
void make_page(u64 seed, std::span<std::byte, kPageSize> page) {
  Random random(seed);
  const u64 kind = random.below(3);
  if (kind == 0) {
    static const char* const kWords[] = {"the ",  "memory ", "of ",    "guest ",  "is ", "frame ",
                                         "and ",  "shared ", "return", "static ", "int", "struct ",
                                         "page;", "\n  ",    "0x1",    "->next"};
    for (std::size_t at = 0; at < kPageSize;) {
      const char* word = kWords[random.below(16)];
      const std::size_t size = std::min(std::strlen(word), kPageSize - at);
      std::memcpy(page.data() + at, word, size);
      at += size;
    }
    return;
  }
  for (std::size_t at = 0; at < kPageSize; at += 8) {
    const u64 pointer = 0xffff'ffd8'0000'0000 | (random.below(4096) << 6);
    const u64 small = random.below(kind == 1 ? 64 : 65536);
    const u64 word = random.one_in(kind == 1 ? 4 : 2) ? pointer : small;
    std::memcpy(page.data() + at, &word, 8);
  }
}

void fill(GuestMemory& memory) {
  PageCopy page;
  for (u64 i = 0; i < kPages; ++i) {
    make_page(i, page.bytes);
    memory.write(nth(i).address(), page.bytes);
  }
}

// Frames: all of the pages packed would be more than the store takes.
constexpr u64 kEvicted = kPages / 4;

// As an order does it, of pages that look idle.
double reclaim_rate(GuestMemory& memory, Ways ways) {
  Reclaimer reclaimer(memory, 1);
  reclaimer.age({kPages});
  const u64 before = memory.usage().in(PageState::kPrivate).raw;
  const std::clock_t begun = std::clock();
  (void)reclaimer.reclaim({{kEvicted}, ways, os::monotonic_now() + Nanos{60'000'000'000}});
  const double seconds = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  return static_cast<double>((before - memory.usage().in(PageState::kPrivate).raw) * kPageSize) / kMiB /
         seconds;
}

double median(std::vector<double>& values) {
  std::nth_element(values.begin(), values.begin() + static_cast<i64>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

double packed_per_frame(const GuestMemory& memory) {
  const auto usage = memory.usage();
  return static_cast<double>(usage.in(PageState::kCompressed).raw) / static_cast<double>(usage.store.raw);
}

// The median time in microseconds of a hart's first touch of up to 8,000 pages in `state`, in random order.
double touch_time(GuestMemory& memory, PageState state) {
  Hart hart(memory);
  PageWalk walk(kPages, 3);
  std::vector<double> times;
  for (u64 i = 0; i < kPages && times.size() < 8000; ++i) {
    const u64 page = walk.next();
    if (memory.state(nth(page)) != state) continue;
    const auto begun = Clock::now();
    hart.touch(page, Access::kRead);
    times.push_back(seconds_since(begun) * 1e6);
  }
  return median(times);
}

// The codec alone on the same pages.
double codec_rate() {
  PageCopy page;
  std::array<std::byte, kMostPacked> packed;
  std::clock_t spent = 0;
  for (u64 i = 0; i < 4096; ++i) {
    make_page(i, page.bytes);
    const std::clock_t begun = std::clock();
    pack(Codec::kLz4, page.bytes, packed);
    spent += std::clock() - begun;
  }
  return 4096 * kPageSize / 1048576.0 / (static_cast<double>(spent) / CLOCKS_PER_SEC);
}

void bench_compression() {
  double rate = 0, zeros = 0, page_in = 1e9, ratio = 0, codec = 0;
  for (int round = 0; round < 3; ++round) {
    codec = std::max(codec, codec_rate());
    const auto memory = GuestMemory::create(kBase, {kPages * kPageSize}).take();
    fill(*memory);
    rate = std::max(rate, reclaim_rate(*memory, Ways().with(Way::kZero).with(Way::kCompress)));
    ratio = packed_per_frame(*memory);
    page_in = std::min(page_in, touch_time(*memory, PageState::kCompressed));
    memory->discard(all_pages());
    const std::vector<std::byte> nothing(kPages * kPageSize);
    memory->write(kBase, nothing);
    zeros = std::max(zeros, reclaim_rate(*memory, Ways().with(Way::kZero)));
  }
  print("compress", rate, "MiB/s", codec);
  print("compress-ratio", ratio, "pages-per-frame");
  print("zeros", zeros, "MiB/s");
  print("page-in-compressed", page_in, "us");
}

void bench_condense() {
  const auto memory = GuestMemory::create(kBase, {kPages * kPageSize}).take();
  fill(*memory);
  reclaim_rate(*memory, Ways().with(Way::kCompress));
  const std::clock_t begun = std::clock();
  const auto [tried, freed] = memory->condense({kPages});
  const double seconds = static_cast<double>(std::clock() - begun) / CLOCKS_PER_SEC;
  print("condense", static_cast<double>(tried.raw * kPageSize) / 1048576.0 / seconds, "MiB/s");
  print("condense-ratio", packed_per_frame(*memory), "pages-per-frame");
  print("page-in-condensed", touch_time(*memory, PageState::kCompressed), "us");
}

// The host's own rate with the same sizes and as many writes under way.
double raw_write_rate(const std::string& folder) {
  auto file = os::File::unnamed(folder).take();
  file.reserve(0, {kPages * kPageSize}).take();
  (void)file.bypass_cache().ok();
  const auto copies = std::make_unique<std::array<PageCopy, 64>>();
  const auto begun = Clock::now();
  std::atomic<u64> next{0};
  std::vector<std::thread> writers;
  for (int i = 0; i < 6; ++i) {
    writers.emplace_back([&] {
      for (u64 at = next.fetch_add(64); at < kPages; at = next.fetch_add(64))
        file.write_at(at * kPageSize, std::as_bytes(std::span(*copies))).take();
    });
  }
  for (std::thread& writer : writers) writer.join();
  return kMiBOfPages / seconds_since(begun);
}

double raw_read_time(const std::string& folder) {
  auto file = os::File::unnamed(folder).take();
  file.reserve(0, {kPages * kPageSize}).take();
  (void)file.bypass_cache().ok();
  const auto copies = std::make_unique<std::array<PageCopy, 64>>();
  for (u64 at = 0; at < kPages; at += 64)
    file.write_at(at * kPageSize, std::as_bytes(std::span(*copies))).take();
  PageWalk walk(kPages, 3);
  std::vector<double> times;
  for (int i = 0; i < 2000; ++i) {
    const auto begun = Clock::now();
    file.read_at(walk.next() * kPageSize, std::as_writable_bytes(std::span(*copies)).first(kPageSize)).take();
    times.push_back(seconds_since(begun) * 1e6);
  }
  return median(times);
}

void bench_swap(const std::string& folder) {
  double out = 0, raw = 0, page_in = 1e9, raw_in = 1e9;
  for (int round = 0; round < 3; ++round) {
    const auto swap = SwapFile::create(folder, {kPages * kPageSize}).take();
    const auto memory = GuestMemory::create(kBase, {kPages * kPageSize}).take();
    memory->set_swap(*swap);
    fill(*memory);
    const std::vector<Gpn> pages = all_pages();
    raw = std::max(raw, raw_write_rate(folder));
    SwapOut writer(*memory);
    const auto begun = Clock::now();
    writer.submit(pages);
    const u64 freed = writer.drain().freed.raw;
    out = std::max(out, static_cast<double>(freed * kPageSize) / 1048576.0 / seconds_since(begun));
    raw_in = std::min(raw_in, raw_read_time(folder));
    page_in = std::min(page_in, touch_time(*memory, PageState::kSwapped));
  }
  print("swap-out", out, "MiB/s", raw);
  print("swap-out-share", out / raw, "of-the-disk");
  print("page-in-swapped", page_in, "us", raw_in);
}

// A pool that is never empty, asked as the ledger is: under a lock.
class Pool : public FrameSource {
 public:
  Pages take(Pages most) override { return ++asked, most; }
  Pages try_take(Pages most) override { return ++asked, most; }
  void give_back(Pages) override {}
  std::atomic<u64> asked{0};
};

// The rate at which two threads write each page of the memory once: `touch(thread)` gives what a thread does.
template <typename Begin>
double growth_rate(Begin begin) {
  const auto begun = Clock::now();
  std::thread threads[2];
  for (u64 i = 0; i < 2; ++i) {
    threads[i] = std::thread([&, i] {
      auto touch = begin();
      for (u64 page = i * kPages / 2; page < (i + 1) * kPages / 2; ++page) touch(page);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return kMiBOfPages / 1024 / seconds_since(begun);
}

// The peer is a bare memory file: the host's page faults alone.
void bench_growth() {
  double best = 0, bare = 0;
  for (int round = 0; round < 5; ++round) {
    Pool pool;
    const auto memory = GuestMemory::create(kBase, {kPages * kPageSize}).take();
    memory->set_frame_source(pool);
    best = std::max(best, growth_rate([&] {
                      return [hart = std::make_unique<Hart>(*memory)](u64 page) {
                        hart->touch(page, Access::kWrite);
                      };
                    }));
    const auto file = os::MemFile::create("bare", {kPages * kPageSize}).take();
    const auto mapping = file.map(os::Protection::kReadWrite).take();
    bare = std::max(bare, growth_rate([&] {
                      return [&](u64 page) { mapping.data()[page * kPageSize] = std::byte{1}; };
                    }));
  }
  print("growth", best, "GiB/s", bare);
}

}  // namespace
}  // namespace cloister::memory

int main(int argc, char** argv) {
  using namespace cloister::memory;
  const char* folder = argc > 1 ? argv[1] : "/var/tmp";
  if (!std::filesystem::is_directory(folder)) {
    std::fprintf(stderr, "reclaim_bench: '%s' is no folder; name one where the swap file may lie\n", folder);
    return 2;
  }
  bench_compression();
  bench_condense();
  bench_swap(folder);
  bench_growth();
}
