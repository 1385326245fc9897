// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "jit/testing/two_engines.h"

// cbo.zero in translated code: what it clears, who may, and where it traps, as with the interpreter.
namespace cloister::jit {
namespace {

using namespace hart::testing;
using testing::Side;

constexpr u64 kClearing = hart::testing::kCode + 0x4000;
constexpr u64 kMapped = 0xc0000000,
              kUserCode = 0xc0100000;  // mapped to kData, and to kClearing for user mode
constexpr u32 kBack = 0x00008067;
constexpr u32 kUserCall = 0x00000073;  // ecall
constexpr u64 kFilling = 0x1122334455667788;

u32 cbo_zero(u32 rs1) { return code(Op::cbo_zero, 0, rs1, 0); }

struct ZeroBlock : testing::TwoEngines {
  ZeroBlock() : TwoEngines(8) {
    each([](Side& side) {
      side.guest.put(kClearing, {addi(s2, s2, 1), cbo_zero(a0), addi(s3, s3, 1), kBack});
      side.guest.put(kClearing + 0x800, {addi(s2, s2, 1), cbo_zero(a0), addi(s3, s3, 1), kUserCall});
      side.tables.map(kMapped, kData, kReadWrite | kUsed);
      side.tables.map(kMapped + kPageSize, kData + kPageSize, pte::kValid | pte::kRead | kUsed);
      side.tables.map(kMapped + 2 * kPageSize, kDevice, kReadWrite | kUsed);
      side.tables.map(kMapped + 3 * kPageSize, kData, kReadWrite | kUsed | pte::kUser);
      side.tables.map(kUserCode, kClearing, kAll | kUsed | pte::kUser);
      side.tables.activate();
    });
  }

  // Of the supervisor. Fills the page and its neighbours first.
  std::optional<Trap> clear(u64 va) {
    return both([va](Side& side) {
      side.guest.set(s0, kClearing);
      side.guest.set(a0, va);
      return side.guest.run({addi(s4, ra, 0), code(Op::jalr, ra, s0, 0), addi(ra, s4, 0)});
    });
  }
  std::optional<Trap> clear_by_user(u64 va) {
    return both([va](Side& side) {
      side.guest.set(a0, va);
      return side.guest.run_user(kUserCode + 0x800);
    });
  }

  template <typename Run>
  std::optional<Trap> both(Run run) {
    std::optional<Trap> traps[2];
    std::size_t index = 0;
    each([&](Side& side) {
      for (u64 at = kData - kPageSize; at < kData + 2 * kPageSize; at += 8) side.guest.poke(at, kFilling);
      traps[index++] = run(side);
    });
    for (const u32 reg : {s2, s3, a0}) EXPECT_EQ(translated.guest.reg(reg), interpreted.guest.reg(reg));
    EXPECT_EQ(translated.guest.hart().instructions(), interpreted.guest.hart().instructions());
    for (u64 at = kData - kPageSize; at < kData + 2 * kPageSize; at += 8)
      EXPECT_EQ(translated.guest.peek(at), interpreted.guest.peek(at)) << std::hex << at;
    EXPECT_EQ(traps[0].has_value(), traps[1].has_value());
    if (traps[0] && traps[1]) {
      EXPECT_EQ(traps[0]->cause, traps[1]->cause);
      EXPECT_EQ(traps[0]->tval, traps[1]->tval);
      EXPECT_EQ(traps[0]->epc, traps[1]->epc);
    }
    return traps[1];
  }

  bool is_clear(u64 page) {
    for (u64 at = page; at < page + kPageSize; at += 8) {
      if (interpreted.guest.peek(at) != 0) return false;
    }
    return true;
  }

  void allow_user(u64 bits) {
    each([bits](Side& side) {
      side.guest.set(t0, bits);
      side.guest.run({csrw(Csr::senvcfg, t0)});
    });
  }

  void warm_up() {
    for (int i = 0; i < 50; ++i) ASSERT_FALSE(clear(kMapped + 64).has_value());
    ASSERT_GT(translator->statistics().regions, 0u);
  }
};

TEST_F(ZeroBlock, ClearsThePageThatItsAddressLiesInAndNothingElse) {
  warm_up();
  for (const u64 offset : {u64{0}, u64{1}, u64{2048}, kPageMask}) {
    EXPECT_FALSE(clear(kMapped + offset).has_value());
    EXPECT_TRUE(is_clear(kData));
    EXPECT_EQ(interpreted.guest.peek(kData - 8), kFilling);
    EXPECT_EQ(interpreted.guest.peek(kData + kPageSize), kFilling);
  }
}

TEST_F(ZeroBlock, TrapsAsAStoreDoesAtItsOwnInstruction) {
  warm_up();
  const auto read_only = clear(kMapped + kPageSize + 24);
  ASSERT_TRUE(read_only.has_value());
  EXPECT_TRUE(read_only->is(isa::Cause::kStorePage));
  EXPECT_EQ(read_only->tval, kMapped + kPageSize + 24);
  EXPECT_EQ(read_only->epc, kClearing + 4);
  EXPECT_FALSE(is_clear(kData + kPageSize));
  const auto device = clear(kMapped + 2 * kPageSize);
  ASSERT_TRUE(device.has_value());
  EXPECT_TRUE(device->is(isa::Cause::kStoreAccess));
  const auto missing = clear(kMapped + 5 * kPageSize);
  ASSERT_TRUE(missing.has_value());
  EXPECT_TRUE(missing->is(isa::Cause::kStorePage));
  EXPECT_EQ(missing->tval, kMapped + 5 * kPageSize);
}

TEST_F(ZeroBlock, IsUserModesWhereSenvcfgSaysSo) {
  allow_user(isa::senvcfg::kCbze);
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(clear_by_user(kMapped + 3 * kPageSize + 8)->is(isa::Cause::kUserCall));
    EXPECT_TRUE(is_clear(kData));
  }
  ASSERT_GT(translator->statistics().regions, 0u);
  allow_user(isa::senvcfg::kCbcfe);
  const auto trap = clear_by_user(kMapped + 3 * kPageSize + 8);
  ASSERT_TRUE(trap.has_value());
  EXPECT_TRUE(trap->is(isa::Cause::kIllegalInstruction));
  EXPECT_EQ(trap->tval, cbo_zero(a0));
  EXPECT_EQ(trap->epc, kUserCode + 0x804);
  EXPECT_FALSE(is_clear(kData));
}

}  // namespace
}  // namespace cloister::jit
