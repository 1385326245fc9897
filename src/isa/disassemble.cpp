// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <array>
#include <iterator>

#include "isa/csr.h"
#include "isa/insn.h"
#include "isa/properties.h"
#include "isa/registers.h"

namespace cloister::isa {
namespace {

// Bound: "sfence.inval.ir" and the byte that ends it.
constexpr std::size_t kNameSize = 16;
using Name = std::array<char, kNameSize>;

// "amoadd_w" is written amoadd.w, and "and_" is only so called because `and` is a word of C++.
constexpr Name mnemonic_of(std::string_view row) {
  Name name{};
  CHECK(row.size() < kNameSize);
  for (std::size_t i = 0; i < row.size(); ++i) name[i] = row[i] == '_' ? '.' : row[i];
  if (row.back() == '_') name[row.size() - 1] = '\0';
  return name;
}

constexpr std::array kMnemonics = {
    mnemonic_of("illegal"),
#define INSN(name, ...) mnemonic_of(#name),
#define C_INSN(...)
#include "isa/rv64.inc"
#undef C_INSN
#undef INSN
};

constexpr std::string_view kRoundingNames[] = {"rne", "rtz", "rdn", "rup", "rmm", "?", "?", "dyn"};

std::string csr_text(u32 number) {
  if (const auto name = csr_name(number)) return std::string(*name);
  if (number >= kFirstHpmCounter && number <= kLastHpmCounter)
    return fmt::format("hpmcounter{}", number - kFirstHpmCounter + 3);
  return fmt::format("{:#x}", number);
}

std::string fence_set(u32 set) {
  std::string text;
  for (u32 i = 0; i < 4; ++i) {
    if ((set & (8u >> i)) != 0) text += "iorw"[i];
  }
  return text.empty() ? "0" : text;
}

// A set of either side: "fence rw, w".
std::string fence_text(u32 sets) { return fence_set(sets >> 4 & 15) + ", " + fence_set(sets & 15); }

bool is_fence_tso(const Insn& insn) { return insn.op == Op::fence && insn.imm == 0x833; }

std::string_view name_of(const auto& names, u8 number) { return names[number % kRegisters]; }

std::string operand(char letter, const Insn& insn, u64 pc) {
  switch (letter) {
    case 'd':
      return std::string(name_of(kIntegerNames, insn.rd));
    case 'r':
      return std::string(name_of(kIntegerNames, insn.rs1));
    case 's':
      return std::string(name_of(kIntegerNames, insn.rs2));
    case 'D':
      return std::string(name_of(kFloatNames, insn.rd));
    case 'R':
      return std::string(name_of(kFloatNames, insn.rs1));
    case 'S':
      return std::string(name_of(kFloatNames, insn.rs2));
    case 'T':
      return std::string(name_of(kFloatNames, insn.rs3));
    case 'i':
      return fmt::format("{}", insn.imm);
    case 'h':
      return fmt::format("{:#x}", static_cast<u32>(insn.imm) >> 12);
    case 'p':
      return fmt::format("{:#x}", pc + static_cast<u64>(i64{insn.imm}));
    case 'c':
      return csr_text(static_cast<u32>(insn.imm));
    case 'z':
      return fmt::format("{}", insn.rs1);
    case 'm':
      return insn.rm == 7 ? "" : fmt::format(", {}", kRoundingNames[insn.rm & 7]);
    case 'f':
      return fence_text(static_cast<u32>(insn.imm));
    default:
      return {letter};
  }
}

std::string_view ordering_suffix(u8 aqrl) {
  constexpr std::string_view kSuffixes[] = {"", ".rl", ".aq", ".aqrl"};
  return kSuffixes[aqrl & 3];
}

}  // namespace

const char* mnemonic(Op op) {
  DCHECK(op < Op::kCount);
  return kMnemonics[static_cast<u32>(op)].data();
}

std::string disassemble(const Insn& insn, u64 pc) {
  if (is_fence_tso(insn)) return "fence.tso";
  std::string text = mnemonic(insn.op);
  text += ordering_suffix(insn.aqrl);
  const std::string_view operands = syntax(properties(insn.op).format);
  if (!operands.empty()) text += ' ';
  for (const char letter : operands) text += operand(letter, insn, pc);
  return text;
}

}  // namespace cloister::isa
