// SPDX-License-Identifier: Apache-2.0
#include "machine/run_verified.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "machine/machine.h"
#include "machine/testing_images.h"
#include "machine/testing_program.h"

namespace cloister::machine {
namespace {

using ::testing::HasSubstr;
using namespace testing;

struct NoScreen final : device::ConsoleSink {
  void write(std::span<const std::byte>) override {}
};

// Stops the machine as soon as its guest prints.
struct Stopper final : device::ConsoleSink {
  void write(std::span<const std::byte>) override { stop(); }
  std::function<void()> stop;
};

// Counts down from `rounds` often enough to be translated, and ends.
Program loop(u64 rounds) {
  Program program;
  program.li(kS1, rounds);
  const Label round = program.here();
  program.addi(kS1, kS1, -1);
  program.bne(kS1, kZero, round);
  program.power_off();
  return program;
}

// Two functions of one page are called in turns, often enough to be translated; one is written anew now and
// then.
Program rewriting() {
  constexpr u64 kPage = 0x8040'0000, kAddOneToA0 = 0x00150513, kReturn = 0x00008067, kOneMore = 1 << 20;
  constexpr i32 kOther = 64;
  Program program;
  program.li(kS0, kPage + kOther);
  program.li(kT0, kAddOneToA0);
  program.li(kT1, kReturn);
  program.store_double(kT0, kS0);  // and four bytes of zeros, which the next takes the place of
  program.addi(kS0, kS0, 4);
  program.store_word(kT1, kS0);
  program.li(kS0, kPage + 4);
  program.store_word(kT1, kS0);
  program.addi(kS0, kS0, -4);
  program.li(kA1, kOneMore);
  program.li(kS1, 30);
  const Label anew = program.here();
  program.store_word(kT0, kS0);
  program.fence_i();
  program.li(kT2, 50);
  const Label again = program.here();
  program.call(kS0);
  program.call(kS0, kOther);
  program.addi(kT2, kT2, -1);
  program.bne(kT2, kZero, again);
  program.add(kT0, kT0, kA1);
  program.addi(kS1, kS1, -1);
  program.bne(kS1, kZero, anew);
  program.power_off();
  return program;
}

struct RunVerified : ::testing::Test {
  RunVerified() : folder(::testing::TempDir() + "run_verified_test." + std::to_string(::getpid())) {
    std::filesystem::create_directories(folder);
    config.memory = Bytes{32 * kMiB};
    config.deterministic = 1;
  }
  ~RunVerified() override { std::filesystem::remove_all(folder); }

  // The config of a machine whose kernel is `program`.
  MachineConfig with(const Program& program, const char* name) {
    MachineConfig result = config;
    result.kernel = folder + "/" + name;
    const auto content = image(64 * kKiB, program.words());
    std::ofstream(result.kernel, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
    return result;
  }
  std::string refusal(const MachineConfig& wanted) {
    const auto made = Machine::create(wanted, screen);
    return made.ok() ? "" : made.failure().message;
  }

  std::string folder;
  MachineConfig config;
  NoScreen screen;
};

TEST_F(RunVerified, FindsNothingWhereBothEnginesGoTheSameWay) {
  config = with(loop(100'000), "kernel");
  config.verify = true;
  auto machine = Machine::create(config, screen).take();
  EXPECT_EQ(machine->run().take().end, End::kPowerOff);
}

TEST_F(RunVerified, CodeThatIsWrittenAnewRunsAsWritten) {
  config = with(rewriting(), "kernel");
  config.verify = true;
  auto machine = Machine::create(config, screen).take();
  EXPECT_EQ(machine->run().take().end, End::kPowerOff);
}

TEST_F(RunVerified, FindsNothingWhereTheTranslatorHasItHard) {
  for (const Program& program : {loop(20'000), rewriting()}) {
    config = with(program, "kernel");
    config.verify = true;
    config.stress = {true, true, true, true};
    auto machine = Machine::create(config, screen).take();
    EXPECT_EQ(machine->run().take().end, End::kPowerOff);
  }
}

// The stop comes in the middle of a turn, and for the machine that is tested only.
TEST_F(RunVerified, AMachineThatIsStoppedFromOutsideDiffersInNothing) {
  constexpr u64 kDebugConsole = 0x4442434e, kWriteByte = 2;
  Program program;
  program.sbi(kDebugConsole, kWriteByte, {'x'});
  program.loop_for_ever();
  config = with(program, "kernel");
  config.verify = true;
  Stopper stopper;
  auto machine = Machine::create(config, stopper).take();
  stopper.stop = [&] { machine->request_stop(); };
  const Outcome outcome = machine->run().take();
  EXPECT_EQ(outcome.end, End::kStopped) << outcome.reason;
}

TEST_F(RunVerified, WhereTranslatedCodeLiesIsToldByTheGuestsAddresses) {
  std::string map;
  // What is made beside the hart may come when a short loop is over.
  for (u32 rounds = 100'000; map.empty() && rounds <= 1'000'000'000; rounds *= 10) {
    auto machine = Machine::create(with(loop(rounds), "kernel"), screen).take();
    EXPECT_EQ(machine->run().take().end, End::kPowerOff);
    map = machine->perf_map().take();
  }
  EXPECT_THAT(map, HasSubstr(" guest 0x80200000\n"));
}

TEST_F(RunVerified, TellsTheFirstDifferenceWithBothValues) {
  VirtualClock clocks[2];
  Random randoms[2] = {Random(1), Random(1)};
  auto tested = Board::create(with(loop(100'000), "tested"), screen, clocks[0]).take();
  auto reference = Board::create(with(loop(100'001), "reference"), screen, clocks[1]).take();
  ASSERT_TRUE(tested->power_on().ok());
  ASSERT_TRUE(reference->power_on().ok());
  const std::string found =
      run_verified({*tested, clocks[0], randoms[0]}, {*reference, clocks[1], randoms[1]});
  EXPECT_THAT(found, HasSubstr("hart 0"));
  EXPECT_THAT(found, HasSubstr("x9"));
  EXPECT_THAT(found, HasSubstr("tested turn of hart 0"));
  EXPECT_THAT(found, HasSubstr("reference turn of hart 0"));
}

TEST_F(RunVerified, NeedsTheTranslatorASeedAndDisksOfItsOwn) {
  config = with(loop(1), "kernel");
  config.verify = true;
  config.engine = Engine::kInterpreter;
  EXPECT_THAT(refusal(config), HasSubstr("engine jit"));
  config.engine = Engine::kTranslator;
  config.deterministic.reset();
  EXPECT_THAT(refusal(config), HasSubstr("deterministic"));
  config.deterministic = 1;
  config.disks.push_back({config.kernel, "", false});
  EXPECT_THAT(refusal(config), HasSubstr("overlay"));
}

}  // namespace
}  // namespace cloister::machine
