// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "isa/properties.h"
#include "jit/x64/conditions.h"
#include "jit/x64/region_code.h"

// Rounds of loops without checks (passes/loops.cpp says which loops).
//
// The last block of the loop's ordinary code jumps here instead of to the head. Once it is seen that the next
// rounds, a stretch of them, stay in the pages that their slots know, that the budget holds as long and that
// nobody wants the hart, they run in a copy of the loop: accesses without a look at the soft TLB, and one
// comparison a round, of the countdown with what it is at the stretch's end. Then the next stretch is looked
// at.
//
// The copy is short, so all its registers have homes, and addends too: they get the places of registers that
// the loop does not use, which wait in the State meanwhile. Nothing in the copy calls the host. What needs it
// is left to the ordinary code, which begins that instruction anew.
namespace cloister::jit::x64 {

namespace {

constexpr i32 kPage = static_cast<i32>(kPageSize);

}  // namespace

void RegionCode::find_rounds() {
  for (const ir::Loop& loop : region_.loops) {
    Rounds& rounds = rounds_.emplace_back(loop, Homes(homes_, passes::rank_registers(region_, loop)));
    rounds.enter = a_.newLabel();
    rounds.head = a_.newLabel();
    for (const u32 index : loop.blocks) {
      for (const ir::Step& step : region_.blocks[index].steps) {
        const isa::Properties& p = isa::properties(step.insn.op);
        rounds.written |= passes::effects(step).writes;
        rounds.uses_float |= p.is_float() && !p.is_store();
      }
    }
    const std::vector<x86::Gp> spare = rounds.homes.spare();
    for (std::size_t i = 0; i < loop.streams.size(); ++i) {
      rounds.addends.push_back(i < spare.size() ? std::optional(spare[i]) : std::nullopt);
      if (rounds.addends.back()) rounds.evicted |= homes_.lives_in(*rounds.addends.back());
    }
    rounds.borrowed = rounds.homes.homed() & ~homes_.homed();
    for (u32 reg = 1; reg < 64; ++reg) {
      if (rounds.borrowed >> reg & 1) rounds.evicted |= homes_.in_place_of(rounds.homes, reg);
    }
  }
}

const RegionCode::Rounds* RegionCode::rounds_between(u32 last, u32 head) const {
  for (const Rounds& rounds : rounds_) {
    if (rounds.loop.blocks.back() == last && rounds.loop.blocks.front() == head) return &rounds;
  }
  return nullptr;
}

void RegionCode::emit_rounds(const Rounds& rounds) {
  const Label& ordinary = block_labels_[rounds.loop.blocks.front()];
  const Label out = a_.newLabel();
  a_.bind(rounds.enter);
  emit_.knowledge() = {};
  check_stretch(rounds, ordinary);
  enter_rounds(rounds);
  a_.align(asmjit::AlignMode::kCode, 32);
  a_.bind(rounds.head);
  for (std::size_t i = 0; i < rounds.loop.blocks.size(); ++i) {
    const u32 index = rounds.loop.blocks[i];
    const ir::Block& block = region_.blocks[index];
    a_.sub(kCountdown, static_cast<i32>(block.steps.size()));
    emit_steps({&block, index, 0, true, &rounds, i});
  }
  check_stretch(rounds, out);
  a_.jmp(rounds.head);
  a_.bind(out);
  leave_rounds(rounds);
  a_.jmp(ordinary);
  emit_.use_homes(homes_);
}

void RegionCode::enter_rounds(const Rounds& rounds) {
  spill(rounds.evicted & written_[rounds.loop.blocks.front()]);
  emit_.use_homes(rounds.homes);
  reload(rounds.borrowed);
  for (std::size_t i = 0; i < rounds.addends.size(); ++i) {
    if (rounds.addends[i]) a_.mov(*rounds.addends[i], addend_at(rounds.loop.streams[i].slot));
  }
}

// All values become wide. From here on the region's homes hold.
void RegionCode::leave_rounds(const Rounds& rounds) {
  settle();
  spill(rounds.borrowed & rounds.written);
  emit_.use_homes(homes_);
  reload(rounds.evicted);
}

asmjit::Label RegionCode::leave_rounds_before(const Here& here) {
  const Label out = a_.newLabel();
  later([this, here, out] {
    a_.bind(out);
    leave_rounds(*here.rounds);
    a_.jmp(ungrouped(here, here.step));
  });
  return out;
}

// -- Before a stretch -------------------------------------------------------------------------------------

void RegionCode::check_stretch(const Rounds& rounds, const Label& otherwise) {
  const i32 steps = static_cast<i32>(rounds.loop.steps * rounds.loop.rounds);
  a_.cmp(state_at(offsetof(hart::State, attention), 4), 0);
  a_.jne(otherwise);
  a_.cmp(kCountdown, static_cast<i32>(region_.count_steps()) + 1 + steps);
  a_.jl(otherwise);
  if (rounds.uses_float) {
    a_.cmp(state_at(offsetof(hart::State, fs), 1), 3);
    a_.jne(otherwise);
  }
  for (const ir::Stream& stream : rounds.loop.streams) {
    a_.cmp(limit_at(stream.slot), 0);
    a_.je(otherwise);
    for (const ir::Sum& place : stream.places) check_place(stream, place, otherwise);
  }
  a_.lea(x86::rax, x86::ptr(kCountdown, -steps));
  a_.mov(frame_at(offsetof(Frame, stretch_end)), x86::rax);
}

void RegionCode::check_place(const ir::Stream& stream, const ir::Sum& place, const Label& otherwise) {
  if (place.scaled != 0) {
    emit_.load(x86::rax, place.scaled);
    if (place.shift != 0) a_.shl(x86::rax, place.shift);
    if (place.plain != 0) a_.add(x86::rax, emit_.use(place.plain, x86::rcx));
  } else {
    emit_.load(x86::rax, place.plain);
  }
  const i64 offset = place.offset - stream.low;
  if (offset == static_cast<i32>(offset)) {
    if (offset != 0) a_.add(x86::rax, offset);
  } else {
    a_.mov(x86::rcx, offset);
    a_.add(x86::rax, x86::rcx);
  }
  a_.sub(x86::rax, page_at(stream.slot));
  a_.cmp(x86::rax, kPage - static_cast<i32>(stream.size));
  a_.ja(otherwise);
}

// -- A round ----------------------------------------------------------------------------------------------

void RegionCode::emit_round_end(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  if (isa::properties(insn.op).format == isa::Format::kB) return emit_branch_in_round(here);
  emit_.set_known(insn.rd, here.current().result);
  go_round(here);
}

void RegionCode::emit_branch_in_round(const Here& here) {
  const std::vector<u32>& blocks = here.rounds->loop.blocks;
  const u32 next = here.place + 1 < blocks.size() ? blocks[here.place + 1] : blocks.front();
  const isa::Insn& insn = here.current().insn;
  const bool stays_if_taken = here.block->taken == static_cast<i32>(next);
  const i32 way_out = stays_if_taken ? here.block->next : here.block->taken;
  const i64 offset = stays_if_taken ? i64{here.block->end} : i64{here.current().offset} + insn.imm;
  const Label out = a_.newLabel();
  emit_.compare(insn.rs1, insn.rs2);
  a_.emit(stays_if_taken ? opposite(condition_of(insn.op)) : condition_of(insn.op), out);
  later([this, here, out, way_out, offset] {
    a_.bind(out);
    leave_rounds(*here.rounds);
    if (way_out == ir::kLeaves) return leave_to_page_offset(written_before(here), offset);
    a_.jmp(block_labels_[static_cast<u32>(way_out)]);
  });
  go_round(here);
}

// The next block lies behind; after the last, the head.
void RegionCode::go_round(const Here& here) {
  if (here.place + 1 < here.rounds->loop.blocks.size()) return;
  settle();
  a_.cmp(kCountdown, frame_at(offsetof(Frame, stretch_end)));
  a_.jg(here.rounds->head);
}

// -- Accesses ---------------------------------------------------------------------------------------------

// Nothing where the access's group is none of a stream.
std::optional<x86::Mem> RegionCode::streamed_place(const Here& here, u32 size) {
  const ir::Step& step = here.current();
  const std::vector<ir::Stream>& streams = here.rounds->loop.streams;
  const auto is_of = [&](const ir::Stream& stream) {
    return std::any_of(stream.members.begin(), stream.members.end(), [&](const ir::Stream::Member& member) {
      return member.block == here.block_index && member.group == step.group;
    });
  };
  const auto stream = std::find_if(streams.begin(), streams.end(), is_of);
  if (stream == streams.end()) return std::nullopt;
  const auto addend = here.rounds->addends[static_cast<std::size_t>(stream - streams.begin())];
  if (!addend) a_.mov(x86::rcx, addend_at(stream->slot));
  return x86::ptr(emit_.use(step.insn.rs1, x86::rax), addend.value_or(x86::rcx), 0, step.insn.imm, size);
}

// A group whose address moves otherwise: what its slot knows, or out.
void RegionCode::open_group_in_round(const Here& here) {
  const ir::Group& group = here.block->groups[here.current().group];
  const Label out = leave_rounds_before(here);
  if (!group.is_kept) return find_group(here, out);
  emit_.load(x86::rax, here.current().insn.rs1);
  a_.sub(x86::rax, page_at(group.slot));
  a_.cmp(x86::rax, limit_at(group.slot));
  a_.jae(out);
  a_.mov(x86::rcx, addend_at(group.slot));
}

}  // namespace cloister::jit::x64
