// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <iterator>

#include "base/check.h"
#include "hart/block.h"
#include "hart/handlers.h"
#include "isa/insn.h"
#include "isa/properties.h"

// From instruction bytes to a block of uops. All that can be known before execution is worked out here: the
// handler, x0 as the sink, targets relative to the block's beginning.
namespace cloister::hart {

namespace {

using isa::Format;
using isa::Insn;
using isa::RegisterClass;

constexpr Handler kHandlers[] = {
    op::illegal,
#define INSN(name, ...) op::name,
#define C_INSN(...)
#include "isa/rv64.inc"
#undef C_INSN
#undef INSN
};
static_assert(std::size(kHandlers) == static_cast<u64>(isa::Op::kCount));

// Bound: a hart comes to a block boundary, and so to a safe point, within these many instructions.
constexpr u32 kMostInstructions = 64;

// What handlers want as Uop::imm.
i64 operand(const Insn& insn, u32 bits, u32 offset) {
  switch (isa::properties(insn.op).format) {
    case Format::kJ:
    case Format::kB:
      return i64{insn.imm} + offset;
    case Format::kU:
      return insn.op == isa::Op::auipc ? i64{insn.imm} + offset : insn.imm;
    case Format::kF4:
      return insn.rs3;
    case Format::kNone:
    case Format::kCsr:
    case Format::kCsrI:
    case Format::kVma:
    case Format::kCbo:
      return bits;
    default:
      return insn.imm;
  }
}

Uop assemble(const Insn& insn, Handler run, i64 imm, u16 offset, u8 left) {
  const auto& properties = isa::properties(insn.op);
  const bool to_sink = properties.rd == RegisterClass::kInteger && insn.rd == 0;
  const bool is_atomic = properties.format == Format::kLr || properties.format == Format::kSc ||
                         properties.format == Format::kAmo;
  return {run,         imm,      static_cast<u8>(to_sink ? kSink : insn.rd),
          insn.rs1,    insn.rs2, is_atomic ? insn.aqrl : insn.rm,
          insn.length, left,     offset};
}

class Draft {
 public:
  explicit Draft(bool entrance) {
    if (entrance) push(Insn{}, op::entrance, 0);
  }
  bool is_full() const { return count_ == kMostInstructions; }
  u32 bytes() const { return bytes_; }

  // Returns whether the block ends with this instruction.
  bool add(u32 bits) {
    Insn insn = isa::decode(bits);
    if (insn.length == 2) bits &= 0xffff;
    if (insn.rm == 5 || insn.rm == 6) insn.op = isa::Op::illegal;
    code_[bytes_ / 2] = static_cast<u16>(bits);
    if (insn.length == 4) code_[bytes_ / 2 + 1] = static_cast<u16>(bits >> 16);
    add_float_check(insn, bits);
    push(insn, kHandlers[static_cast<u32>(insn.op)], operand(insn, bits, bytes_));
    ++count_;
    bytes_ += insn.length;
    return isa::ends_block(insn.op);
  }

  void end() { push(Insn{}, op::end_of_block, 0); }

  Block* finish(BlockCache& cache, GuestPhys address) {
    Block* block = cache.allocate(uops_count_, bytes_);
    if (block == nullptr) return nullptr;
    block->address = address.raw;
    block->count = static_cast<u16>(count_);
    std::ranges::copy(finish(), block->uops());
    std::copy_n(code_.begin(), bytes_ / 2, block->code().begin());
    return block;
  }

  // The uops, which know now how many instructions there are.
  std::span<const Uop> finish() {
    for (u32 i = 0; i < uops_count_; ++i) uops_[i].left = static_cast<u8>(count_ - uops_[i].left);
    return {uops_.data(), uops_count_};
  }

 private:
  // `left` holds the number of instructions before until finish() knows how many there are.
  void push(const Insn& insn, Handler run, i64 imm) {
    uops_[uops_count_++] = assemble(insn, run, imm, static_cast<u16>(bytes_), static_cast<u8>(count_));
  }

  // Once a block is enough, for nothing in a block turns floating point off; but the first that needs a thing
  // asks for it, so that what went before it is done when it traps.
  void add_float_check(const Insn& insn, u32 bits) {
    const auto& properties = isa::properties(insn.op);
    if (!properties.is_float()) return;
    i64 needs = 0;
    if (properties.has_rounding_mode && insn.rm == 7) needs |= op::kNeedsRounding;
    if (!properties.is_store()) needs |= op::kDirties;
    if (float_checked_ && (needs & ~float_needs_) == 0) return;
    float_checked_ = true;
    float_needs_ |= needs;
    push(insn, op::check_float, bits | needs);
  }

  std::array<Uop, 4 * kMostInstructions> uops_;
  std::array<u16, 2 * kMostInstructions> code_;
  u32 uops_count_ = 0;
  u32 count_ = 0;
  u32 bytes_ = 0;
  bool float_checked_ = false;
  i64 float_needs_ = 0;
};

}  // namespace

Uop make_uop(const Insn& insn, u32 bits, u16 offset, u8 left) {
  const u32 index = static_cast<u32>(insn.op);
  return assemble(insn, kHandlers[index], operand(insn, bits, offset), offset, left);
}

namespace {

void read_block(Draft& draft, const u16* code, u64 room) {
  while (!draft.is_full() && draft.bytes() < room) {
    u32 bits = __atomic_load_n(code + draft.bytes() / 2, __ATOMIC_RELAXED);
    if ((bits & 3) == 3) {
      if (draft.bytes() + 4 > room) break;
      bits |= u32{__atomic_load_n(code + draft.bytes() / 2 + 1, __ATOMIC_RELAXED)} << 16;
    }
    if (draft.add(bits)) return;
  }
  draft.end();
}

}  // namespace

Block* decode_block(BlockCache& cache, GuestPhys address, const u16* code) {
  Draft draft(cache.has_entrances());
  read_block(draft, code, kPageSize - address.page_offset());
  return draft.finish(cache, address);
}

std::vector<Uop> decode_uops(std::span<const u16> code) {
  Draft draft(false);
  read_block(draft, code.data(), code.size_bytes());
  const std::span<const Uop> uops = draft.finish();
  std::vector<Uop> result;
  result.reserve(uops.size() + 1);
  result.assign(uops.begin(), uops.end());
  result.push_back({});
  return result;
}

Block* decode_straddling(BlockCache& cache, GuestPhys address, u32 bits) {
  Draft draft(cache.has_entrances());
  if (!draft.add(bits)) draft.end();
  return draft.finish(cache, address);
}

}  // namespace cloister::hart
