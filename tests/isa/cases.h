// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "isa/insn.h"

// The tables of tests/isa: for each instruction, inputs and what the manual says comes of them. The expected
// values were worked out from the manual and IEEE 754, never by running an implementation.
namespace cloister::isa_tests {

using isa::Op;

// rd from rs1 and rs2, or rs1 and an immediate, which then stands in `b`.
struct IntegerCase {
  Op op;
  u64 a, b;
  u64 expected;
};
std::span<const IntegerCase> integer_cases();

// Flags of fcsr.
inline constexpr u8 kNx = 1, kUf = 2, kOf = 4, kDz = 8, kNv = 16;

// Rounding modes.
inline constexpr u8 kRne = 0, kRtz = 1, kRdn = 2, kRup = 3, kRmm = 4;

// Registers as they are, singles with their box; the operands a, b, c are rs1, rs2, rs3.
struct FloatCase {
  Op op;
  u8 rm;
  u64 a, b, c;
  u64 expected;
  u8 flags;
};
std::span<const FloatCase> single_cases();
std::span<const FloatCase> double_cases();

// Loads from 16 bytes of known content (kLoadBytes), at their address plus `offset`.
inline constexpr u64 kLoadBytes[2] = {0xf5040302'017fff80, 0x8877665544332211};
struct LoadCase {
  Op op;
  i32 offset;
  u64 expected;
};
std::span<const LoadCase> load_cases();

// Stores over 8 bytes of 0xee.
struct StoreCase {
  Op op;
  i32 offset;
  u64 value;
  u64 expected;  // all 8 bytes
};
std::span<const StoreCase> store_cases();

// The operand rs2 on 8 bytes of memory.
struct AmoCase {
  Op op;
  u64 memory, operand;
  u64 expected;         // rd
  u64 expected_memory;  // all 8 bytes
};
std::span<const AmoCase> amo_cases();

// Instructions whose tests are no tables: each test file says which it has.
std::span<const Op> branch_ops();
std::span<const Op> csr_ops();
std::span<const Op> memory_ops();
std::span<const Op> paging_ops();
std::span<const Op> system_ops();
std::span<const char* const> compressed_rows();

}  // namespace cloister::isa_tests
