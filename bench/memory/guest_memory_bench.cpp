// SPDX-License-Identifier: Apache-2.0
// What guest memory costs: first touches, accesses of devices, shootdowns, giving back.
//   ninja guest_memory_bench && bin/guest_memory_bench
#include <benchmark/benchmark.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "memory/guest_memory.h"

namespace cloister::memory {
namespace {

constexpr GuestPhys kBase{0x8000'0000};

Gpn nth(u64 n) { return {kBase.page() + n}; }

std::unique_ptr<GuestMemory> make(Bytes size) { return GuestMemory::create(kBase, size).take(); }

std::vector<Gpn> all_pages(const GuestMemory& memory) {
  std::vector<Gpn> pages(memory.size().raw / kPageSize);
  for (u64 i = 0; i < pages.size(); ++i) pages[i] = nth(i);
  return pages;
}

// A hart with nothing cached; run by the benchmark's own thread.
class Hart : public TlbHolder {
 public:
  explicit Hart(GuestMemory& memory) : memory_(memory), id(memory.attach(*this)) {}
  ~Hart() override { memory_.detach(id); }
  void ask_for_safe_point() override { asked.store(true, std::memory_order_relaxed); }
  void forget(const PageSet&) override {}

 private:
  GuestMemory& memory_;

 public:
  const GuestMemory::HolderId id;
  std::atomic<bool> asked{false};
};

// The write of the first byte is the host's page fault; the rest is ours.
void first_touch(benchmark::State& state, bool store) {
  const auto memory = make({64 * kMiB});
  const std::vector<Gpn> pages = all_pages(*memory);
  Hart hart(*memory);
  for (auto _ : state) {
    memory->enter(hart.id);
    for (const Gpn page : pages) {
      const Frame frame = *memory->frame(hart.id, page, Access::kWrite);
      if (store) *frame.host = std::byte{1};
      benchmark::DoNotOptimize(frame);
    }
    memory->leave(hart.id);
    state.PauseTiming();
    memory->discard(pages);
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<i64>(pages.size()));
}
BENCHMARK_CAPTURE(first_touch, frame_only, false);
BENCHMARK_CAPTURE(first_touch, with_host_fault, true);

// The limit: the same writes to a bare memory file, with and without the host's huge pages.
void bare_first_touch(benchmark::State& state, bool huge) {
  auto file = os::MemFile::create("bench", {64 * kMiB}).take();
  auto mapping = file.map(os::Protection::kReadWrite).take();
  mapping.allow_huge_pages(huge);
  for (auto _ : state) {
    for (u64 at = 0; at < file.size().raw; at += kPageSize) mapping.data()[at] = std::byte{1};
    state.PauseTiming();
    (void)file.punch_hole(0, file.size()).ok();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * static_cast<i64>(file.size().raw / kPageSize));
}
BENCHMARK_CAPTURE(bare_first_touch, small_pages, false);
BENCHMARK_CAPTURE(bare_first_touch, huge_pages_allowed, true);

void frame_of_touched_page(benchmark::State& state) {
  const auto memory = make({kMiB});
  Hart hart(*memory);
  memory->enter(hart.id);
  for (auto _ : state) benchmark::DoNotOptimize(memory->frame(hart.id, nth(1), Access::kWrite));
  memory->leave(hart.id);
}
BENCHMARK(frame_of_touched_page);

void ring_load(benchmark::State& state) {
  const auto memory = make({kMiB});
  memory->store<u16>(kBase + 2, 1);
  for (auto _ : state) benchmark::DoNotOptimize(memory->load<u16>(kBase + 2));
}
BENCHMARK(ring_load);

void ring_store(benchmark::State& state) {
  const auto memory = make({kMiB});
  for (auto _ : state) benchmark::DoNotOptimize(memory->store<u16>(kBase + 2, 1));
}
BENCHMARK(ring_store);

void read_bytes(benchmark::State& state) {
  const auto memory = make({16 * kMiB});
  std::vector<std::byte> buffer(static_cast<std::size_t>(state.range(0)), std::byte{1});
  memory->write(kBase, buffer);
  for (auto _ : state) benchmark::DoNotOptimize(memory->read(kBase, buffer));
  state.SetBytesProcessed(state.iterations() * state.range(0));
}
BENCHMARK(read_bytes)->Arg(16)->Arg(4096)->Arg(1 << 20);

void leave_and_enter(benchmark::State& state) {
  const auto memory = make({kMiB});
  Hart hart(*memory);
  memory->enter(hart.id);
  for (auto _ : state) {
    memory->leave(hart.id);
    memory->enter(hart.id);
  }
  memory->leave(hart.id);
}
BENCHMARK(leave_and_enter);

// The pages are private and held, so each take_touched() is one shootdown of 64 pages to `harts` harts.
void shoot(benchmark::State& state, GuestMemory& memory, Hart& toucher) {
  std::vector<Gpn> pages;
  for (u64 i = 0; i < 64; ++i) pages.push_back(nth(i));
  for (auto _ : state) {
    memory.enter(toucher.id);
    for (const Gpn page : pages) memory.frame(toucher.id, page, Access::kRead);
    memory.leave(toucher.id);
    benchmark::DoNotOptimize(memory.take_touched(pages));
  }
}

void shootdown_of_64_pages_parked(benchmark::State& state) {
  const auto memory = make({kMiB});
  std::vector<std::unique_ptr<Hart>> harts;
  for (i64 i = 0; i < state.range(0); ++i) harts.push_back(std::make_unique<Hart>(*memory));
  shoot(state, *memory, *harts[0]);
}
BENCHMARK(shootdown_of_64_pages_parked)->Arg(1)->Arg(4)->Arg(64);

void shootdown_of_64_pages_running(benchmark::State& state) {
  const auto memory = make({kMiB});
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (i64 i = 0; i < state.range(0); ++i) {
    threads.emplace_back([&] {
      Hart hart(*memory);
      memory->enter(hart.id);
      while (!stop.load(std::memory_order_relaxed)) {
        if (hart.asked.load(std::memory_order_relaxed) && hart.asked.exchange(false))
          memory->safe_point(hart.id);
      }
      memory->leave(hart.id);
    });
  }
  {
    Hart toucher(*memory);
    shoot(state, *memory, toucher);
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
}
BENCHMARK(shootdown_of_64_pages_running)->Arg(1)->Arg(4)->UseRealTime();

void give_back(benchmark::State& state) {
  const auto memory = make({256 * kMiB});
  const std::vector<Gpn> pages = all_pages(*memory);
  const std::vector<std::byte> content(kMiB, std::byte{1});
  for (auto _ : state) {
    state.PauseTiming();
    for (u64 at = 0; at < memory->size().raw; at += kMiB) memory->write(kBase + at, content);
    state.ResumeTiming();
    memory->discard(pages);
  }
  state.SetBytesProcessed(state.iterations() * static_cast<i64>(memory->size().raw));
}
BENCHMARK(give_back)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace cloister::memory
