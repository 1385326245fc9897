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
#include "machine/testing_images.h"

namespace cloister::cell {
namespace {

struct NoScreen final : device::ConsoleSink {
  void write(std::span<const std::byte>) override {}
};

// A machine that does not run: nobody is calmer.
class CooperationTest : public ::testing::Test {
 protected:
  CooperationTest() {
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

}  // namespace
}  // namespace cloister::cell
