// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "isa/insn.h"
#include "isa/properties.h"
#include "isa/table.h"

// From bits to an instruction.
//
// The rows of isa/rv64.inc are read at compile time. A row is found by a key of ten bits, chosen so that
// few rows share one: the major opcode, and funct3, or funct5 in OP-FP, where funct3 is mostly the rounding
// mode. Of a compressed instruction the key is its quadrant and funct3. What has the same key is tried one by
// one, at most a dozen rows. Two rows may not claim the same bits; the compiler checks that.
namespace cloister::isa {
namespace {

enum FixedRegister : u8 { field = 0, none = 0, zero = 0, ra = 1, sp = 2 };

constexpr Row full_row(const char* name, Op op, const char* pattern) {
  return {name, op, 4, 0, 0, PatternReader::read(pattern, 32)};
}

constexpr Row compressed_row(const char* name, Op op, const char* pattern, u8 rd, u8 rs1) {
  return {name, op, 2, rd, rs1, PatternReader::read(pattern, 16)};
}

constexpr auto kRows = std::to_array<Row>({
#define INSN(name, pattern, ...) full_row(#name, Op::name, pattern),
#define C_INSN(name, pattern, op, rd, rs1) compressed_row(#name, Op::op, pattern, rd, rs1),
#include "isa/rv64.inc"
#undef C_INSN
#undef INSN
});

// -- Overlaps ----------------------------------------------------------------------------------------

// The only rows that claim bits of another: the first is tried first, as it stands first in the table.
struct Exception {
  std::string_view special, general;
};
constexpr Exception kMoreSpecific[] = {{"pause", "fence"}, {"c_addi16sp", "c_lui"}};

constexpr bool is_exception(const Row& first, const Row& second) {
  for (const Exception& exception : kMoreSpecific) {
    if (exception.special == first.name && exception.general == second.name) return true;
  }
  return false;
}

constexpr bool no_two_rows_claim_the_same_bits() {
  for (std::size_t a = 0; a < kRows.size(); ++a) {
    for (std::size_t b = a + 1; b < kRows.size() && kRows[b].length == kRows[a].length; ++b) {
      if (((kRows[a].pattern.match ^ kRows[b].pattern.match) & kRows[a].pattern.mask &
           kRows[b].pattern.mask) != 0)
        continue;
      if (overlap(kRows[a].pattern, kRows[b].pattern) && !is_exception(kRows[a], kRows[b])) return false;
    }
  }
  return true;
}
static_assert(no_two_rows_claim_the_same_bits(), "two rows of isa/rv64.inc have bits in common");

// -- The index ---------------------------------------------------------------------------------------

constexpr u32 kOpFp = 0b10100;

struct Key {
  static constexpr u32 kCount = 1024;

  // The low two bits of a compressed instruction are never 11, of the others always; so the quadrants
  // take the keys of major opcodes that a full instruction of this machine cannot have (11111: longer than 32
  // bits).
  static constexpr u32 of(u32 bits) {
    if ((bits & 3) != 3) return 31 << 5 | (bits & 3) << 3 | (bits >> 13 & 7);
    const u32 major = bits >> 2 & 31;
    return major << 5 | (major == kOpFp ? bits >> 27 : bits >> 12 & 7);
  }

  // The bits that of() looks at, beside the major opcode or quadrant.
  static constexpr Field minor(const Row& row) {
    if (row.length == 2) return {13, 3};
    return (row.pattern.match >> 2 & 31) == kOpFp ? Field{27, 5} : Field{12, 3};
  }
};

// Calls visit(key) for each key under which an instance of `row` may be looked for.
template <typename Visit>
constexpr void for_each_key(const Row& row, Visit visit) {
  const Field minor = Key::minor(row);
  for (u32 value = 0; value < u32{1} << minor.width; ++value) {
    const u32 bits = minor.put(value);
    if (((bits ^ row.pattern.match) & row.pattern.mask & minor.mask()) != 0) continue;
    visit(Key::of((row.pattern.match & ~minor.mask()) | bits));
  }
}

constexpr std::size_t count_entries() {
  std::size_t count = 0;
  for (const Row& row : kRows) for_each_key(row, [&](u32) { ++count; });
  return count;
}

// The candidates of key k are entries[begin[k]] to entries[begin[k + 1]], in the table's order.
struct Index {
  std::array<u16, Key::kCount + 1> begin{};
  std::array<u16, count_entries()> entries{};
};

constexpr Index make_index() {
  Index index;
  for (const Row& row : kRows) for_each_key(row, [&](u32 key) { ++index.begin[key + 1]; });
  for (u32 key = 0; key < Key::kCount; ++key)
    index.begin[key + 1] = static_cast<u16>(index.begin[key + 1] + index.begin[key]);
  std::array<u16, Key::kCount + 1> next = index.begin;
  for (std::size_t i = 0; i < kRows.size(); ++i)
    for_each_key(kRows[i], [&](u32 key) { index.entries[next[key]++] = static_cast<u16>(i); });
  return index;
}

constexpr Index kIndex = make_index();

}  // namespace

std::span<const Row> rows() { return kRows; }

const Row* find_row(u32 bits) {
  if ((bits & 3) != 3) bits &= 0xffff;
  const u32 key = Key::of(bits);
  for (u32 i = kIndex.begin[key]; i < kIndex.begin[key + 1]; ++i) {
    const Row& row = kRows[kIndex.entries[i]];
    if (row.pattern.matches(bits)) return &row;
  }
  return nullptr;
}

Insn take_apart(const Row& row, u32 bits) {
  const Pattern& pattern = row.pattern;
  Insn insn;
  insn.op = row.op;
  insn.rd = pattern.rd.present() ? pattern.rd.of(bits) : row.fixed_rd;
  insn.rs1 = pattern.rs1.present() ? pattern.rs1.of(bits) : row.fixed_rs1;
  insn.rs2 = pattern.rs2.of(bits);
  insn.rs3 = pattern.rs3.of(bits);
  insn.rm = static_cast<u8>(pattern.rm.of(bits));
  insn.aqrl = static_cast<u8>(pattern.aqrl.of(bits));
  insn.length = row.length;
  insn.imm = pattern.immediate_of(bits);
  return insn;
}

Insn decode(u32 bits) {
  if (const Row* row = find_row(bits)) return take_apart(*row, bits);
  Insn illegal;
  illegal.length = (bits & 3) == 3 ? 4 : 2;
  return illegal;
}

bool ends_block(Op op) { return properties(op).ends_block; }

}  // namespace cloister::isa
