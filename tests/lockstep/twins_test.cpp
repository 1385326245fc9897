// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "lockstep/twins.h"

// Random loops, translated and interpreted, in lockstep (CLOISTER_SEED, CLOISTER_LOCKSTEP_PROGRAMS).
namespace cloister::lockstep {
namespace {

constexpr u64 kTurns = 400;

u64 given(const char* name, u64 otherwise) {
  const char* text = std::getenv(name);
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), otherwise);
  return otherwise;
}

void agree(const TwinOptions& options) {
  const u64 seed = given("CLOISTER_SEED", 1), programs = given("CLOISTER_LOCKSTEP_PROGRAMS", 60);
  u64 instructions = 0;
  for (u64 i = 0; i < programs; ++i) {
    Twins twins(seed + i, options);
    const std::string found = twins.run(kTurns);
    ASSERT_EQ(found, "") << options.name << ", seed " << seed + i;
    instructions += twins.instructions();
  }
  fmt::print("{}: seeds {} to {} agreed on {} instructions\n", options.name, seed, seed + programs - 1,
             instructions);
}

TEST(Twins, LoopsAgree) { agree({.name = "loops"}); }
TEST(Twins, LoopsAgreeAtEachBlock) { agree({.name = "short turns", .longest_turn = 3}); }
TEST(Twins, LoopsAgreeWithLittleRoom) {
  agree({.name = "little room", .tlb_entries = 4, .code_cache = Bytes{256 * kKiB}, .forgets = true});
}

// Whoever wants a safe point, and whenever: the guest sees nothing of it.
TEST(Twins, LoopsAgreeWhileAnotherThreadAsksForSafePoints) {
  const u64 seed = given("CLOISTER_SEED", 1);
  Twins twins(seed, {.name = "safe points"});
  std::atomic<bool> done = false;
  std::thread other([&] {
    while (!done) {
      twins.tested().ask_for_safe_point();
      std::this_thread::yield();
    }
  });
  const std::string found = twins.run(4 * kTurns);
  done = true;
  other.join();
  EXPECT_EQ(found, "") << "seed " << seed;
}

}  // namespace
}  // namespace cloister::lockstep
