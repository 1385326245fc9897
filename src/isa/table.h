// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "isa/insn.h"
#include "isa/pattern.h"

namespace cloister::isa {

// A row of isa/rv64.inc. The rows of full length stand first, in the order of Op: rows()[i].op is Op(i + 1).
struct Row {
  const char* name = nullptr;  // as in the table: "amoadd_w", "c_addi"
  Op op = Op::illegal;         // of a compressed row: the instruction that it abbreviates
  u8 length = 4;
  u8 fixed_rd = 0;  // where the pattern has no field for the register
  u8 fixed_rs1 = 0;
  Pattern pattern;
};

std::span<const Row> rows();

// The row that `bits` are an instance of, or nullptr. decode() is this and take_apart().
const Row* find_row(u32 bits);
Insn take_apart(const Row& row, u32 bits);

}  // namespace cloister::isa
