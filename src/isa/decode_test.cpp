// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <iterator>
#include <map>
#include <string_view>

#include "base/random.h"
#include "isa/encode.h"
#include "isa/insn.h"
#include "isa/table.h"

namespace cloister::isa {
namespace {

constexpr u64 kSeed = 20240917;

TEST(Decode, EveryInstanceOfARowDecodesToItAndBack) {
  Random random(kSeed);
  for (const Row& row : rows()) {
    for (int i = 0; i < 500; ++i) {
      const u32 bits = random_instance(row, random);
      const Insn insn = decode(bits);
      ASSERT_EQ(insn.op, row.op) << fmt::format("{} {:08x}", row.name, bits);
      ASSERT_EQ(insn.length, row.length);
      ASSERT_EQ(put_together(row, insn), bits & ~row.pattern.ignored) << row.name;
    }
  }
}

TEST(Decode, EveryCompressedInstructionMeansWhatItsFullLengthFormMeans) {
  Random random(kSeed);
  for (const Row& row : rows()) {
    if (row.length != 2) continue;
    for (int i = 0; i < 500; ++i) {
      Insn insn = decode(random_instance(row, random));
      const auto again = encode_compressed(insn);
      ASSERT_TRUE(again.has_value()) << row.name;
      ASSERT_EQ(decode(*again), insn) << row.name;
      const u32 full = encode(insn);
      insn.length = 4;
      ASSERT_EQ(decode(full), insn) << row.name;
    }
  }
}

TEST(Decode, WhatHasNoShortFormIsNotEncodedShort) {
  EXPECT_EQ(encode_compressed(decode(0x00b50533)), 0x952e);         // add a0, a0, a1
  EXPECT_FALSE(encode_compressed(decode(0x02b50533)).has_value());  // mul a0, a0, a1
  EXPECT_FALSE(encode_compressed(decode(0x06450513)).has_value());  // addi a0, a0, 100
}

// The fields, in bits worked out by hand from the manual's pictures.
TEST(Decode, FieldsStandWhereTheManualPutsThem) {
  EXPECT_EQ(decode(0xfff50593), (Insn{.op = Op::addi, .rd = 11, .rs1 = 10, .imm = -1}));
  EXPECT_EQ(decode(0xfea5ae23), (Insn{.op = Op::sw, .rs1 = 11, .rs2 = 10, .imm = -4}));
  EXPECT_EQ(decode(0xfe208ee3), (Insn{.op = Op::beq, .rs1 = 1, .rs2 = 2, .imm = -4}));
  EXPECT_EQ(decode(0x800000ef), (Insn{.op = Op::jal, .rd = 1, .imm = -1048576}));
  EXPECT_EQ(decode(0x001000ef), (Insn{.op = Op::jal, .rd = 1, .imm = 2048}));
  EXPECT_EQ(decode(0x800002b7), (Insn{.op = Op::lui, .rd = 5, .imm = -2147483647 - 1}));
  EXPECT_EQ(decode(0x43f55513), (Insn{.op = Op::srai, .rd = 10, .rs1 = 10, .imm = 63}));
  EXPECT_EQ(decode(0xc0102573), (Insn{.op = Op::csrrs, .rd = 10, .imm = 0xc01}));
  EXPECT_EQ(decode(0x1002d073), (Insn{.op = Op::csrrwi, .rs1 = 5, .imm = 0x100}));
  EXPECT_EQ(decode(0x22c5f543), (Insn{.op = Op::fmadd_d, .rd = 10, .rs1 = 11, .rs2 = 12, .rs3 = 4, .rm = 7}));
  EXPECT_EQ(decode(0x1605a52f), (Insn{.op = Op::lr_w, .rd = 10, .rs1 = 11, .aqrl = 3}));
  EXPECT_EQ(decode(0x0310000f), (Insn{.op = Op::fence, .imm = 0x31}));
  EXPECT_EQ(decode(0x8330000f), (Insn{.op = Op::fence, .imm = 0x833}));
}

TEST(Decode, CompressedFieldsStandWhereTheManualPutsThem) {
  EXPECT_EQ(decode(0x1101), (Insn{.op = Op::addi, .rd = 2, .rs1 = 2, .length = 2, .imm = -32}));
  EXPECT_EQ(decode(0x7139), (Insn{.op = Op::addi, .rd = 2, .rs1 = 2, .length = 2, .imm = -64}));
  EXPECT_EQ(decode(0x0028), (Insn{.op = Op::addi, .rd = 10, .rs1 = 2, .length = 2, .imm = 8}));
  EXPECT_EQ(decode(0x4501), (Insn{.op = Op::addi, .rd = 10, .length = 2}));
  EXPECT_EQ(decode(0x757d), (Insn{.op = Op::lui, .rd = 10, .length = 2, .imm = -4096}));
  EXPECT_EQ(decode(0x70a2), (Insn{.op = Op::ld, .rd = 1, .rs1 = 2, .length = 2, .imm = 40}));
  EXPECT_EQ(decode(0xf406), (Insn{.op = Op::sd, .rs1 = 2, .rs2 = 1, .length = 2, .imm = 40}));
  EXPECT_EQ(decode(0x8082), (Insn{.op = Op::jalr, .rs1 = 1, .length = 2}));
  EXPECT_EQ(decode(0x9502), (Insn{.op = Op::jalr, .rd = 1, .rs1 = 10, .length = 2}));
  EXPECT_EQ(decode(0xbfcd), (Insn{.op = Op::jal, .length = 2, .imm = -14}));
  EXPECT_EQ(decode(0xdd75), (Insn{.op = Op::beq, .rs1 = 10, .length = 2, .imm = -4}));
  EXPECT_EQ(decode(0x9002), (Insn{.op = Op::ebreak, .length = 2}));
}

struct Forbidden {
  u32 bits;
  std::string_view why;
};

TEST(Decode, ReservedAndForeignEncodingsAreIllegal) {
  constexpr Forbidden kForbidden[] = {
      {0x00000000, "defined illegal"},
      {0xffffffff, "longer than 32 bits"},
      {0x0000001f, "48 bits long"},
      {0x00000008, "c.addi4spn of 0"},
      {0x00002001, "c.addiw to x0"},
      {0x00006101, "c.addi16sp of 0"},
      {0x00006501, "c.lui of 0"},
      {0x00004002, "c.lwsp to x0"},
      {0x00006002, "c.ldsp to x0"},
      {0x00008002, "c.jr of x0"},
      {0x00008000, "quadrant 0, funct3 100"},
      {0x00009c41, "funct2 reserved on RV64"},
      {0x0205151b, "slliw by 32"},
      {0x2005151b, "slliw with a stray bit"},
      {0x80051513, "slli with a stray bit"},
      {0x00b5553b | 1 << 26, "srlw with funct7 0000010"},
      {0x00b55553, "fadd.s with rounding mode 5"},
      {0x00b56553, "fadd.s with rounding mode 6"},
      {0x04b57553, "FP format reserved"},
      {0x00b5052f, "AMO of bytes without Zabha"},
      {0x00b5452f, "AMO of 128 bits"},
      {0x1015252f | 1 << 20, "lr.w with rs2"},
      {0x30200073, "mret"},
      {0x00200073, "uret"},
      {0x10200f73, "sret with rd"},
      {0x0000400f, "MISC-MEM funct3 100"},
      {0x0035200f, "cbo of an unknown kind"},
      {0x00004073, "SYSTEM funct3 100 without H"},
      {0x0000100b, "custom-0 with funct3 001"},
      {0x0010000b, "custom-0 with a field not zero"},
      {0x0000008b, "custom-0 with rd"},
      {0x0000002b, "custom-1"},
      {0x00000057, "vector"},
      {0x00007003, "load funct3 111"},
      {0x00004023, "store funct3 100"},
      {0x00002063, "branch funct3 010"},
      {0x00001067, "jalr funct3 001"},
  };
  for (const Forbidden& forbidden : kForbidden) {
    EXPECT_EQ(decode(forbidden.bits).op, Op::illegal)
        << fmt::format("{:08x}: {}", forbidden.bits, forbidden.why);
    EXPECT_EQ(decode(forbidden.bits).length, (forbidden.bits & 3) == 3 ? 4 : 2);
  }
}

struct Count {
  std::string_view row;
  u32 instances;
};

// All 49152 of them. The counts follow from the manual's pictures: the values of the free fields, less
// those that are reserved.
TEST(Decode, EveryCompressedEncodingIsCounted) {
  constexpr Count kCounts[] = {{"c_addi4spn", 8 * 255}, {"c_fld", 2048},    {"c_lw", 2048},
                               {"c_ld", 2048},          {"c_fsd", 2048},    {"c_sw", 2048},
                               {"c_sd", 2048},          {"c_addi", 2048},   {"c_addiw", 31 * 64},
                               {"c_li", 2048},          {"c_addi16sp", 63}, {"c_lui", 31 * 63},
                               {"c_srli", 8 * 64},      {"c_srai", 8 * 64}, {"c_andi", 8 * 64},
                               {"c_sub", 64},           {"c_xor", 64},      {"c_or", 64},
                               {"c_and", 64},           {"c_subw", 64},     {"c_addw", 64},
                               {"c_j", 2048},           {"c_beqz", 2048},   {"c_bnez", 2048},
                               {"c_slli", 2048},        {"c_fldsp", 2048},  {"c_lwsp", 31 * 64},
                               {"c_ldsp", 31 * 64},     {"c_jr", 31},       {"c_mv", 32 * 31},
                               {"c_ebreak", 1},         {"c_jalr", 31},     {"c_add", 32 * 31},
                               {"c_fsdsp", 2048},       {"c_swsp", 2048},   {"c_sdsp", 2048}};
  std::map<std::string_view, u32> seen;
  for (u32 bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 3) == 3) continue;
    const Row* row = find_row(bits);
    ++seen[row != nullptr ? row->name : "illegal"];
  }
  for (const Count& count : kCounts) EXPECT_EQ(seen[count.row], count.instances) << count.row;
  const u32 quadrant_0_funct3_100 = 2048, arithmetic_11x = 2 * 64;
  const u32 to_x0 = 64 + 64 + 64 + 1;     // c.addiw, c.lwsp, c.ldsp, c.jr
  const u32 immediate_zero = 8 + 1 + 31;  // c.addi4spn (one of these is all zeros), c.addi16sp, c.lui
  EXPECT_EQ(seen["illegal"], quadrant_0_funct3_100 + arithmetic_11x + to_x0 + immediate_zero);
  EXPECT_EQ(seen.size(), std::size(kCounts) + 1);
}

TEST(Decode, HintsDecodeAsWhatTheyWouldBeOtherwise) {
  EXPECT_EQ(decode(0x0001).op, Op::addi);  // c.nop
  EXPECT_EQ(decode(0x0505).op, Op::addi);
  EXPECT_EQ(decode(0x4005).op, Op::addi);     // c.li x0, 1
  EXPECT_EQ(decode(0x6005).op, Op::lui);      // c.lui x0, 1
  EXPECT_EQ(decode(0x8016).op, Op::add);      // c.mv x0, t0
  EXPECT_EQ(decode(0x0002).op, Op::slli);     // c.slli x0, 0
  EXPECT_EQ(decode(0x00106013).op, Op::ori);  // prefetch.r
  EXPECT_EQ(decode(0x0100000f).op, Op::pause);
  EXPECT_EQ(decode(0x0110000f).op, Op::fence);
}

TEST(Decode, OnlyTheHypercallIsLegalInCustom0) {
  Random random(kSeed);
  EXPECT_EQ(decode(0x0000000b).op, Op::cloister_call);
  for (int i = 0; i < 100'000; ++i) {
    const u32 bits = (static_cast<u32>(random.next()) & ~0x7fu) | 0x0b;
    ASSERT_TRUE(bits == 0x0b || decode(bits).op == Op::illegal);
  }
}

TEST(Decode, UnusedFieldsOfFencesAreIgnored) {
  EXPECT_EQ(decode(0x0ff0000f | 5 << 7 | 6 << 15), decode(0x0ff0000f));
  EXPECT_EQ(decode(0x0000100f | 5 << 7 | 6 << 15 | 0xabcu << 20), decode(0x0000100f));
}

TEST(Decode, BlocksEndWhereControlOrMeaningMayChange) {
  for (const Op op : {Op::beq, Op::jal, Op::jalr, Op::ecall, Op::ebreak, Op::sret, Op::wfi, Op::fence_i,
                      Op::csrrw, Op::sfence_vma, Op::cloister_call, Op::illegal})
    EXPECT_TRUE(ends_block(op)) << mnemonic(op);
  for (const Op op : {Op::add, Op::ld, Op::sd, Op::fence, Op::pause, Op::amoadd_w, Op::fadd_d, Op::cbo_zero})
    EXPECT_FALSE(ends_block(op)) << mnemonic(op);
}

}  // namespace
}  // namespace cloister::isa
