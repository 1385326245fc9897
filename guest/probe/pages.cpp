// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>
#include <vector>

#include "probe.h"

namespace cloister::probe {
namespace {

constexpr std::uint64_t kPage = 4096, kWords = kPage / 8;
constexpr unsigned kWritten = 4;  // one page in so many is written anew when it is visited

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// Memory whose every word tells where it belongs, and which cannot be packed.
class Pages {
 public:
  Pages(std::uint64_t seed, std::uint64_t count) : seed_(seed), versions_(count) {
    void* memory = mmap(nullptr, count * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) words_ = static_cast<std::uint64_t*>(memory);
    for (std::uint64_t page = 0; words_ != nullptr && page < count; ++page) write(page);
  }

  bool ok() const { return words_ != nullptr; }
  std::uint64_t count() const { return versions_.size(); }
  bool holds(std::uint64_t page) const {
    const std::uint64_t first = key(page);
    std::uint64_t wrong = 0;
    for (std::uint64_t i = 0; i < kWords; ++i) wrong |= words_[page * kWords + i] ^ (first * (2 * i + 1));
    return wrong == 0;
  }
  void write(std::uint64_t page) {
    ++versions_[page];
    const std::uint64_t first = key(page);
    for (std::uint64_t i = 0; i < kWords; ++i) words_[page * kWords + i] = first * (2 * i + 1);
  }

 private:
  std::uint64_t key(std::uint64_t page) const {
    return mix(seed_ ^ page * 0x9e3779b97f4a7c15 ^ std::uint64_t{versions_[page]} << 48) | 1;
  }

  const std::uint64_t seed_;
  std::uint64_t* words_ = nullptr;
  std::vector<std::uint32_t> versions_;
};

volatile std::sig_atomic_t over = 0;

bool visit(Pages& pages, std::uint64_t random) {
  const std::uint64_t page = random % pages.count();
  if (!pages.holds(page)) return false;
  if ((random >> 40) % kWritten == 0) pages.write(page);
  return true;
}

}  // namespace

int work_on_pages(std::uint64_t seed, std::uint64_t mib) {
  using Clock = std::chrono::steady_clock;
  const auto begun = Clock::now();
  Pages pages(seed, mib << 8);
  if (!pages.ok()) return std::printf("no memory for %llu MiB\n", static_cast<unsigned long long>(mib)), 1;
  std::signal(SIGTERM, [](int) { over = 1; });
  auto second = Clock::now();
  std::printf("filled in %.2f s\n", std::chrono::duration<double>(second - begun).count());
  std::fflush(stdout);
  std::uint64_t visits = 0, state = seed;
  while (over == 0) {
    if (!visit(pages, mix(state += 0x9e3779b97f4a7c15))) return std::printf("a page is wrong\n"), 1;
    if (++visits % 16 != 0 || Clock::now() - second < std::chrono::seconds(1)) continue;
    const std::chrono::duration<double> took = Clock::now() - second;
    std::printf("pages %.0f\n", static_cast<double>(visits) / took.count());
    std::fflush(stdout);
    visits = 0;
    second = Clock::now();
  }
  for (std::uint64_t page = 0; page < pages.count(); ++page) {
    if (!pages.holds(page)) return std::printf("a page is wrong\n"), 1;
  }
  std::printf("all pages hold\n");
  return 0;
}

int watch_for_stillness(unsigned long long seconds) {
  using Clock = std::chrono::steady_clock;
  const auto end = Clock::now() + std::chrono::seconds(seconds);
  std::chrono::duration<double> longest{};
  for (auto now = Clock::now(), next = now; now < end; now = next) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    next = Clock::now();
    longest = std::max<std::chrono::duration<double>>(longest, next - now);
  }
  std::printf("stood still for %.3f s at most\n", longest.count() - 0.001);
  return 0;
}

}  // namespace cloister::probe
