// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

#include "base/check.h"
#include "isa/insn.h"

// What each instruction reads, writes and touches, as isa/rv64.inc and isa/formats.inc say.
namespace cloister::isa {

enum class Format : u8 {
#define FORMAT(name, ...) k##name,
#include "isa/formats.inc"
#undef FORMAT
};

enum class RegisterClass : u8 { kNone, kInteger, kFloat };
enum class MemoryUse : u8 { kNone, kLoad, kStore, kBoth };

struct Properties {
  Format format = Format::kNone;
  // kNone: the instruction has no such operand. Of csrr*i, rs1 is a number and no register.
  RegisterClass rd = RegisterClass::kNone;
  RegisterClass rs1 = RegisterClass::kNone;
  RegisterClass rs2 = RegisterClass::kNone;
  RegisterClass rs3 = RegisterClass::kNone;
  MemoryUse memory = MemoryUse::kNone;
  bool has_immediate = false;
  bool has_rounding_mode = false;
  bool ends_block = true;

  constexpr bool is_load() const { return memory == MemoryUse::kLoad || memory == MemoryUse::kBoth; }
  constexpr bool is_store() const { return memory == MemoryUse::kStore || memory == MemoryUse::kBoth; }
  constexpr bool is_float() const {
    return rd == RegisterClass::kFloat || rs1 == RegisterClass::kFloat || rs2 == RegisterClass::kFloat;
  }
};

// How the assembler writes the operands; the letters are explained in isa/formats.inc.
constexpr std::string_view syntax(Format format) {
  constexpr std::string_view kSyntax[] = {
#define FORMAT(name, operands, ...) operands,
#include "isa/formats.inc"
#undef FORMAT
  };
  return kSyntax[static_cast<u32>(format)];
}

namespace detail {

enum class Ends : u8 { no, yes };

constexpr MemoryUse memory_use(Format format) {
  constexpr MemoryUse none = MemoryUse::kNone, load = MemoryUse::kLoad, store = MemoryUse::kStore,
                      both = MemoryUse::kBoth;
  constexpr MemoryUse kUse[] = {
#define FORMAT(name, operands, memory) memory,
#include "isa/formats.inc"
#undef FORMAT
  };
  return kUse[static_cast<u32>(format)];
}

constexpr bool contains(std::string_view text, char letter) { return text.find(letter) != text.npos; }

constexpr RegisterClass register_class(std::string_view operands, char integer, char floating) {
  if (contains(operands, integer)) return RegisterClass::kInteger;
  return contains(operands, floating) ? RegisterClass::kFloat : RegisterClass::kNone;
}

constexpr Properties make_properties(Format format, Ends ends) {
  const std::string_view operands = syntax(format);
  Properties result;
  result.format = format;
  result.rd = register_class(operands, 'd', 'D');
  result.rs1 = register_class(operands, 'r', 'R');
  result.rs2 = register_class(operands, 's', 'S');
  result.rs3 = register_class(operands, 't', 'T');
  result.memory = memory_use(format);
  result.has_immediate = operands.find_first_of("ihpcf") != operands.npos;
  result.has_rounding_mode = contains(operands, 'm');
  result.ends_block = ends == Ends::yes;
  return result;
}

inline constexpr std::array kProperties = {
    Properties{},  // Op::illegal
#define INSN(name, pattern, format, ends) make_properties(Format::k##format, Ends::ends),
#define C_INSN(...)
#include "isa/rv64.inc"
#undef C_INSN
#undef INSN
};

}  // namespace detail

// Precondition: op < Op::kCount.
constexpr const Properties& properties(Op op) {
  DCHECK(op < Op::kCount);
  return detail::kProperties[static_cast<u32>(op)];
}

// Bytes that a load or store of the base or the floating-point extensions moves.
constexpr u8 access_size(Op op) {
  switch (op) {
    case Op::lb:
    case Op::lbu:
    case Op::sb:
      return 1;
    case Op::lh:
    case Op::lhu:
    case Op::sh:
      return 2;
    case Op::lw:
    case Op::lwu:
    case Op::sw:
    case Op::flw:
    case Op::fsw:
      return 4;
    default:
      return 8;
  }
}

}  // namespace cloister::isa
