// SPDX-License-Identifier: Apache-2.0
#include "lockstep/generator.h"

#include <algorithm>
#include <cstring>
#include <iterator>
#include <optional>
#include <string_view>

#include "base/check.h"
#include "isa/encode.h"
#include "isa/properties.h"
#include "lockstep/special_values.h"

// Generate and test: a random instance of a row is taken as it comes, its address register replaced by one
// that points somewhere, and thrown away when it would leave the scratch memory or spoil a pointer. So
// immediates, registers and hints of all kinds turn up without this file knowing their encodings.
//
// Jumps go forward only and over few instructions. Their distance is put in by the linker.
namespace cloister::lockstep {
namespace {

using isa::Format;
using isa::Insn;
using isa::Op;
using isa::RegisterClass;
using isa::Row;

constexpr const char* kTraps = "traps, or leaves the program";
constexpr const char* kOracle = "the oracle lacks it";
constexpr const char* kClears = "clears what else lies in the page; the oracle lacks it";
constexpr const char* kWaits = "waits for another hart";
constexpr const char* kOraclesBug = "the oracle, before QEMU 8.0, counts zeros beyond bit 31";
constexpr LeftOut kLeftOut[] = {
    {Op::ctzw, kOraclesBug},
    {Op::ecall, kTraps},
    {Op::ebreak, kTraps},
    {Op::sret, kTraps},
    {Op::wfi, kTraps},
    {Op::sfence_vma, kTraps},
    {Op::sinval_vma, kTraps},
    {Op::sfence_w_inval, kTraps},
    {Op::sfence_inval_ir, kTraps},
    {Op::cloister_call, kTraps},
    {Op::cbo_inval, kOracle},
    {Op::cbo_clean, kOracle},
    {Op::cbo_flush, kOracle},
    {Op::cbo_zero, kClears},
    {Op::wrs_nto, kWaits},
    {Op::wrs_sto, kWaits},
};

// Bound: where most instances of a row fit, this many never all fail.
constexpr u32 kAttempts = 40;

constexpr i32 kCsrFlags = 1, kCsrRounding = 2, kCsrBoth = 3;
constexpr i32 kFloatCsrs[] = {kCsrFlags, kCsrRounding, kCsrBoth};

std::optional<Group> group_of(const Row& row) {
  switch (isa::properties(row.op).format) {
    case Format::kR:
    case Format::kR1:
    case Format::kI:
    case Format::kU:
      return Group::kInteger;
    case Format::kLoad:
    case Format::kStore:
    case Format::kFLoad:
    case Format::kFStore:
    case Format::kCbo:
      return Group::kMemory;
    case Format::kLr:
    case Format::kSc:
    case Format::kAmo:
      return Group::kAtomic;
    case Format::kJ:
    case Format::kJalr:
    case Format::kB:
      return Group::kJump;
    case Format::kCsr:
    case Format::kCsrI:
      return Group::kCsr;
    case Format::kFence:
    case Format::kNone:
      return Group::kFence;
    default:
      if (isa::properties(row.op).is_float()) return Group::kFloat;
      return std::nullopt;
  }
}

bool is_left_out(Op op, Features features) {
  if (op == Op::czero_eqz || op == Op::czero_nez) return !features.zicond;
  return std::any_of(std::begin(kLeftOut), std::end(kLeftOut), [=](const LeftOut& out) {
    const bool only_the_oracles = out.reason == kOracle || out.reason == kOraclesBug;
    return out.op == op && (features.has_oracle || !only_the_oracles);
  });
}

// The bytes of a load, store or atomic: the mnemonic's width letter.
i32 access_bytes(Op op) {
  std::string_view name = isa::rows()[static_cast<u32>(op) - 1].name;
  if (name.starts_with("fl") || name.starts_with("fs")) name.remove_prefix(1);
  if (name.ends_with('u')) name.remove_suffix(1);
  switch (name.back()) {
    case 'b':
      return 1;
    case 'h':
      return 2;
    case 'w':
      return 4;
    default:
      CHECK(name.back() == 'd');
      return 8;
  }
}

bool inside_scratch(i32 offset, i32 bytes) {
  return offset >= -kScratchBelowBase && offset + bytes <= kScratchAboveBase;
}

bool computes_singles(const Row& row) {
  return std::string_view(row.name).find("_s") != std::string_view::npos;
}
bool computes_doubles(const Row& row) {
  return std::string_view(row.name).find("_d") != std::string_view::npos;
}

// True when no rounding mode above 4, which would make later instructions illegal, can come of it.
bool keeps_rounding_legal(const Insn& insn) {
  const bool clears = insn.op == Op::csrrc || insn.op == Op::csrrci;
  const bool sets_nothing = insn.rs1 == 0 && (insn.op == Op::csrrs || insn.op == Op::csrrsi);
  if (insn.imm == kCsrFlags || clears || sets_nothing) return true;
  if (insn.op != Op::csrrwi) return insn.op == Op::csrrw && insn.rs1 == 0;
  return insn.imm == kCsrBoth || insn.rs1 <= 4;  // a 5-bit immediate does not reach fcsr's rounding mode
}

}  // namespace

std::span<const LeftOut> left_out() { return kLeftOut; }

Generator::Generator(u64 seed, const Profile& profile, Features features) : random_(seed), profile_(profile) {
  for (const Row& row : isa::rows()) {
    const std::optional<Group> group = group_of(row);
    if (!group || is_left_out(row.op, features)) continue;
    Rows& rows = rows_[static_cast<u32>(*group)];
    (row.length == 2 ? rows.compressed : rows.full).push_back(&row);
  }
}

Snippet Generator::snippet(u32 instructions, u32 states) {
  snippet_ = {};
  singles_ = random_.one_in(2);
  choose_pointers();
  while (snippet_.initial.size() < states) snippet_.initial.push_back(random_state());
  u32 total = 0;
  for (const u32 weight : profile_.weights) total += weight;
  while (snippet_.code.size() < instructions) {
    u64 pick = random_.below(total);
    u32 group = 0;
    while (pick >= profile_.weights[group]) pick -= profile_.weights[group++];
    add(static_cast<Group>(group));
  }
  settle_targets();
  return std::move(snippet_);
}

// The base, one more that is aligned for atomics, and one or two that are anywhere.
void Generator::choose_pointers() {
  snippet_.pointers.push_back({kBaseRegisters[random_.below(kBaseRegisters.size())], 0});
  const u64 more = 2 + random_.below(2);
  while (snippet_.pointers.size() <= more) {
    const u8 reg = random_.one_in(4) ? u8{2} : static_cast<u8>(8 + random_.below(8));
    if (is_pointer(reg)) continue;
    const auto offset = static_cast<i32>(random_.below(kScratchBytes - 64)) - kScratchBelowBase;
    snippet_.pointers.push_back({reg, snippet_.pointers.size() == 1 ? offset & ~7 : offset});
  }
}

u64 Generator::interesting_register() {
  if (random_.one_in(16)) return interesting_integer(random_);
  const bool single = random_.one_in(8) ? !singles_ : singles_;
  return single ? interesting_single(random_) | 0xffffffff'00000000 : interesting_double(random_);
}

State Generator::random_state() {
  State state;
  for (u32 i = 1; i < 32; ++i) state.x[i] = interesting_integer(random_);
  for (u64& f : state.f) f = interesting_register();
  state.fcsr = random_.below(5) << 5 | random_.below(32);
  for (u64 at = 0; at < kScratchBytes; at += 8) {
    const u64 value = random_.one_in(2) ? interesting_integer(random_) : interesting_register();
    std::memcpy(&state.scratch[at], &value, sizeof value);
  }
  return state;
}

void Generator::settle_targets() {
  const auto size = static_cast<i32>(snippet_.code.size());
  for (Instruction& i : snippet_.code) {
    if (i.target == kNowhere) continue;
    i.target = std::min(i.target, size);
    while (i.target < size && snippet_.code[static_cast<u32>(i.target)].glued) ++i.target;
  }
}

const Row& Generator::row_of(Group group) {
  const Rows& rows = rows_[static_cast<u32>(group)];
  const bool compressed = !rows.compressed.empty() && random_.below(100) < profile_.compressed_percent;
  const auto& choice = compressed ? rows.compressed : rows.full;
  return *choice[random_.below(choice.size())];
}

const Row& Generator::full_row(Op op) const { return isa::rows()[static_cast<u32>(op) - 1]; }

void Generator::add(Group group) {
  const Row& row = row_of(group);
  switch (group) {
    case Group::kInteger:
    case Group::kFence:
      add_plain(row);
      return;
    case Group::kMemory:
      return add_memory(row);
    case Group::kFloat:
      return add_float(row);
    case Group::kAtomic:
      return add_atomic(row);
    case Group::kJump:
      return add_jump(row);
    case Group::kCsr:
      return add_csr(row);
  }
}

Insn Generator::random_insn(const Row& row) {
  return isa::take_apart(row, isa::random_instance(row, random_));
}

void Generator::append(u32 bits) { snippet_.code.push_back({.bits = bits, .insn = isa::decode(bits)}); }
void Generator::append(const Insn& insn) { append(isa::encode(insn)); }

// Gives up after a while: the row may imply sp while sp is a pointer.
bool Generator::add_plain(const Row& row) {
  for (u32 attempt = 0; attempt < kAttempts; ++attempt) {
    const u32 bits = isa::random_instance(row, random_);
    if (writes_pointer(isa::take_apart(row, bits))) continue;
    append(bits);
    return true;
  }
  return false;
}

void Generator::add_memory(const Row& row) {
  if (isa::properties(row.op).format != Format::kCbo) return append_access(row, any_pointer());
  Insn insn = random_insn(row);
  insn.rs1 = any_pointer().reg;
  append(isa::put_together(row, insn));
}

// Likewise where sp is no pointer.
void Generator::append_access(const Row& row, const Pointer& pointer) {
  for (u32 attempt = 0; attempt < kAttempts; ++attempt) {
    Insn insn = random_insn(row);
    insn.rs1 = pointer.reg;
    if (random_.one_in(2)) insn.imm &= -access_bytes(row.op);
    const u32 bits = isa::put_together(row, insn);
    insn = isa::decode(bits);
    if (insn.op != row.op || insn.rs1 != pointer.reg || writes_pointer(insn)) continue;
    if (inside_scratch(pointer.offset + insn.imm, access_bytes(row.op))) return append(bits);
  }
}

// Half of them round by frm. Often the flags that it raised are fetched and cleared at once, lest earlier
// ones hide them.
void Generator::add_float(const Row& row) {
  const bool other_width = singles_ ? !computes_singles(row) && computes_doubles(row)
                                    : !computes_doubles(row) && computes_singles(row);
  if (other_width && !random_.one_in(8)) return;
  Insn insn = random_insn(row);
  while (writes_pointer(insn)) insn = random_insn(row);
  if (isa::properties(row.op).has_rounding_mode)
    insn.rm = random_.one_in(2) ? u8{7} : static_cast<u8>(random_.below(5));
  append(isa::put_together(row, insn));
  if (random_.one_in(2)) append({.op = Op::csrrwi, .rd = free_register(), .imm = kCsrFlags});
}

void Generator::add_atomic(const Row& row) {
  const Format format = isa::properties(row.op).format;
  if (format == Format::kAmo) return append_access(row, aligned_pointer());
  // A store-conditional on its own must fail.
  if (format == Format::kSc && random_.one_in(4)) return append_access(row, aligned_pointer());
  add_reserved_pair(full_row(format == Format::kLr ? row.op : row.op == Op::sc_w ? Op::lr_w : Op::lr_d));
}

void Generator::add_reserved_pair(const Row& load) {
  const u64 first = snippet_.code.size();
  const Pointer pointer = aligned_pointer();
  append_access(load, pointer);
  for (u64 between = random_.below(4); between > 0; --between) add_plain(row_of(Group::kInteger));
  append_access(full_row(load.op == Op::lr_w ? Op::sc_w : Op::sc_d),
                random_.one_in(8) ? aligned_pointer() : pointer);
  for (u64 i = first + 1; i < snippet_.code.size(); ++i) snippet_.code[i].glued = true;
}

void Generator::add_jump(const Row& row) {
  if (isa::properties(row.op).format == Format::kJalr) return add_indirect_jump(row);
  if (!add_plain(row)) return;
  Instruction& jump = snippet_.code.back();
  jump.target = jump_target();
  jump.relative_to = static_cast<i32>(snippet_.code.size()) - 1;
}

// auipc t; addi t, t, distance; perhaps an odd address, whose bit 0 must be dropped; jalr.
void Generator::add_indirect_jump(const Row& row) {
  const auto first = static_cast<i32>(snippet_.code.size());
  Insn jump = random_insn(row);
  while (writes_pointer(jump) || jump.rs1 == 0 || is_pointer(jump.rs1)) jump = random_insn(row);
  append({.op = Op::auipc, .rd = jump.rs1});
  append({.op = Op::addi, .rd = jump.rs1, .rs1 = jump.rs1});
  if (random_.one_in(2)) append({.op = Op::addi, .rd = jump.rs1, .rs1 = jump.rs1, .imm = 1});
  jump.imm = 0;
  append(isa::put_together(row, jump));
  Instruction& distance = snippet_.code[static_cast<u32>(first) + 1];
  distance.target = jump_target();
  distance.relative_to = first;
  for (u32 i = static_cast<u32>(first) + 1; i < snippet_.code.size(); ++i) snippet_.code[i].glued = true;
}

void Generator::add_csr(const Row& row) {
  Insn insn;
  do {
    insn = random_insn(row);
    insn.imm = kFloatCsrs[random_.below(std::size(kFloatCsrs))];
  } while (writes_pointer(insn) || !keeps_rounding_legal(insn));
  append(isa::put_together(row, insn));
}

bool Generator::is_pointer(u8 reg) const {
  return std::any_of(snippet_.pointers.begin(), snippet_.pointers.end(),
                     [=](const Pointer& p) { return p.reg == reg; });
}

bool Generator::writes_pointer(const Insn& insn) const {
  return isa::properties(insn.op).rd == RegisterClass::kInteger && is_pointer(insn.rd);
}

u8 Generator::free_register() {
  for (;;) {
    const auto reg = static_cast<u8>(1 + random_.below(31));
    if (!is_pointer(reg)) return reg;
  }
}

const Pointer& Generator::any_pointer() { return snippet_.pointers[random_.below(snippet_.pointers.size())]; }
const Pointer& Generator::aligned_pointer() { return snippet_.pointers[random_.below(2)]; }

// Of the instruction appended last.
i32 Generator::jump_target() { return static_cast<i32>(snippet_.code.size() + random_.below(6)); }

}  // namespace cloister::lockstep
