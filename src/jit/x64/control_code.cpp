// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "isa/properties.h"
#include "jit/x64/conditions.h"
#include "jit/x64/region_code.h"

// The ends of blocks: branches, jumps, and the ways out of a region.
namespace cloister::jit::x64 {

using isa::Op;

namespace {

// What stands behind a call in the next page has no place in this one's code: it is found by the jump cache.
Leaving leaving_of(const ir::Block& block) {
  const isa::Insn& insn = block.steps.back().insn;
  const bool goes_on = ir::page_distance(block.end) == ir::page_distance(block.begin);
  if (ir::is_call(insn) && goes_on) return {Leaving::Way::kCall, insn.rd, block.end};
  if (ir::is_return(insn)) return {Leaving::Way::kReturn};
  return {};
}

}  // namespace

void RegionCode::emit_end(const Here& here) {
  settle();
  if (ir::is_flags_access(here.current())) return emit_flags_access(here);
  switch (isa::properties(here.current().insn.op).format) {
    case isa::Format::kB:
      return emit_branch(here);
    case isa::Format::kJ:
      return emit_jump(here);
    case isa::Format::kJalr:
      return emit_indirect(here);
    case isa::Format::kCsr:
    case isa::Format::kCsrI:
      return emit_csr(here);
    default:
      return call_last_handler(here);
  }
}

void RegionCode::emit_branch(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  emit_.compare(insn.rs1, insn.rs2);
  const i64 target = i64{here.current().offset} + insn.imm;
  if (falls_through(here, here.block->taken) && here.block->next != ir::kLeaves) {
    a_.emit(opposite(condition_of(insn.op)), label_of(here, here.block->next));
    return;
  }
  if (here.block->taken != ir::kLeaves) {
    a_.emit(condition_of(insn.op), label_of(here, here.block->taken));
  } else {
    const Label leaves = a_.newLabel();
    a_.emit(condition_of(insn.op), leaves);
    later([this, here, leaves, target] {
      a_.bind(leaves);
      leave_to_page_offset(written_before(here), target);
    });
  }
  go_to(here, here.block->next, here.block->end);
}

void RegionCode::emit_jump(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  emit_.set_known(insn.rd, here.current().result);
  go_to(here, here.block->taken, i64{here.current().offset} + insn.imm);
}

void RegionCode::emit_indirect(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  const ir::Known target = here.current().target;
  if (target.kind == ir::Known::Kind::kPageRelative) {
    emit_.set_known(insn.rd, here.current().result);
    return go_to(here, here.block->taken, target.value & ~i64{1});
  }
  if (here.block->by_table) return jump_by_table(here);
  if (!here.block->targets.empty()) compare_returns(here);
  emit_.load(x86::rdx, insn.rs1);
  if (insn.imm != 0) a_.add(x86::rdx, insn.imm);
  a_.and_(x86::rdx, -2);
  emit_.set_known(insn.rd, here.current().result);
  spill(written_before(here) | passes::effects(here.current()).writes);
  a_.mov(x86::rax, x86::rdx);
  leave_to_rax(Target::kRegister, leaving_of(*here.block));
}

// A return to behind a call of this region stays in the region.
void RegionCode::compare_returns(const Here& here) {
  emit_.load(x86::rax, here.current().insn.rs1);
  a_.sub(x86::rax, state_at(offsetof(hart::State, page)));
  for (const i32 one : here.block->targets) {
    const u32 index = static_cast<u32>(one);
    a_.cmp(x86::rax, region_.blocks[index].begin);
    a_.je(block_labels_[index]);
  }
}

// The table has an offset of code, from the table's beginning, for each place where an instruction may begin.
// Where no block of the region does, that of the way out.
void RegionCode::jump_by_table(const Here& here) {
  i32 least = std::numeric_limits<i32>::max(), greatest = std::numeric_limits<i32>::min();
  for (const i32 one : here.block->targets) {
    least = std::min(least, region_.blocks[static_cast<u32>(one)].begin);
    greatest = std::max(greatest, region_.blocks[static_cast<u32>(one)].begin);
  }
  Table table{a_.newLabel(), a_.newLabel(), {}};
  table.targets.assign(static_cast<u32>(greatest - least) / 2 + 1, table.out);
  for (const i32 one : here.block->targets) {
    const u32 index = static_cast<u32>(one);
    table.targets[static_cast<u32>(region_.blocks[index].begin - least) / 2] = block_labels_[index];
  }
  const isa::Insn& insn = here.current().insn;
  emit_.load(x86::rdx, insn.rs1);
  if (insn.imm != 0) a_.add(x86::rdx, insn.imm);
  a_.and_(x86::rdx, -2);
  a_.mov(x86::rax, x86::rdx);
  a_.sub(x86::rax, state_at(offsetof(hart::State, page)));
  if (least != 0) a_.sub(x86::rax, least);
  a_.cmp(x86::rax, greatest - least);
  a_.ja(table.out);
  a_.lea(x86::rcx, x86::ptr(table.label));
  a_.movsxd(x86::rax, x86::dword_ptr(x86::rcx, x86::rax, 1));
  a_.add(x86::rax, x86::rcx);
  a_.jmp(x86::rax);
  later([this, here, out = table.out] {
    a_.bind(out);
    spill(written_before(here));
    a_.mov(x86::rax, x86::rdx);
    leave_to_rax(Target::kRegister);
  });
  tables_.push_back(std::move(table));
}

// Back to a loop's head it goes by the loop's rounds without checks, where there are such.
const asmjit::Label& RegionCode::label_of(const Here& here, i32 block) const {
  const u32 index = static_cast<u32>(block);
  const Rounds* rounds = rounds_between(here.block_index, index);
  return rounds != nullptr ? rounds->enter : block_labels_[index];
}

bool RegionCode::falls_through(const Here& here, i32 block) const {
  return here.grouped && block != ir::kLeaves &&
         rounds_between(here.block_index, static_cast<u32>(block)) == nullptr &&
         place_in_order_[static_cast<u32>(block)] == place_in_order_[here.block_index] + 1;
}

// After the block's last step: on in the region, or out of it.
void RegionCode::go_to(const Here& here, i32 block, i64 offset) {
  if (block == ir::kLeaves) {
    return leave_to_page_offset(written_before(here) | passes::effects(here.current()).writes, offset,
                                leaving_of(*here.block));
  }
  if (!falls_through(here, block)) a_.jmp(label_of(here, block));
}

// A jump to a page of the region needs no translation: all of them are where they are to be.
void RegionCode::leave_to_page_offset(u64 written, i64 offset, Leaving leaving) {
  spill(written);
  if (const ir::CodePage* page = region_.page_of(offset)) {
    const auto leave = [this, offset, page] {
      if (page->distance != 0) a_.add(state_at(offsetof(hart::State, page)), page->distance);
      leave_by_slot(a_.newLabel(), static_cast<i32>(offset));
    };
    if (leaving.way != Leaving::Way::kCall) return leave();
    return note_return(leaving, [this, leave] {
      emit_push_return(a_);
      leave();
    });
  }
  a_.mov(x86::rax, state_at(offsetof(hart::State, page)));
  if (offset == static_cast<i32>(offset)) {
    a_.add(x86::rax, offset);
  } else {
    a_.mov(x86::rcx, offset);
    a_.add(x86::rax, x86::rcx);
  }
  leave_to_rax(Target::kKnown, leaving);
}

// State::page is the target's.
void RegionCode::leave_by_slot(const Label& jump, i32 offset) {
  slots_.push_back({jump, a_.newLabel(), offset});
  a_.bind(jump);
  a_.long_().jmp(slots_.back().stub);
}

// What runs little shares the ways out with all others, what runs much has one for each jump, which predicts
// better.
void RegionCode::leave_to_rax(Target target, Leaving leaving) {
  switch (leaving.way) {
    case Leaving::Way::kJump:
      return jump(target);
    case Leaving::Way::kCall:
      return note_return(leaving, [this, target] {
        if (region_.counts_entries) return void(a_.jmp(thunk(Thunk::kCall)));
        emit_push_return(a_);
        jump(target);
      });
    case Leaving::Way::kReturn: {
      if (region_.counts_entries) return void(a_.jmp(thunk(Thunk::kReturn)));
      const Label miss = a_.newLabel();
      emit_return(a_, miss);
      return later([this, miss] {
        a_.bind(miss);
        jump_by_cache(false);
      });
    }
  }
}

// Leaves by `call`, which finds what emit_push_return() wants. What stands behind the call is entered, where
// the region has it, else reached by a slot.
void RegionCode::note_return(Leaving leaving, const std::function<void()>& call) {
  const auto is_behind = [&](const ir::Block& block) {
    return block.begin == leaving.back && !block.steps.empty() && block.is_way_in;
  };
  const auto behind = std::find_if(region_.blocks.begin(), region_.blocks.end(), is_behind);
  const bool is_here = behind != region_.blocks.end();
  const Label back =
      is_here ? entrances_[static_cast<std::size_t>(behind - region_.blocks.begin())] : a_.newLabel();
  a_.lea(x86::rdx, x86::ptr(back));
  emit_.load(x86::rcx, leaving.link);
  call();
  if (!is_here) leave_by_slot(back, leaving.back);
}

// The jump cache is as fast for a place that is known, and one look there serves all who jump to it. Who
// calls by a pointer often jumps by the same one right away, as through a procedure linkage table.
void RegionCode::jump(Target target) {
  if (region_.counts_entries) return void(a_.jmp(thunk(Thunk::kJump)));
  if (target == Target::kKnown) return jump_by_cache(false);
  const Label other = a_.newLabel();
  load_address(x86::rsi, Image::Patch::Kind::kJumps, image_.jumps++ * u32{sizeof(LastJump)});
  emit_jump_again(a_, other);
  later([this, other] {
    a_.bind(other);
    jump_by_cache(true);
  });
}

void RegionCode::jump_by_cache(bool notes) {
  const Label miss = a_.newLabel();
  emit_jump_by_cache(a_, miss, notes);
  later([this, miss] {
    a_.bind(miss);
    a_.jmp(thunk(Thunk::kMiss));
  });
}

}  // namespace cloister::jit::x64
