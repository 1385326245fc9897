// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "hart/testing_guest.h"
#include "jit/translator.h"

// Calls and returns from region to region, which come back where the guest says and at the same instruction
// as with the interpreter.
namespace cloister::jit {
namespace {

using namespace hart::testing;

constexpr u64 kCaller = hart::testing::kCode + 0x4000, kFunction = kCaller + kPageSize;
constexpr i32 kDown = static_cast<i32>(kPageSize);  // from one to the other
constexpr u32 kReturn = 0x00008067;

u32 call(i32 distance) { return code(Op::jal, ra, 0, 0, distance); }

struct Returns : ::testing::Test {
  explicit Returns(u32 very_hot = 8)
      : translator(Translator::create({.code_cache = Bytes{kMiB}, .hot = 2, .very_hot = very_hot}).take()) {}

  // What a0 is behind the program that begins at kCaller, on both engines. It is called often enough to be
  // hot.
  u64 result() {
    for (int round = 0; round < 20; ++round) {
      for (TestGuest* guest : {&translated, &interpreted}) {
        guest->set(sp, kData + 0x10000);
        guest->set(s0, kCaller);
        guest->run({addi(a0, 0, 0), code(Op::jalr, ra, s0, 0)});
      }
      EXPECT_EQ(translated.reg(a0), interpreted.reg(a0));
      EXPECT_EQ(translated.hart().instructions(), interpreted.hart().instructions());
    }
    EXPECT_GT(translator->statistics().regions, 1u);
    return translated.reg(a0);
  }
  void put(u64 address, std::initializer_list<u32> words) {
    translated.put(address, words);
    interpreted.put(address, words);
  }

  const std::unique_ptr<Translator> translator;
  TestGuest translated{hart::HartOptions{.translator = translator.get()}};
  TestGuest interpreted;
};

// Far deeper than the return stack.
TEST_F(Returns, ComeBackThroughAllLevels) {
  constexpr i32 kLevels = 1500;
  put(kCaller, {addi(s2, ra, 0), addi(a1, 0, kLevels), call(kDown - 8), addi(ra, s2, 0), kReturn});
  put(kFunction,
      {branch(Op::bne, a1, zero, 8), kReturn, addi(sp, sp, -16), store(Op::sd, ra, sp), addi(a1, a1, -1),
       call(-kDown - 20 + 0x100), addi(a0, a0, 1), load(Op::ld, ra, sp), addi(sp, sp, 16), kReturn});
  put(kCaller + 0x100, {code(Op::jal, 0, 0, 0, kDown - 0x100)});
  EXPECT_EQ(result(), u64{kLevels});
}

// As longjmp() does it: past two functions, which never come back.
TEST_F(Returns, MayLeaveOutLevels) {
  put(kCaller, {addi(s2, ra, 0), addi(a1, 0, 9), call(kDown - 8), addi(s3, ra, 0), call(kDown + 0x100 - 16),
                addi(a0, a0, 1), addi(a1, a1, -1), branch(Op::bne, a1, zero, -20), addi(ra, s2, 0), kReturn});
  put(kFunction, {addi(a0, a0, 2), kReturn});
  put(kFunction + 0x100, {addi(s4, ra, 0), call(-kDown), addi(a0, a0, 100), kReturn});
  put(kCaller + 0x104, {addi(ra, s4, 0), kReturn});
  EXPECT_EQ(result(), 9u * (2 + 1));
}

// Of what is made anew only for a loop of many rounds.
struct ReturnsToLoops : Returns {
  ReturnsToLoops() : Returns(1000) {}
};

// A region that is made anew, from a loop in it, may lack what the old one had before the loop. Whoever was
// led there is led to the code that this gets of its own.
TEST_F(ReturnsToLoops, AndCallsFindCodeThatTookAnothersPlace) {
  constexpr u64 kLoop = kFunction + 0x40, kCallOfFunction = kFunction + 0x80;
  put(kFunction, {addi(a0, a0, 1), code(Op::jal, 0, 0, 0, 0x3c)});
  put(kLoop, {addi(a0, a0, 2), addi(a1, a1, -1), branch(Op::bne, a1, zero, -8), kReturn});
  put(kCallOfFunction, {addi(s2, ra, 0), call(-0x84), addi(ra, s2, 0), kReturn});
  const auto enter = [this](u64 address, u64 rounds, int times) {
    for (int i = 0; i < times; ++i) {
      for (TestGuest* guest : {&translated, &interpreted}) {
        guest->set(s0, address);
        guest->set(a1, rounds);
        guest->run({code(Op::jalr, ra, s0, 0)});
      }
      ASSERT_EQ(translated.reg(a0), interpreted.reg(a0));
    }
  };
  enter(kFunction, 1, 10);
  enter(kCallOfFunction, 1, 10);
  const u64 remade = translator->statistics().remade;
  enter(kLoop, 10'000, 2);
  ASSERT_GT(translator->statistics().remade, remade);
  const u64 unlinked = translator->statistics().unlinked;
  enter(kCallOfFunction, 1, 100);
  EXPECT_LT(translator->statistics().unlinked, unlinked + 20);
}

// What stands behind the call has code, and is another instruction at each eighth time that it comes back.
TEST_F(Returns, FindCodeThatWasWrittenMeanwhile) {
  constexpr i32 kOneInImmediate = 1 << 20;
  put(kCaller, {addi(s2, ra, 0), addi(a1, 0, 50), call(kDown - 8), addi(a0, a0, 2), addi(a1, a1, -1),
                branch(Op::bne, a1, zero, -12), addi(ra, s2, 0), kReturn});
  put(kFunction, {code(Op::andi, t0, a1, 0, 7), branch(Op::bne, t0, zero, 24), load(Op::lw, t1, ra),
                  code(Op::lui, t2, 0, 0, kOneInImmediate), code(Op::xor_, t1, t1, t2), store(Op::sw, t1, ra),
                  code(Op::fence_i), kReturn});
  EXPECT_EQ(result(), 26u * 2 + 24u * 3);
}

}  // namespace
}  // namespace cloister::jit
