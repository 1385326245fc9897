// SPDX-License-Identifier: Apache-2.0
#include "cell/cooperation.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

#include "base/os/clock.h"
#include "base/os/event_loop.h"
#include "device/virtio/testing/guest.h"
#include "machine/testing_images.h"

namespace cloister::cell {
namespace {

struct NoScreen final : device::ConsoleSink {
  void write(std::span<const std::byte>) override {}
};

// A machine that does not run: nobody is calmer.
class CooperationTest : public ::testing::Test {
 protected:
  explicit CooperationTest(bool balloon = false) {
    config_.balloon = balloon;
    const auto content = machine::testing::image(64 * kKiB);
    std::ofstream(kernel_, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
    config_.kernel = kernel_;
    config_.memory = Bytes{32 * kMiB};
    machine_ = machine::Machine::create(config_, screen_).take();
    cooperation_.emplace(*loop_, *machine_, config_);
    cooperation_->set_at_beat(
        [this](bool seldom) {
          ++beats_;
          seldom_ = seldom;
          loop_->stop();
        },
        [this] { return may_rest_; });
  }
  ~CooperationTest() override { std::filesystem::remove(kernel_); }

  // Returns how long it took.
  Nanos next_beat() {
    const Nanos begun = os::monotonic_now();
    loop_->run();
    return os::monotonic_now() - begun;
  }

  static constexpr Nanos kSoon{8'000'000'000};  // long before the next of those that are seldom
  const std::string kernel_ = ::testing::TempDir() + "cooperation_test." + std::to_string(::getpid());
  machine::MachineConfig config_;
  NoScreen screen_;
  std::unique_ptr<os::EventLoop> loop_ = os::EventLoop::create().take();
  std::unique_ptr<machine::Machine> machine_;
  std::optional<Cooperation> cooperation_;
  bool may_rest_ = true, seldom_ = false;
  u64 beats_ = 0;
};

TEST_F(CooperationTest, WhereNothingGoesOnItsBeatsAreSeldomUntilSomebodyLooks) {
  (void)next_beat();
  EXPECT_TRUE(seldom_);
  machine_->memory().condition().looked();
  EXPECT_LT(next_beat(), kSoon);
  cooperation_->quicken();
  EXPECT_EQ(beats_, 3u) << "at once";
  cooperation_.reset();
  machine_->memory().condition().looked();  // which nobody awaits any more
}

TEST_F(CooperationTest, WhoMayNotRestDoesNot) {
  may_rest_ = false;
  for (int i = 0; i < 2; ++i) {
    EXPECT_LT(next_beat(), kSoon);
    EXPECT_FALSE(seldom_);
  }
  cooperation_->quicken();
  EXPECT_EQ(beats_, 2u) << "it is quick already";
}

// The machine has virtio's balloon, and its driver is the test.
class StandInTest : public CooperationTest {
 protected:
  using Statistic = device::virtio::Balloon::Statistic;
  static constexpr u32 kStatisticsQueue = 2, kActual = 0x100 + 4;

  StandInTest() : CooperationTest(true) { driver_.start(device::virtio::kVersion1 | balloon().features()); }
  device::virtio::Balloon& balloon() { return *machine_->balloon(); }
  void tell(std::initializer_list<std::pair<Statistic, Pages>> values) {
    std::vector<std::byte> bytes;
    for (const auto& [what, pages] : values) {
      const u64 value = bytes_of(pages).raw;
      bytes.resize(bytes.size() + sizeof what + sizeof value);
      std::memcpy(bytes.data() + bytes.size() - sizeof what - sizeof value, &what, sizeof what);
      std::memcpy(bytes.data() + bytes.size() - sizeof value, &value, sizeof value);
    }
    driver_.submit(kStatisticsQueue, {{{driver_.place(bytes), static_cast<u32>(bytes.size())}}, {}, {}});
  }
  // What it is told to hold at the next beat, when the host wants 4000 pages.
  u64 target() {
    cooperation_->ask(Pages{4000} - balloon().actual(), os::monotonic_now());
    (void)next_beat();
    driver_.transport().write(kActual, 4, balloon().target().raw);
    return balloon().target().raw;
  }

  device::virtio::testing::Guest driver_{balloon()};
};

TEST_F(StandInTest, WithoutSwapLittleThatIsAvailableKeepsTheBalloonSmall) {
  tell({{Statistic::kAvailable, Pages{100}}});
  EXPECT_EQ(target(), 0u);
}

TEST_F(StandInTest, WithSwapWhatComesBackFromThereDoes) {
  tell({{Statistic::kAvailable, Pages{100}}, {Statistic::kSwapOut, Pages{1}}, {Statistic::kSwapIn, Pages{}}});
  EXPECT_EQ(target(), 4000u);
  tell({{Statistic::kSwapIn, Pages{4000}}});
  EXPECT_EQ(target(), 3488u);
}

}  // namespace
}  // namespace cloister::cell
