// SPDX-License-Identifier: Apache-2.0
#include "machine/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>

#include "hart/environment.h"
#include "machine/address_map.h"
#include "machine/testing_images.h"
#include "machine/testing_program.h"

namespace cloister::machine {
namespace {

using ::testing::HasSubstr;
using namespace testing;

constexpr u64 kIpi = 0x735049;
constexpr u64 kRfence = 0x52464e43;
constexpr u64 kHsm = 0x48534d;
constexpr u64 kSrst = 0x53525354;
constexpr u64 kDbcn = 0x4442434e;
constexpr u32 kSie = 0x104;
constexpr u32 kSip = 0x144;
constexpr u32 kStimecmp = 0x14d;
constexpr u32 kTime = 0xc01;

constexpr u64 kCodeBase = kMemoryBase.raw + 2 * kMiB + 64;  // where a program's first instruction lies
constexpr u64 kData = kMemoryBase.raw + 8 * kMiB;

struct Screen final : device::ConsoleSink {
  void write(std::span<const std::byte> bytes) override {
    const std::lock_guard lock(mutex);
    text.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  }
  std::mutex mutex;
  std::string text;
};

struct MachineTest : ::testing::Test {
  MachineTest() : folder(::testing::TempDir() + "machine_test." + std::to_string(::getpid())) {
    std::filesystem::create_directories(folder);
    config.kernel = folder + "/kernel";
    config.memory = Bytes{32 * kMiB};
  }
  ~MachineTest() override { std::filesystem::remove_all(folder); }

  void use(const Program& program) {
    const auto content = image(64 * kKiB, program.words());
    std::ofstream(config.kernel, std::ios::binary)
        .write(reinterpret_cast<const char*>(content.data()), static_cast<std::streamsize>(content.size()));
  }
  Outcome run() {
    machine = Machine::create(config, screen).take();
    return machine->run().take();
  }
  u32 word_at(u64 address) { return machine->memory().load<u32>(GuestPhys{address}).value_or(0xdead); }
  std::string refusal() {
    const auto made = Machine::create(config, screen);
    return made.ok() ? "" : made.failure().message;
  }

  std::string folder;
  MachineConfig config;
  Screen screen;
  std::unique_ptr<Machine> machine;
};

// All harts run the same program from its start; whoever comes first starts the others.
void start_all(Program& program, u32 harts) {
  for (u32 hart = 0; hart < harts; ++hart) program.sbi(kHsm, 0, {hart, kCodeBase, 0});
}

// Adds one to the word at kData, then spins until it is `count`.
void meet(Program& program, u32 count) {
  program.li(kS0, kData);
  program.li(kT0, 1);
  program.amoadd(kZero, kT0, kS0);
  program.li(kT0, count);
  const Label again = program.here();
  program.pause();
  program.load_word(kT1, kS0);
  program.bne(kT1, kT0, again);
}

TEST_F(MachineTest, AGuestSwitchesItselfOff) {
  Program program;
  program.power_off();
  use(program);
  const Outcome outcome = run();
  EXPECT_EQ(outcome.end, End::kPowerOff);
  EXPECT_EQ(outcome.reboots, 0u);
  EXPECT_GT(machine->statistics().harts.at(0).instructions, 0u);
}

TEST_F(MachineTest, AFailureIsToldApartFromAPowerOff) {
  Program program;
  program.sbi(kSrst, 0, {0, 1});
  use(program);
  EXPECT_EQ(run().end, End::kFailure);
}

// Gives up one page that holds the value, and asks for the condition; both engines.
Program balloon_program(u64 page) {
  Program program;
  program.guest_call(CLOISTER_CALL_BALLOON_MARK);
  program.li(kS0, page);
  for (u32 i = 0; i < 4; ++i) program.store_double(static_cast<Reg>(kA1 + i), kS0, static_cast<i32>(i * 8));
  program.guest_call(CLOISTER_CALL_BALLOON_GIVE, {page, 2});
  program.li(kS0, kData);
  program.store_double(kA0, kS0);
  for (u32 i = 0; i < 3; ++i)
    program.store_double(static_cast<Reg>(kA1 + i), kS0, static_cast<i32>(8 + i * 8));
  program.guest_call(CLOISTER_CALL_CONDITION, {kData + kPageSize, sizeof(cloister_condition)});
  program.power_off();
  return program;
}

TEST_F(MachineTest, AGuestGivesUpMemoryByCallsOfItsOwn) {
  const u64 page = kData + 4 * kPageSize;
  use(balloon_program(page));
  for (const Engine engine : {Engine::kInterpreter, Engine::kTranslator}) {
    config.engine = engine;
    run();
    EXPECT_EQ(word_at(kData), u32{CLOISTER_OK});
    EXPECT_EQ(word_at(kData + 8), 1u) << "taken";
    EXPECT_EQ(word_at(kData + 16), 1u) << "the first that was not";
    EXPECT_EQ(word_at(kData + 24), u32{CLOISTER_NOT_VALUE});
    EXPECT_EQ(machine->memory().state(gpn_of(GuestPhys{page})), memory::PageState::kBalloonValue);
    EXPECT_EQ(word_at(kData + kPageSize + offsetof(cloister_condition, version)), u32{CLOISTER_ABI_VERSION});
    EXPECT_EQ(word_at(kData + kPageSize + offsetof(cloister_condition, target)), config.memory.raw);
  }
}

TEST_F(MachineTest, ADeterministicMachineHasNoCallsThatTellOfItsHost) {
  use(balloon_program(kData + 4 * kPageSize));
  config.deterministic = 1;
  run();
  EXPECT_EQ(word_at(kData), u32{CLOISTER_OFF});
}

TEST_F(MachineTest, WhatTheGuestPrintsReachesTheConsole) {
  Program program;
  program.li(kS0, kUartBase.raw);
  for (const char c : std::string("uart ")) {
    program.li(kT0, static_cast<u64>(c));
    program.store_byte(kT0, kS0);
  }
  for (const char c : std::string("sbi")) program.sbi(kDbcn, 2, {static_cast<u64>(c)});
  program.power_off();
  use(program);
  run();
  EXPECT_EQ(screen.text, "uart sbi");
}

// The guest leaves a mark in memory; the second time it must be gone, or it would not restart.
TEST_F(MachineTest, ARestartBeginsWithZeroMemoryAndTheKernelAsItWas) {
  Program program;
  program.li(kS0, kData);
  const Label ever = program.here();
  program.load_word(kT0, kS0);
  program.bne(kT0, kZero, ever);
  program.li(kT0, 1);
  program.store_word(kT0, kS0);
  program.sbi(kDbcn, 2, {'x'});
  program.sbi(kSrst, 0, {1, 0});
  use(program);
  machine = Machine::create(config, screen).take();
  std::thread stopper([&] {
    while (machine->statistics().reboots < 3) std::this_thread::yield();
    machine->request_stop();
  });
  const Outcome outcome = machine->run().take();
  stopper.join();
  EXPECT_EQ(outcome.end, End::kStopped);
  EXPECT_GE(outcome.reboots, 3u);
  EXPECT_GE(screen.text.size(), 3u);
}

TEST_F(MachineTest, ARestartCanBeTheEnd) {
  Program program;
  program.sbi(kSrst, 0, {2, 0});
  use(program);
  config.on_reboot = OnReboot::kStop;
  EXPECT_EQ(run().end, End::kReboot);
}

TEST_F(MachineTest, ASpinningGuestCanBeStopped) {
  Program program;
  program.loop_for_ever();
  use(program);
  machine = Machine::create(config, screen).take();
  std::thread stopper([&] { machine->request_stop(); });
  EXPECT_EQ(machine->run().take().end, End::kStopped);
  stopper.join();
}

TEST_F(MachineTest, ASleepingGuestCanBeStopped) {
  Program program;
  const Label again = program.here();
  program.wfi();
  program.li(kT0, 1);
  program.bne(kT0, kZero, again);
  use(program);
  machine = Machine::create(config, screen).take();
  machine->request_stop();
  EXPECT_EQ(machine->run().take().end, End::kStopped);
}

TEST_F(MachineTest, AGuestWhoseHartsHaveAllStoppedHasHalted) {
  Program program;
  program.sbi(kHsm, 1);
  use(program);
  EXPECT_EQ(run().end, End::kHalted);
}

TEST_F(MachineTest, ATimerWakesASleepingHart) {
  Program program;
  program.li(kT0, 1u << 5);
  program.csrs(kSie, kT0);
  program.csrr(kT1, kTime);
  program.addi(kT1, kT1, 2000);  // 200 microseconds
  program.csrw(kStimecmp, kT1);
  const Label again = program.here();
  program.wfi();
  program.csrr(kT2, kSip);
  program.bne(kT2, kT0, again);
  program.power_off();
  use(program);
  EXPECT_EQ(run().end, End::kPowerOff);
}

TEST_F(MachineTest, ASuspendedHartGoesOnWhenAnInterruptComes) {
  for (const std::optional<u64> seed : {std::optional<u64>(), std::optional<u64>(3)}) {
    Program program;
    program.li(kT0, 1u << 5);
    program.csrs(kSie, kT0);
    program.csrr(kT1, kTime);
    program.addi(kT1, kT1, 2000);
    program.csrw(kStimecmp, kT1);
    program.li(kS0, kData);
    program.sbi(kHsm, 3, {0, 0, 0});
    program.csrr(kT2, kSip);
    program.store_word(kT2, kS0);
    program.power_off();
    use(program);
    config.deterministic = seed;
    EXPECT_EQ(run().end, End::kPowerOff);
    EXPECT_EQ(word_at(kData), 1u << 5);
  }
}

class ManyHarts : public MachineTest, public ::testing::WithParamInterface<u32> {};

TEST_P(ManyHarts, StartFenceEachOtherAndMeet) {
  const u32 harts = GetParam();
  Program program;
  start_all(program, harts);
  program.li(kS1, 3);
  const Label round = program.here();
  program.sbi(kRfence, 1, {0, ~u64{0}, 0, ~u64{0}});
  program.sbi(kRfence, 0, {0, ~u64{0}});
  program.addi(kS1, kS1, -1);
  program.bne(kS1, kZero, round);
  meet(program, harts);
  program.power_off();
  use(program);
  config.cpus = harts;
  EXPECT_EQ(run().end, End::kPowerOff);
  EXPECT_EQ(word_at(kData), harts);
}

// Each hart waits in WFI until somebody sends it an interrupt; hart 0 sends to all until all have come.
TEST_P(ManyHarts, AreWokenByInterruptsFromOneAnother) {
  const u32 harts = GetParam();
  Program program;
  start_all(program, harts);
  program.li(kT0, 1u << 1);
  program.csrs(kSie, kT0);
  program.sbi(kIpi, 0, {0, ~u64{0}});
  program.wfi();
  program.li(kT0, 1u << 1);
  program.csrc(kSip, kT0);
  meet(program, harts);
  program.power_off();
  use(program);
  config.cpus = harts;
  EXPECT_EQ(run().end, End::kPowerOff);
}

TEST_P(ManyHarts, GoTheSameWayTwiceInDeterministicMode) {
  const u32 harts = GetParam();
  Program program;
  start_all(program, harts);
  meet(program, harts);
  program.csrr(kT0, kTime);
  program.li(kS0, kData + 8);
  program.store_word(kT0, kS0);
  program.sbi(kDbcn, 2, {'.'});
  program.power_off();
  use(program);
  config.cpus = harts;
  const auto once = [&](u64 seed) {
    config.deterministic = seed;
    EXPECT_EQ(run().end, End::kPowerOff);
    std::vector<u64> trace = {machine->memory_digest()};
    for (const HartStatistics& hart : machine->statistics().harts) trace.push_back(hart.instructions);
    return trace;
  };
  const auto first = once(1);
  EXPECT_EQ(once(1), first);
  if (harts > 1) {
    EXPECT_NE(once(2), first);
  }
}

TEST_F(MachineTest, InDeterministicModeTimeJumpsOverAWait) {
  Program program;
  program.li(kT0, 1u << 5);
  program.csrs(kSie, kT0);
  program.li(kT1, u64{3600} * cloister::hart::kTimebaseHz);
  program.csrw(kStimecmp, kT1);
  program.wfi();
  program.power_off();
  use(program);
  config.deterministic = 7;
  EXPECT_EQ(run().end, End::kPowerOff);
}

TEST_F(MachineTest, InDeterministicModeAWaitForNothingIsTheEnd) {
  Program program;
  program.wfi();
  program.wfi();
  program.power_off();
  use(program);
  config.deterministic = 7;
  EXPECT_EQ(run().end, End::kHalted);
}

TEST_F(MachineTest, ImpossibleMachinesAreRefusedWithTheValueAndTheRemedy) {
  use(Program());
  config.cpus = 65;
  EXPECT_THAT(refusal(), AllOf(HasSubstr("65"), HasSubstr("1 to 64")));
  config.cpus = 0;
  EXPECT_THAT(refusal(), HasSubstr("0 CPUs"));
  config.cpus = 1;
  config.memory = Bytes{32 * kMiB + 1};
  EXPECT_THAT(refusal(), HasSubstr("33554433"));
  config.memory = Bytes{4 * kMiB};
  EXPECT_THAT(refusal(), AllOf(HasSubstr("4 MiB"), HasSubstr("at least")));
  config.memory = Bytes{32 * kMiB};
  config.append = std::string(2000, 'x');
  EXPECT_THAT(refusal(), HasSubstr("1023"));
  config.append.clear();
  config.deterministic = 1;
  config.net = NetConfig{};
  EXPECT_THAT(refusal(), HasSubstr("deterministic"));
}

INSTANTIATE_TEST_SUITE_P(Machine, ManyHarts, ::testing::Values(1u, 2u, 8u, 64u));

}  // namespace
}  // namespace cloister::machine
