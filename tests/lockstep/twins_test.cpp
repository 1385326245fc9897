// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <thread>

#include "isa/cause.h"
#include "isa/registers.h"
#include "jit/passes/passes.h"
#include "lockstep/calls.h"
#include "lockstep/loops.h"
#include "lockstep/twins.h"

// Random loops and calls, translated and interpreted, in lockstep (CLOISTER_SEED,
// CLOISTER_LOCKSTEP_PROGRAMS).
namespace cloister::lockstep {
namespace {

constexpr u64 kTurns = 400;

u64 given(const char* name, u64 otherwise) {
  const char* text = std::getenv(name);
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), otherwise);
  return otherwise;
}

// Of all pages, as the translator finds them in what runs much.
std::vector<jit::ir::Loop> jit_loops(std::vector<u32> code) {
  constexpr std::size_t kWords = kPageSize / sizeof(u32);
  code.resize((code.size() + kWords - 1) / kWords * kWords);
  std::vector<jit::ir::Loop> loops;
  for (std::size_t at = 0; at < code.size(); at += kWords) {
    const std::span<const u32, kWords> page{&code[at], kWords};
    jit::ir::Region region =
        jit::ir::build(std::as_bytes(page), 0, jit::ir::kHotLimits, [](i32) { return true; });
    jit::passes::group_accesses(region);
    jit::passes::find_loops(region);
    loops.insert(loops.end(), region.loops.begin(), region.loops.end());
  }
  return loops;
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

// The loops that translator and interpreter agree on are of all kinds that the translator knows.
TEST(Twins, ProgramsReachAllKindsOfLoops) {
  u64 streams = 0, pointers = 0, asides = 0, last_asides = 0, stops = 0, copies = 0, fills = 0, carried = 0;
  for (u64 seed = 1; seed <= 300; ++seed) {
    Random random(seed);
    for (const jit::ir::Loop& loop : jit_loops(random_loops(random))) {
      streams += loop.streams.size();
      pointers += loop.streams.empty();
      asides += loop.asides.size();
      last_asides += loop.aside_of(loop.blocks.back()) != nullptr;
      if (!loop.bulk) continue;
      stops += !loop.bulk->stops.empty();
      carried += !loop.bulk->carried.empty();
      if (!loop.bulk->write) continue;
      const bool loads = loop.bulk->nodes[loop.bulk->write->node].is_load();
      (loads ? copies : fills) += 1;
    }
  }
  fmt::print("{} streams, {} loops without, {} asides, {} of the last block\n", streams, pointers, asides,
             last_asides);
  fmt::print("{} look for something, {} copy, {} fill, {} load ahead\n", stops, copies, fills, carried);
  EXPECT_GT(stops, 30u);
  EXPECT_GT(copies, 30u);
  EXPECT_GT(fills, 30u);
  EXPECT_GT(carried, 10u);
  EXPECT_GT(streams, 100u);
  EXPECT_GT(pointers, 20u);
  EXPECT_GT(asides, 40u);
  EXPECT_GT(last_asides, 0u);
}

TEST(Twins, ProgramsOfCallsStayInTheirCode) {
  constexpr u64 kNearCode = 0x80000000, kNearBytes = 8 * kMiB;
  u64 near = 0, far = 0, all = 0, wide = 0, hidden = 0;
  for (u64 seed = 1; seed <= 20; ++seed) {
    Twins twins(seed, {.name = "calls", .programs = Programs::kCalls});
    for (int turn = 0; turn < 200; ++turn, ++all) {
      ASSERT_EQ(twins.run(1), "") << "seed " << seed;
      const u64 pc = twins.tested().pc();
      near += pc - kNearCode < kNearBytes;
      far += pc - kFarCode < kFarPages * kPageSize;
    }
    wide += twins.wide_regions();
    hidden += twins.tested().reg(isa::reg::t3) == static_cast<u64>(isa::Cause::kFetchPage);
  }
  fmt::print("{} turns ended near, {} far, {} regions of several pages\n", near, far, wide);
  EXPECT_EQ(near + far, all);
  EXPECT_GT(wide, 20u);
  EXPECT_GT(hidden, 0u);
  EXPECT_GT(near, all / 10);
  EXPECT_GT(far, all / 10);
}

// Each runs from its beginning again and again, takes no trap, and comes to be very hot.
TEST(Twins, MixturesGoRound) {
  for (u64 seed = 1; seed <= 10; ++seed) {
    Twins twins(seed, {.name = "mixture", .programs = Programs::kMixture});
    ASSERT_EQ(twins.run(kTurns), "") << "seed " << seed;
    EXPECT_EQ(twins.traps(), 0u) << "seed " << seed;
    EXPECT_GT(twins.remade_regions(), 5u) << "seed " << seed;
  }
}

// Here one comes between an LR and its SC.
TEST(Twins, AFenceThatIsPostedEndsAReservationWhicheverEngineRuns) {
  Twins twins(9968, {.name = "reservation", .forgets = true, .programs = Programs::kMixture});
  EXPECT_EQ(twins.run(200), "");
}

TEST(Twins, LoopsAgree) { agree({.name = "loops"}); }
TEST(Twins, LoopsAgreeAtEachBlock) { agree({.name = "short turns", .longest_turn = 3}); }
TEST(Twins, LoopsAgreeWithLittleRoom) {
  agree({.name = "little room", .tlb_entries = 4, .code_cache = Bytes{256 * kKiB}, .forgets = true});
}

TEST(Twins, LoopsAgreeWhosePagesMoveAsTheyWrite) { agree({.name = "shared pages", .shares = true}); }

// Wherever a hart may be when a region that it ordered is ready.
TEST(Twins, LoopsAgreeThatAreTranslatedBeside) { agree({.name = "beside", .beside = true}); }
TEST(Twins, LoopsAgreeThatAreTranslatedBesideShortTurns) {
  agree({.name = "beside, short turns", .longest_turn = 3, .beside = true});
}
TEST(Twins, LoopsAgreeThatAreTranslatedBesideWithLittleRoom) {
  agree({.name = "beside, with little room",
         .tlb_entries = 4,
         .code_cache = Bytes{256 * kKiB},
         .forgets = true,
         .beside = true});
}

TEST(Twins, LoopsAgreeThatWereTranslatedForOthers) { agree({.name = "shelf", .shelf = true}); }
TEST(Twins, LoopsAgreeThatWereTranslatedForOthersWithLittleRoom) {
  agree({.name = "shelf, little room",
         .tlb_entries = 4,
         .code_cache = Bytes{256 * kKiB},
         .forgets = true,
         .shelf = true});
}

TEST(Twins, CallsAgree) { agree({.name = "calls", .programs = Programs::kCalls}); }
TEST(Twins, CallsAgreeAtEachBlock) {
  agree({.name = "calls, short turns", .longest_turn = 3, .programs = Programs::kCalls});
}
TEST(Twins, CallsAgreeWithLittleRoom) {
  agree({.name = "calls, little room",
         .tlb_entries = 4,
         .code_cache = Bytes{256 * kKiB},
         .forgets = true,
         .programs = Programs::kCalls});
}
TEST(Twins, CallsAgreeThatAreTranslatedBesideWithLittleRoom) {
  agree({.name = "calls, beside, with little room",
         .tlb_entries = 4,
         .code_cache = Bytes{256 * kKiB},
         .forgets = true,
         .beside = true,
         .programs = Programs::kCalls});
}

TEST(Twins, CallsAgreeThatWereTranslatedForOthers) {
  agree({.name = "calls, shelf", .forgets = true, .shelf = true, .programs = Programs::kCalls});
}

TEST(Twins, MixturesAgree) { agree({.name = "mixtures", .programs = Programs::kMixture}); }
TEST(Twins, MixturesAgreeAtEachBlock) {
  agree({.name = "mixtures, short turns", .longest_turn = 3, .programs = Programs::kMixture});
}
TEST(Twins, MixturesAgreeWithLittleRoom) {
  agree({.name = "mixtures, little room",
         .tlb_entries = 4,
         .code_cache = Bytes{256 * kKiB},
         .forgets = true,
         .programs = Programs::kMixture});
}
TEST(Twins, MixturesAgreeThatAreTranslatedBeside) {
  agree({.name = "mixtures, beside", .forgets = true, .beside = true, .programs = Programs::kMixture});
}

// By a translator that has nothing but x86-64's baseline.
TEST(Twins, LoopsAgreeOnAPlainHost) { agree({.name = "plain", .plain = true}); }
TEST(Twins, CallsAgreeOnAPlainHost) {
  agree({.name = "calls, plain", .programs = Programs::kCalls, .plain = true});
}
TEST(Twins, MixturesAgreeOnAPlainHost) {
  agree({.name = "mixtures, plain", .programs = Programs::kMixture, .plain = true});
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
