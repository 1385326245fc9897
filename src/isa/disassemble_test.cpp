// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>

#include "isa/cause.h"
#include "isa/csr.h"
#include "isa/insn.h"
#include "isa/properties.h"
#include "isa/table.h"

namespace cloister::isa {
namespace {

std::string text(u32 bits, u64 pc = 0) { return disassemble(decode(bits), pc); }

TEST(Disassemble, WritesTheAssemblersNotation) {
  EXPECT_EQ(text(0x00150513), "addi a0, a0, 1");
  EXPECT_EQ(text(0x00b57533), "and a0, a0, a1");
  EXPECT_EQ(text(0xfe010113), "addi sp, sp, -32");
  EXPECT_EQ(text(0x12345537), "lui a0, 0x12345");
  EXPECT_EQ(text(0x80000517), "auipc a0, 0x80000");
  EXPECT_EQ(text(0x00813083), "ld ra, 8(sp)");
  EXPECT_EQ(text(0x00113423), "sd ra, 8(sp)");
  EXPECT_EQ(text(0x00008067), "jalr zero, 0(ra)");
  EXPECT_EQ(text(0x00000073), "ecall");
  EXPECT_EQ(text(0x00000000), "illegal");
}

TEST(Disassemble, BranchTargetsAreAbsolute) {
  EXPECT_EQ(text(0xfe208ee3, 0x80000010), "beq ra, sp, 0x8000000c");
  EXPECT_EQ(text(0x001000ef, 0x80000000), "jal ra, 0x80000800");
  EXPECT_EQ(text(0xdd75, 0x1000), "beq a0, zero, 0xffc");
}

TEST(Disassemble, NamesCsrs) {
  EXPECT_EQ(text(0x18051073), "csrrw zero, satp, a0");
  EXPECT_EQ(text(0x1002d073), "csrrwi zero, sstatus, 5");
  EXPECT_EQ(text(0xc0302573), "csrrs a0, hpmcounter3, zero");
  EXPECT_EQ(text(0x7c002573), "csrrs a0, 0x7c0, zero");
}

TEST(Disassemble, WritesOrderingAndFences) {
  EXPECT_EQ(text(0x1605a52f), "lr.w.aqrl a0, (a1)");
  EXPECT_EQ(text(0x04c5b52f), "amoadd.d.aq a0, a2, (a1)");
  EXPECT_EQ(text(0x1ac5b52f), "sc.d.rl a0, a2, (a1)");
  EXPECT_EQ(text(0x0310000f), "fence rw, w");
  EXPECT_EQ(text(0x0ff0000f), "fence iorw, iorw");
  EXPECT_EQ(text(0x8330000f), "fence.tso");
  EXPECT_EQ(text(0x0100000f), "pause");
}

TEST(Disassemble, WritesRoundingModesUnlessDynamic) {
  EXPECT_EQ(text(0x00b57553), "fadd.s fa0, fa0, fa1");
  EXPECT_EQ(text(0x00b50553), "fadd.s fa0, fa0, fa1, rne");
  EXPECT_EQ(text(0xc2059553), "fcvt.w.d a0, fa1, rtz");
  EXPECT_EQ(text(0x22c5f543), "fmadd.d fa0, fa1, fa2, ft4");
  EXPECT_EQ(text(0xf2058553), "fmv.d.x fa0, a1");
}

TEST(Disassemble, MnemonicsAreTheManuals) {
  EXPECT_STREQ(mnemonic(Op::sfence_inval_ir), "sfence.inval.ir");
  EXPECT_STREQ(mnemonic(Op::xor_), "xor");
  EXPECT_STREQ(mnemonic(Op::cloister_call), "cloister.call");
  EXPECT_STREQ(mnemonic(Op::illegal), "illegal");
}

TEST(Properties, FollowFromTheFormat) {
  constexpr Properties kFmadd = properties(Op::fmadd_d);
  static_assert(kFmadd.rd == RegisterClass::kFloat && kFmadd.rs3 == RegisterClass::kFloat);
  static_assert(kFmadd.has_rounding_mode && !kFmadd.has_immediate);
  static_assert(properties(Op::fld).rs1 == RegisterClass::kInteger && properties(Op::fld).is_load());
  static_assert(properties(Op::fsd).rs2 == RegisterClass::kFloat && properties(Op::fsd).is_store());
  static_assert(properties(Op::amoadd_w).is_load() && properties(Op::amoadd_w).is_store());
  static_assert(properties(Op::csrrwi).rs1 == RegisterClass::kNone);
  static_assert(properties(Op::feq_s).rd == RegisterClass::kInteger && properties(Op::feq_s).is_float());
  static_assert(!properties(Op::jalr).is_load());
}

// The format says twice what the pattern says: which fields there are.
TEST(Properties, AgreeWithThePatterns) {
  for (const Row& row : rows()) {
    if (row.length != 4) continue;
    const Properties& what = properties(row.op);
    EXPECT_EQ(what.rd != RegisterClass::kNone, row.pattern.rd.present()) << row.name;
    EXPECT_EQ(what.rs1 != RegisterClass::kNone || what.format == Format::kCsrI, row.pattern.rs1.present())
        << row.name;
    EXPECT_EQ(what.rs2 != RegisterClass::kNone, row.pattern.rs2.present()) << row.name;
    EXPECT_EQ(what.rs3 != RegisterClass::kNone, row.pattern.rs3.present()) << row.name;
    EXPECT_EQ(what.has_immediate, row.pattern.parts != 0) << row.name;
    EXPECT_EQ(what.has_rounding_mode, row.pattern.rm.present()) << row.name;
  }
}

TEST(Csr, ConventionGivesModeAndReadOnly) {
  EXPECT_EQ(csr_name(0x180), "satp");
  EXPECT_FALSE(csr_name(0x300).has_value());
  EXPECT_TRUE(csr_is_read_only(0xc00));
  EXPECT_FALSE(csr_is_read_only(0x180));
  EXPECT_TRUE(csr_needs_supervisor(0x100));
  EXPECT_FALSE(csr_needs_supervisor(0x003));
}

TEST(Cause, HasNames) {
  EXPECT_STREQ(cause_name(13), "load page fault");
  EXPECT_STREQ(cause_name(scause_of(InterruptCause::kTimer)), "supervisor timer interrupt");
  EXPECT_STREQ(cause_name(99), "unknown");
  EXPECT_STREQ(cause_name(u64{1} << 40), "unknown");
}

}  // namespace
}  // namespace cloister::isa
