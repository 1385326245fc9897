// SPDX-License-Identifier: Apache-2.0
#include "lockstep/image.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "isa/encode.h"
#include "isa/registers.h"

namespace cloister::lockstep {
namespace {

using isa::Insn;
using isa::Op;
namespace reg = isa::reg;

constexpr u64 kAreaBytes = sizeof(State) + 8;
constexpr u64 kCodeReach = kMiB;

// Offsets from an area's base.
constexpr i32 kX = kScratchAboveBase;
constexpr i32 kF = kX + 32 * 8;
constexpr i32 kFcsr = kF + 32 * 8;
constexpr i32 kLoader = kFcsr + 8;
constexpr u8 kEntryRegister = 31;

class Linker {
 public:
  explicit Linker(const Program& program) : program_(program) {}

  Image link() {
    emit_start();
    for (u32 i = 0; i < kBaseRegisters.size(); ++i) {
      emit_loader(i);
      emit_saver(i);
    }
    emit_exit();
    for (const Snippet& snippet : program_) emit_snippet(snippet);
    CHECK(here() < kImageBase + kCodeReach);
    emit_areas();
    return std::move(image_);
  }

 private:
  u64 here() const { return kImageBase + image_.bytes.size(); }

  void emit_bits(u32 bits, u32 length) {
    for (u32 i = 0; i < length; ++i) image_.bytes.push_back(static_cast<std::byte>(bits >> (8 * i)));
  }
  void emit(const Insn& insn) { emit_bits(isa::encode(insn), 4); }

  static Insn with_immediate(Op op, u8 rd, u8 rs1, i64 imm) {
    return {.op = op, .rd = rd, .rs1 = rs1, .imm = static_cast<i32>(imm)};
  }
  static Insn store(Op op, u8 source, u8 base, i32 imm) {
    return {.op = op, .rs1 = base, .rs2 = source, .imm = imm};
  }

  void emit_load(u8 rd, u8 base, i32 offset) { emit(with_immediate(Op::ld, rd, base, offset)); }
  void emit_jump(u8 rs1) { emit(with_immediate(Op::jalr, 0, rs1, 0)); }

  // A constant of 64 bits that code cannot know yet: its place is filled in by emit_areas().
  u64 emit_constant(u8 rd) {
    emit(with_immediate(Op::auipc, rd, 0, 0));
    emit_load(rd, rd, 12);
    emit(with_immediate(Op::jal, 0, 0, 12));
    emit_bits(0, 4);
    emit_bits(0, 4);
    return image_.bytes.size() - 8;
  }
  void put(u64 at, u64 value) { std::memcpy(&image_.bytes[at], &value, sizeof value); }

  void emit_start() {
    first_base_ = emit_constant(reg::ra);
    emit_load(reg::t0, reg::ra, kLoader);
    emit_jump(reg::t0);
  }

  void emit_loader(u32 index) {
    const u8 base = kBaseRegisters[index];
    loaders_[index] = here();
    emit(with_immediate(Op::addi, base, reg::ra, 0));
    emit_load(reg::t0, base, kFcsr);
    emit({.op = Op::csrrw, .rs1 = reg::t0, .imm = 3});
    for (u8 i = 0; i < 32; ++i) emit(with_immediate(Op::fld, i, base, kF + 8 * i));
    for (u8 i = 1; i < 32; ++i)
      if (i != base) emit_load(i, base, kX + 8 * i);
    emit_jump(kEntryRegister);
  }

  void emit_saver(u32 index) {
    const u8 base = kBaseRegisters[index];
    savers_[index] = here();
    for (u8 i = 1; i < 32; ++i) emit(store(Op::sd, i, base, kX + 8 * i));
    for (u8 i = 0; i < 32; ++i) emit(store(Op::fsd, i, base, kF + 8 * i));
    emit({.op = Op::csrrs, .rd = reg::t0, .imm = 3});
    emit(store(Op::sd, reg::t0, base, kFcsr));
    emit(with_immediate(Op::addi, reg::ra, base, kAreaBytes));
    emit_load(reg::t0, reg::ra, kLoader);
    emit_jump(reg::t0);
  }

  void emit_exit() {
    exit_ = here();
    image_.exit = image_.bytes.size();
    emit(with_immediate(Op::addi, reg::a0, 0, 1));
    areas_address_ = emit_constant(reg::a1);
    areas_bytes_ = emit_constant(reg::a2);
    emit(with_immediate(Op::addi, reg::a7, 0, kCallWrite));
    emit({.op = Op::ecall});
    emit(with_immediate(Op::addi, reg::a0, 0, 0));
    emit(with_immediate(Op::addi, reg::a7, 0, kCallExit));
    emit({.op = Op::ecall});
  }

  static u32 base_index(const Snippet& snippet) {
    const auto* found = std::find(kBaseRegisters.begin(), kBaseRegisters.end(), snippet.pointers.front().reg);
    CHECK(found != kBaseRegisters.end());
    return static_cast<u32>(found - kBaseRegisters.begin());
  }

  void emit_snippet(const Snippet& snippet) {
    std::vector<u64>& addresses = image_.addresses.emplace_back();
    addresses.push_back(here());
    for (const Instruction& i : snippet.code) addresses.push_back(addresses.back() + i.insn.length);
    for (const Instruction& i : snippet.code) emit_bits(resolved(i, addresses), i.insn.length);
    emit(with_immediate(Op::jal, 0, 0, static_cast<i64>(savers_[base_index(snippet)] - here())));
  }

  // The instruction with its jump's distance put in.
  static u32 resolved(const Instruction& i, const std::vector<u64>& addresses) {
    if (i.target == kNowhere) return i.bits;
    const u64 to = addresses[static_cast<u32>(i.target)], from = addresses[static_cast<u32>(i.relative_to)];
    const isa::Row* row = isa::find_row(i.bits);
    Insn insn = i.insn;
    insn.imm = static_cast<i32>(to - from);
    const u32 cleared = isa::put_together(*row, insn);
    CHECK(isa::take_apart(*row, cleared) == insn);
    return cleared;
  }

  void emit_areas() {
    image_.bytes.resize((image_.bytes.size() + kPageMask) & ~kPageMask);
    image_.areas = image_.bytes.size();
    for (const Snippet& snippet : program_) image_.states += snippet.initial.size();
    put(first_base_, here() + kScratchBelowBase);
    put(areas_address_, here());
    put(areas_bytes_, area_bytes(image_));
    for (u32 i = 0; i < program_.size(); ++i)
      for (const State& state : program_[i].initial)
        emit_area(program_[i], state, image_.addresses[i].front());
    // An area of which only the loader counts.
    image_.bytes.resize(image_.bytes.size() + kAreaBytes);
    put(image_.bytes.size() - 8, exit_);
  }

  void emit_area(const Snippet& snippet, State state, u64 address) {
    const u64 base = here() + kScratchBelowBase;
    state.x[kEntryRegister] = address;
    for (const Pointer& pointer : snippet.pointers)
      state.x[pointer.reg] = base + static_cast<u64>(i64{pointer.offset});
    const auto* bytes = reinterpret_cast<const std::byte*>(&state);
    image_.bytes.insert(image_.bytes.end(), bytes, bytes + sizeof state);
    image_.bytes.resize(image_.bytes.size() + 8);
    put(image_.bytes.size() - 8, loaders_[base_index(snippet)]);
  }

  const Program& program_;
  Image image_;
  std::array<u64, kBaseRegisters.size()> loaders_ = {}, savers_ = {};
  u64 exit_ = 0;
  // Where constants stand that become known at the end.
  u64 first_base_ = 0, areas_address_ = 0, areas_bytes_ = 0;
};

}  // namespace

Snippet first_instructions(const Snippet& snippet, u32 count) {
  Snippet result = snippet;
  for (u32 i = count; i < result.code.size(); ++i) {
    const u32 nop = result.code[i].insn.length == 2 ? 0x0001 : 0x00000013;
    result.code[i] = {.bits = nop, .insn = isa::decode(nop)};
  }
  return result;
}

Run run_of(const Program& program, u64 index) {
  for (u32 i = 0; i < program.size(); ++i) {
    if (index < program[i].initial.size()) return {i, static_cast<u32>(index)};
    index -= program[i].initial.size();
  }
  CHECK(false);
}

Image link(const Program& program) { return Linker(program).link(); }

u64 area_bytes(const Image& image) { return image.states * kAreaBytes; }

std::vector<State> states_in(std::span<const std::byte> areas, u64 count) {
  CHECK(areas.size() == count * kAreaBytes);
  std::vector<State> states(count);
  for (u64 i = 0; i < count; ++i) std::memcpy(&states[i], &areas[i * kAreaBytes], sizeof(State));
  return states;
}

}  // namespace cloister::lockstep
