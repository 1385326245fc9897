// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <string_view>
#include <vector>

#include "isa/cases.h"
#include "isa/test_machine.h"

namespace cloister::isa_tests {
namespace {

// What a compressed instruction does to registers. The bits were taken apart by hand from the manual's
// pictures.
struct Value {
  u8 reg;
  u64 value;
};
struct RegisterCase {
  const char* row;
  u16 bits;
  std::vector<Value> before;
  Value after;
};

constexpr u64 kOnes = ~u64{0};
constexpr u64 neg(u64 value) { return ~value + 1; }

const std::vector<RegisterCase>& register_cases() {
  using namespace reg;
  static const std::vector<RegisterCase> kCases = {
      {"c_addi4spn", 0x0800, {{sp, 1000}}, {s0, 1016}},                            // c.addi4spn s0, sp, 16
      {"c_addi4spn", 0x1ffc, {{sp, 0}}, {a5, 1020}},                               // c.addi4spn a5, sp, 1020
      {"c_addi", 0x157d, {{a0, 0}}, {a0, kOnes}},                                  // c.addi a0, -1
      {"c_addi", 0x057d, {{a0, 1}}, {a0, 32}},                                     // c.addi a0, 31
      {"c_addi", 0x0001, {{zero, 0}}, {zero, 0}},                                  // c.nop
      {"c_addiw", 0x2505, {{a0, 0x7fffffff}}, {a0, 0xffffffff'80000000}},          // c.addiw a0, 1
      {"c_addiw", 0x2501, {{a0, 0x1'00000005}}, {a0, 5}},                          // c.addiw a0, 0
      {"c_li", 0x557d, {{a0, 77}}, {a0, kOnes}},                                   // c.li a0, -1
      {"c_li", 0x457d, {{a0, 77}}, {a0, 31}},                                      // c.li a0, 31
      {"c_addi16sp", 0x7139, {{sp, 100}}, {sp, 36}},                               // c.addi16sp sp, -64
      {"c_addi16sp", 0x617d, {{sp, 0}}, {sp, 496}},                                // c.addi16sp sp, 496
      {"c_lui", 0x657d, {}, {a0, 0x1f000}},                                        // c.lui a0, 0x1f
      {"c_lui", 0x7505, {}, {a0, 0xffffffff'fffe1000}},                            // c.lui a0, 0xfffe1
      {"c_srli", 0x9079, {{s0, kOnes}}, {s0, kOnes >> 62}},                        // c.srli s0, 62
      {"c_srai", 0x957d, {{a0, u64{1} << 63}}, {a0, kOnes}},                       // c.srai a0, 63
      {"c_andi", 0x9941, {{a0, 0xff}}, {a0, 0xf0}},                                // c.andi a0, -16
      {"c_sub", 0x8d0d, {{a0, 5}, {a1, 7}}, {a0, neg(2)}},                         // c.sub a0, a1
      {"c_xor", 0x8d2d, {{a0, 12}, {a1, 10}}, {a0, 6}},                            // c.xor a0, a1
      {"c_or", 0x8d4d, {{a0, 12}, {a1, 10}}, {a0, 14}},                            // c.or a0, a1
      {"c_and", 0x8d6d, {{a0, 12}, {a1, 10}}, {a0, 8}},                            // c.and a0, a1
      {"c_subw", 0x9d0d, {{a0, 0x1'00000000}, {a1, 1}}, {a0, kOnes}},              // c.subw a0, a1
      {"c_addw", 0x9d2d, {{a0, 0x7fffffff}, {a1, 1}}, {a0, 0xffffffff'80000000}},  // c.addw a0, a1
      {"c_slli", 0x157e, {{a0, 3}}, {a0, u64{1} << 63}},                           // c.slli a0, 63
      {"c_mv", 0x852e, {{a1, 42}}, {a0, 42}},                                      // c.mv a0, a1
      {"c_add", 0x952e, {{a0, 40}, {a1, 2}}, {a0, 42}},                            // c.add a0, a1
  };
  return kCases;
}

TEST(Compressed, ArithmeticDoesAsTheManualSays) {
  TestMachine machine;
  for (const RegisterCase& row : register_cases()) {
    ASSERT_STREQ(isa::find_row(row.bits)->name, row.row);
    for (const Value& value : row.before) machine.set_reg(value.reg, value.value);
    EXPECT_FALSE(machine.run(Program().half(row.bits)).trapped) << row.row;
    EXPECT_EQ(machine.reg(row.after.reg), row.after.value) << row.row << fmt::format(" {:04x}", row.bits);
  }
}

// -- Memory ------------------------------------------------------------------------------------------

constexpr u64 kHere = TestMachine::kData;
constexpr u64 kWord = 0x89abcdef'01234567, kAfter = 0x11112222'33334444;

enum class Data { kInteger, kFloat };
struct AccessCase {
  const char* row;
  u16 bits;
  u8 base;
  u64 offset;
  Data data;     // in a0 or fa0
  u64 expected;  // loaded into it, or left in memory by a store of kAfter
};
constexpr AccessCase kAccesses[] = {
    {"c_lw", 0x41c8, reg::a1, 4, Data::kInteger, 0x01234567},             // c.lw a0, 4(a1)
    {"c_lw", 0x5dc8, reg::a1, 60, Data::kInteger, 0x01234567},            // c.lw a0, 60(a1)
    {"c_lw", 0x41a8, reg::a1, 64, Data::kInteger, 0x01234567},            // c.lw a0, 64(a1)
    {"c_ld", 0x6588, reg::a1, 8, Data::kInteger, kWord},                  // c.ld a0, 8(a1)
    {"c_ld", 0x71e8, reg::a1, 224, Data::kInteger, kWord},                // c.ld a0, 224(a1)
    {"c_fld", 0x2588, reg::a1, 8, Data::kFloat, kWord},                   // c.fld fa0, 8(a1)
    {"c_lwsp", 0x4522, reg::sp, 8, Data::kInteger, 0x01234567},           // c.lwsp a0, 8(sp)
    {"c_lwsp", 0x550a, reg::sp, 160, Data::kInteger, 0x01234567},         // c.lwsp a0, 160(sp)
    {"c_ldsp", 0x6522, reg::sp, 8, Data::kInteger, kWord},                // c.ldsp a0, 8(sp)
    {"c_ldsp", 0x7506, reg::sp, 96, Data::kInteger, kWord},               // c.ldsp a0, 96(sp)
    {"c_fldsp", 0x2522, reg::sp, 8, Data::kFloat, kWord},                 // c.fldsp fa0, 8(sp)
    {"c_sw", 0xc1c8, reg::a1, 4, Data::kInteger, 0x89abcdef'33334444},    // c.sw a0, 4(a1)
    {"c_sd", 0xe588, reg::a1, 8, Data::kInteger, kAfter},                 // c.sd a0, 8(a1)
    {"c_fsd", 0xa588, reg::a1, 8, Data::kFloat, kAfter},                  // c.fsd fa0, 8(a1)
    {"c_swsp", 0xc42a, reg::sp, 8, Data::kInteger, 0x89abcdef'33334444},  // c.swsp a0, 8(sp)
    {"c_sdsp", 0xe42a, reg::sp, 8, Data::kInteger, kAfter},               // c.sdsp a0, 8(sp)
    {"c_fsdsp", 0xa42a, reg::sp, 8, Data::kFloat, kAfter},                // c.fsdsp fa0, 8(sp)
};

bool is_store(const AccessCase& row) {
  return std::string_view(row.row).find("_s") == 1 || row.row[3] == 's';
}

TEST(Compressed, AccessesDoAsTheManualSays) {
  TestMachine machine;
  const Insn to_float{.op = Op::fmv_d_x, .rd = reg::a0, .rs1 = reg::a0};
  const Insn from_float{.op = Op::fmv_x_d, .rd = reg::a0, .rs1 = reg::a0};
  for (const AccessCase& row : kAccesses) {
    ASSERT_STREQ(isa::find_row(row.bits)->name, row.row);
    machine.store(kHere, kWord);
    machine.set_reg(reg::a0, kAfter);
    machine.set_reg(row.base, kHere - row.offset);
    Program program;
    if (row.data == Data::kFloat) program << to_float;
    program.half(row.bits);
    if (row.data == Data::kFloat) program << from_float;
    EXPECT_FALSE(machine.run(program).trapped) << row.row;
    EXPECT_EQ(is_store(row) ? machine.load(kHere) : machine.reg(reg::a0), row.expected)
        << row.row << fmt::format(" {:04x}", row.bits);
  }
}

// -- Control -----------------------------------------------------------------------------------------

const Insn kFailed{.op = Op::addi, .rd = reg::a5, .imm = 1};

// Each jumps over the instruction that would set a5: 2 bytes of its own and 4 of that one.
struct JumpCase {
  const char* row;
  u16 bits;
  u64 a0;
  bool taken;
};
constexpr JumpCase kJumps[] = {
    {"c_j", 0xa019, 0, true},                                   // c.j +6
    {"c_beqz", 0xc119, 0, true},                                // c.beqz a0, +6
    {"c_beqz", 0xc119, 1, false}, {"c_bnez", 0xe119, 1, true},  // c.bnez a0, +6
    {"c_bnez", 0xe119, 0, false}, {"c_bnez", 0xe119, u64{1} << 63, true},
};

TEST(Compressed, BranchesGoWhereTheManualSays) {
  TestMachine machine;
  for (const JumpCase& row : kJumps) {
    ASSERT_STREQ(isa::find_row(row.bits)->name, row.row);
    machine.set_reg(reg::a0, row.a0);
    machine.set_reg(reg::a5, 0);
    EXPECT_FALSE(machine.run(Program().half(row.bits) << kFailed).trapped);
    EXPECT_EQ(machine.reg(reg::a5), row.taken ? 0u : 1u) << row.row;
  }
}

TEST(Compressed, JumpsBackward) {
  TestMachine machine;
  machine.set_reg(reg::a0, 5);
  machine.set_reg(reg::a5, 0);
  // c.addi a5, 2; c.addi a0, -1; c.bnez a0, -4
  EXPECT_FALSE(machine.run(Program().half(0x0789).half(0x157d).half(0xfd75)).trapped);
  EXPECT_EQ(machine.reg(reg::a5), 10u);
}

TEST(Compressed, JumpsThroughRegistersLinkBehindTheirTwoBytes) {
  TestMachine machine;
  const u64 start = TestMachine::address_after({});
  machine.set_reg(reg::a0, start + 6);
  machine.set_reg(reg::a5, 0);
  machine.set_reg(reg::ra, 99);
  EXPECT_FALSE(machine.run(Program().half(0x8502) << kFailed).trapped);  // c.jr a0
  EXPECT_EQ(machine.reg(reg::ra), 99u);
  EXPECT_FALSE(machine.run(Program().half(0x9502) << kFailed).trapped);  // c.jalr a0
  EXPECT_EQ(machine.reg(reg::ra), start + 2);
  EXPECT_EQ(machine.reg(reg::a5), 0u);
}

}  // namespace

// c.ebreak is tested with ebreak, c.jr and c.jalr above.
std::span<const char* const> compressed_rows() {
  static const std::vector<const char*> kRows = [] {
    std::vector<const char*> rows = {"c_ebreak", "c_jr", "c_jalr"};
    for (const RegisterCase& row : register_cases()) rows.push_back(row.row);
    for (const AccessCase& row : kAccesses) rows.push_back(row.row);
    for (const JumpCase& row : kJumps) rows.push_back(row.row);
    return rows;
  }();
  return kRows;
}

}  // namespace cloister::isa_tests
