// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <regex>
#include <string>
#include <thread>

#include "base/random.h"
#include "machine/machine.h"
#include "memory/swap_out.h"
#include "memory/testing_host.h"

// A Debian guest at work while its pages are taken from it and shared, all the time and all over its memory:
// thousands of times as often as a daemon would, with frames of a vault that are others' as soon as they come
// back. Its programs must see nothing of it. (CLOISTER_SEED; CLOISTER_BUSYBOX is the folder of the guest)
namespace cloister::machine {
namespace {

using namespace std::chrono_literals;
using memory::PageState;
using memory::Way;

constexpr u64 kSlots = 8192;
constexpr u64 kMostMoved = 64;  // pages at a time
constexpr auto kPause = 100us;  // between two moves
constexpr int kFiles = 4;
constexpr const char* kMake = "yes 'the same line, again and again, but numbered' | head -n 300000 | cat -n";
constexpr const char* kSum = "60b172d71893cb2a0d9f68422cf6d23c";  // of what these make, on any machine
constexpr auto kPatience = 300s;

class Screen final : public device::ConsoleSink {
 public:
  void write(std::span<const std::byte> bytes) override {
    const std::lock_guard lock(mutex_);
    text_.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::string text() const {
    const std::lock_guard lock(mutex_);
    return text_;
  }

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

// Moves pages of a machine from its construction to its end.
class Mover {
 public:
  Mover(memory::GuestMemory& memory, memory::testing::BusyVault& vault, u64 seed)
      : memory_(memory), vault_(vault), swap_(memory), random_(seed), thread_([this] { run(); }) {}
  ~Mover() {
    stop_ = true;
    thread_.join();
  }

  u64 shared() const { return shared_; }
  u64 taken() const { return taken_; }

 private:
  void run() {
    while (!stop_) {
      move(some_pages());
      std::this_thread::sleep_for(kPause);
    }
    (void)swap_.drain();
  }

  u64 all_pages() const { return memory_.size().raw >> kPageShift; }

  // Neighbours, or from all over.
  std::vector<Gpn> some_pages() {
    const u64 base = memory_.base().page(), first = random_.below(all_pages());
    const bool neighbours = random_.one_in(2);
    std::vector<Gpn> pages(1 + random_.below(kMostMoved));
    for (u64 i = 0; i < pages.size(); ++i)
      pages[i] = {base + (neighbours ? (first + i) % all_pages() : random_.below(all_pages()))};
    return pages;
  }

  void move(const std::vector<Gpn>& pages) {
    constexpr memory::Ways kZero = memory::Ways().with(Way::kZero);
    std::vector<Gpn> left;
    switch (random_.below(6)) {
      case 0:
        memory_.take_marks(pages, memory::PageWord::kRecent);
        break;
      case 1:
        taken_ += memory_.evict(pages, kZero, left).total().raw;
        break;
      case 2:
        taken_ += memory_.evict(pages, kZero.with(Way::kCompress), left).total().raw;
        break;
      case 3:
        swap_.submit(pages);
        taken_ += swap_.drain().freed.raw;
        break;
      case 4:
        share(pages);
        break;
      default:
        memory_.collapse({memory_.base().page() + random_.below(all_pages() / 512) * 512});
        break;
    }
  }

  // Each with a frame of its own: what it holds is in the vault then, and nowhere else.
  void share(const std::vector<Gpn>& pages) {
    std::array<std::byte, kPageSize> content;
    for (const Gpn page : pages) {
      const u32 slot = static_cast<u32>(random_.below(kSlots));
      if (memory_.state(page) != PageState::kPrivate || vault_.references(slot) != 0) continue;
      memory_.hash({&page, 1});
      ASSERT_TRUE(memory_.read(page.address(), content));
      std::copy(content.begin(), content.end(), vault_.frame(slot));
      vault_.add(slot);
      const memory::ShareOffer offer{page, slot};
      shared_ += memory_.share({&offer, 1}).front() == memory::ShareAnswer::kShared ? 1 : 0;
    }
  }

  memory::GuestMemory& memory_;
  memory::testing::BusyVault& vault_;
  memory::SwapOut swap_;
  Random random_;
  std::atomic<bool> stop_{false};
  std::atomic<u64> shared_{0}, taken_{0};
  std::thread thread_;
};

class MovingGuest : public ::testing::TestWithParam<u32> {
 protected:
  // What the expression finds on the screen, once it is there; its first group.
  std::string await(const std::string& expression) {
    const auto end = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < end) {
      const std::string text = screen.text();
      std::smatch found;
      if (std::regex_search(text, found, std::regex(expression))) return found[1];
      std::this_thread::sleep_for(20ms);
    }
    ADD_FAILURE() << "waited for " << expression << "; the console ends:\n"
                  << screen.text().substr(std::max<std::size_t>(screen.text().size(), 3000) - 3000);
    return "";
  }

  void type(std::string_view line) {
    ASSERT_EQ(machine->console_input(std::as_bytes(std::span(line))), line.size());
  }

  Screen screen;
  std::unique_ptr<Machine> machine;
};

TEST_P(MovingGuest, ProgramsSeeNothingOfIt) {
  const char* guest = std::getenv("CLOISTER_BUSYBOX");
  ASSERT_NE(guest, nullptr) << "set CLOISTER_BUSYBOX to the folder that tools/image/busybox.sh prints";
  MachineConfig config;
  config.cpus = GetParam();
  config.memory = Bytes{128 * kMiB};
  config.kernel = std::string(guest) + "/Image";
  config.initrd = std::string(guest) + "/initrd";
  config.append = "console=ttyS0 quiet";
  memory::testing::BusyVault vault{Pages{kSlots}};
  const auto swap = memory::testing::make_swap({config.memory.raw >> kPageShift});
  machine = Machine::create(config, screen).take();
  machine->memory().set_swap(*swap);
  machine->memory().set_vault(vault.vault(), vault);

  std::thread running([&] { EXPECT_EQ(machine->run().take().end, End::kPowerOff); });
  await("(# )");
  {
    Mover mover(machine->memory(), vault, memory::testing::chosen_seed());
    type("mkdir /m; mount -t tmpfs -o size=95% m /m\n");
    for (int i = 0; i < kFiles && !HasFailure(); ++i) {
      type(fmt::format("{} >/m/same; echo \"sum {}\" $(md5sum </m/same)\n", kMake, i));
      EXPECT_EQ(await(fmt::format("sum {} ([0-9a-f]{{32}})", i)), kSum) << "file " << i;
    }
    fmt::print("{} pages were taken, {} shared\n", mover.taken(), mover.shared());
    EXPECT_GT(mover.taken(), 1000u);
    EXPECT_GT(mover.shared(), 1000u);
  }
  HasFailure() ? machine->request_stop() : type("poweroff -f\n");
  running.join();
}

INSTANTIATE_TEST_SUITE_P(Guests, MovingGuest, ::testing::Values(1u, 2u));

}  // namespace
}  // namespace cloister::machine
