// SPDX-License-Identifier: Apache-2.0
#include "isa/encode.h"

#include "base/check.h"

namespace cloister::isa {
namespace {

const Row& full_row_of(Op op) {
  CHECK(op != Op::illegal && op < Op::kCount);
  const Row& row = rows()[static_cast<u32>(op) - 1];
  DCHECK(row.op == op && row.length == 4);
  return row;
}

bool same_but_for_length(Insn a, const Insn& b) {
  a.length = b.length;
  return a == b;
}

}  // namespace

u32 put_together(const Row& row, const Insn& insn) {
  const Pattern& pattern = row.pattern;
  u32 bits = pattern.match | pattern.put_immediate(insn.imm);
  bits |= pattern.rd.put(insn.rd) | pattern.rs1.put(insn.rs1);
  bits |= pattern.rs2.put(insn.rs2) | pattern.rs3.put(insn.rs3);
  return bits | pattern.rm.put(insn.rm) | pattern.aqrl.put(insn.aqrl);
}

u32 encode(const Insn& insn) { return put_together(full_row_of(insn.op), insn); }

std::optional<u16> encode_compressed(const Insn& insn) {
  for (const Row& row : rows()) {
    if (row.length != 2 || row.op != insn.op) continue;
    const u32 bits = put_together(row, insn);
    if (same_but_for_length(decode(bits), insn)) return static_cast<u16>(bits);
  }
  return std::nullopt;
}

u32 random_instance(const Row& row, Random& random) {
  const u32 width = row.length == 2 ? 0xffff : 0xffffffff;
  for (;;) {
    const u32 bits = (static_cast<u32>(random.next()) & width & ~row.pattern.mask) | row.pattern.match;
    if (find_row(bits) == &row) return bits;
  }
}

}  // namespace cloister::isa
