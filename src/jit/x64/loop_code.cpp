// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>

#include "isa/properties.h"
#include "jit/x64/bulk_code.h"
#include "jit/x64/conditions.h"
#include "jit/x64/region_code.h"

// Rounds of loops without checks (passes/loops.cpp says which loops).
//
// The last block of the loop's ordinary code jumps here instead of to the head. Once it is seen how many of
// the next rounds, a stretch of them, stay in the pages that their slots know, that the budget holds as long
// and that nobody wants the hart, they run in a copy of the loop: accesses without a look at the soft TLB,
// and one count a round. Then the next stretch is looked at.
//
// In the copy, of one round or of a few, the countdown is what is left of the stretch, and these rounds are
// taken off it at their end. Whoever leaves in between takes off the blocks that are done.
//
// An aside (passes/loops.cpp) works on copies of what it writes, which are then taken or not. Its steps that
// count are counted beside the countdown, for the stretch's rounds are as many as pages have room for,
// however many steps they take.
//
// A round begins with what the loop's last block leaves: words whose upper half nobody asked for, and NaN
// that are not yet canonical, stay so.
//
// The copy is short, so all its registers have homes, and addends too: they get the places of registers that
// the loop does not use, which wait in the State meanwhile. Nothing in the copy calls the host. What needs it
// is left to the ordinary code, which begins that instruction anew.
namespace cloister::jit::x64 {

void RegionCode::find_rounds() {
  for (const ir::Loop& loop : region_.loops) {
    Rounds rounds(loop, Homes(homes_, passes::rank_registers(region_, loop)));
    const std::vector<x86::Gp> all_spare = rounds.homes.spare();
    std::vector<x86::Gp> spare = all_spare;
    if (!place_asides(rounds, spare)) continue;
    rounds.enter = a_.newLabel();
    rounds.head = a_.newLabel();
    for (const u32 index : loop.blocks) {
      for (const ir::Step& step : region_.blocks[index].steps) {
        const isa::Properties& p = isa::properties(step.insn.op);
        rounds.written |= passes::effects(step).writes;
        rounds.uses_float |= p.is_float() && !p.is_store();
      }
    }
    for (const ir::Aside& aside : loop.asides) rounds.written |= aside.writes;
    for (std::size_t i = 0; i < loop.streams.size(); ++i)
      rounds.addends.push_back(i < spare.size() ? std::optional(spare[i]) : std::nullopt);
    const std::size_t left = spare.size() - std::min(spare.size(), loop.streams.size());
    for (std::size_t i = 0; i < all_spare.size() - left; ++i) rounds.evicted |= homes_.lives_in(all_spare[i]);
    place_bulk(rounds);
    rounds.borrowed = rounds.homes.homed() & ~homes_.homed();
    for (u32 reg = 1; reg < 64; ++reg) {
      if (rounds.borrowed >> reg & 1) rounds.evicted |= homes_.in_place_of(rounds.homes, reg);
    }
    rounds_.push_back(std::move(rounds));
  }
}

void RegionCode::place_bulk(Rounds& rounds) const {
  if (!rounds.loop.bulk || !emit_.features().avx2) return;
  rounds.bulk = BulkCode::find_places(rounds, homes_);
  if (!rounds.bulk) return;
  for (const x86::Gp& spare : rounds.homes.spare()) {
    const std::vector<x86::Gp>& pointers = rounds.bulk->pointers;
    if (std::find(pointers.begin(), pointers.end(), spare) != pointers.end())
      rounds.evicted |= homes_.lives_in(spare);
  }
}

// Where asides work, taken from `spare`. False when there is not room enough.
bool RegionCode::place_asides(Rounds& rounds, std::vector<x86::Gp>& spare) const {
  if (rounds.loop.asides.empty()) return true;
  std::size_t used = 0;
  for (const ir::Aside& aside : rounds.loop.asides) {
    Homes beside = rounds.homes;
    std::size_t at = 0;
    for (u8 reg = 1; reg < 32; ++reg) {
      if ((aside.writes >> reg & 1) == 0) continue;
      if (!rounds.homes.has(reg) || at + 1 >= spare.size()) return false;
      beside = beside.with(reg, spare[at++]);
    }
    used = std::max(used, at);
    rounds.beside.push_back(beside);
  }
  rounds.extra = spare[used];
  spare.erase(spare.begin(), spare.begin() + static_cast<std::ptrdiff_t>(used) + 1);
  return true;
}

const Rounds* RegionCode::rounds_between(u32 last, u32 head) const {
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
  emit_.knowledge() = known_at_head(rounds);
  const Label bulk = a_.newLabel();
  if (rounds.bulk && rounds.loop.bulk->follows_a_round) {
    BulkCode(emit_, rounds).shorten_stretch();
    a_.jmp(rounds.head);
  }
  a_.bind(bulk);
  if (rounds.bulk) BulkCode(emit_, rounds).emit();
  emit_.knowledge() = known_at_head(rounds);
  a_.align(asmjit::AlignMode::kCode, 32);
  a_.bind(rounds.head);
  for (u32 copy = 0; copy < rounds.loop.copies; ++copy) {
    for (std::size_t i = 0; i < rounds.loop.blocks.size(); ++i) {
      const u32 index = rounds.loop.blocks[i];
      emit_steps({&region_.blocks[index], index, 0, true, &rounds, i, copy});
    }
  }
  restore_countdown(rounds, 0);
  const Knowledge known = emit_.knowledge();
  check_stretch(rounds, out);
  if (rounds.extra) a_.xor_(rounds.extra->r32(), rounds.extra->r32());
  a_.jmp(bulk);
  a_.bind(out);
  emit_.knowledge() = known;
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
  if (rounds.extra) a_.xor_(rounds.extra->r32(), rounds.extra->r32());
}

// All values become wide. From here on the region's homes hold.
void RegionCode::leave_rounds(const Rounds& rounds) {
  settle();
  spill(rounds.borrowed & rounds.written);
  emit_.use_homes(homes_);
  reload(rounds.evicted);
}

// Of what the countdown does not yet know, where rounds are left with the block, or within it: to its end.
u32 RegionCode::steps_to(const Here& here) const {
  u32 steps = here.copy * here.rounds->loop.steps;
  for (std::size_t i = 0; i <= here.place; ++i)
    steps += static_cast<u32>(region_.blocks[here.rounds->loop.blocks[i]].steps.size());
  return steps;
}

void RegionCode::restore_countdown(const Rounds& rounds, u32 done) {
  a_.add(kCountdown, frame_at(offsetof(Frame, stretch_end)));
  if (done != 0) a_.sub(kCountdown, static_cast<i32>(done));
  if (rounds.extra) a_.sub(kCountdown, *rounds.extra);
}

asmjit::Label RegionCode::leave_rounds_before(const Here& here) {
  const Label out = a_.newLabel();
  later([this, here, out] {
    a_.bind(out);
    restore_countdown(*here.rounds, steps_to(here));
    leave_rounds(*here.rounds);
    a_.jmp(ungrouped(here, here.step));
  });
  return out;
}

// -- Before a stretch -------------------------------------------------------------------------------------

// Leaves in the countdown the steps of as many rounds as there is room for, which are in edx, and in the
// frame what it is behind them, asides left out.
void RegionCode::check_stretch(const Rounds& rounds, const Label& otherwise) {
  const ir::Loop& loop = rounds.loop;
  a_.cmp(state_at(offsetof(hart::State, attention), 4), 0);
  a_.jne(otherwise);
  a_.cmp(kCountdown, static_cast<i32>(region_.count_steps() + 1 + loop.most_steps * loop.rounds));
  a_.jl(otherwise);
  if (rounds.uses_float) {
    a_.cmp(state_at(offsetof(hart::State, fs), 1), 3);
    a_.jne(otherwise);
  }
  a_.mov(x86::edx, loop.rounds);
  for (const ir::Stream& stream : loop.streams) {
    a_.cmp(limit_at(stream.slot), 0);
    a_.je(otherwise);
    for (const ir::Sum& place : stream.places) check_place(stream, place, otherwise);
    if (stream.stride != 0) count_rounds(stream);
  }
  if (loop.copies > 1) {
    a_.and_(x86::edx, -static_cast<i32>(loop.copies));
    a_.jz(otherwise);
  }
  a_.imul(x86::rax, x86::rdx, loop.steps);
  a_.sub(kCountdown, x86::rax);
  a_.mov(frame_at(offsetof(Frame, stretch_end)), kCountdown);
  a_.mov(kCountdown, x86::rax);
}

// edx: the fewer of that and the rounds whose places fit: the leader's, and one for each stride from there.
// The division is a multiplication: exact, for room is less than a page and the stride at most kMostStride.
void RegionCode::count_rounds(const ir::Stream& stream) {
  constexpr u32 kShift = 24;
  load_in_page(stream, stream.leader);
  const u32 stride = static_cast<u32>(std::abs(stream.stride));
  if (stream.stride > 0) {
    a_.neg(x86::rax);
    a_.add(x86::rax, kPage - static_cast<i32>(stream.size));
  }
  if (std::has_single_bit(stride)) {
    a_.shr(x86::eax, std::countr_zero(stride));
  } else {
    a_.imul(x86::rax, x86::rax, (1u << kShift) / stride + 1);
    a_.shr(x86::rax, kShift);
  }
  a_.add(x86::eax, stream.lead_by);
  a_.cmp(x86::edx, x86::eax);
  a_.cmova(x86::edx, x86::eax);
}

// rax: how far from the beginning of the stream's page the place is.
void RegionCode::load_in_page(const ir::Stream& stream, const ir::Sum& place) {
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
}

void RegionCode::check_place(const ir::Stream& stream, const ir::Sum& place, const Label& otherwise) {
  load_in_page(stream, place);
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
  if (const ir::Aside* aside = here.rounds->loop.aside_of(here.block_index)) {
    emit_aside(here, *aside);
    return go_round(here);
  }
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
    restore_countdown(*here.rounds, steps_to(here));
    leave_rounds(*here.rounds);
    if (way_out == ir::kLeaves) return leave_to_page_offset(written_before(here), offset);
    a_.jmp(block_labels_[static_cast<u32>(way_out)]);
  });
  go_round(here);
}

// Its results beside the registers, then the branch's comparison, and then they are taken or not.
void RegionCode::emit_aside(const Here& here, const ir::Aside& aside) {
  const Homes& homes = here.rounds->homes;
  const Homes& beside =
      here.rounds->beside[static_cast<std::size_t>(&aside - here.rounds->loop.asides.data())];
  const Knowledge before = emit_.knowledge();
  const auto for_each_written = [&aside](auto visit) {
    for (u8 reg = 1; reg < 32; ++reg) {
      if (aside.writes >> reg & 1) visit(reg);
    }
  };
  for_each_written([&](u8 reg) { a_.mov(beside.integer(reg), homes.integer(reg)); });
  emit_.use_homes(beside);
  for (const ir::Step& step : ir::steps_of(region_, aside)) {
    if (step.dead || step.insn.op == isa::Op::jal) continue;
    if (step.result) {
      emit_.set_known(step.insn.rd, step.result);
    } else {
      CHECK(emit_.compute(step));
    }
  }
  const u32 words = before.words & emit_.knowledge().words;
  for_each_written([&](u8 reg) {
    if ((words >> reg & 1) == 0) (void)emit_.use(reg, x86::rax);
  });
  const u32 narrow = emit_.knowledge().narrow & aside.writes;
  emit_.use_homes(homes);
  emit_.knowledge() = before;
  for_each_written([&](u8 reg) {
    if ((words >> reg & 1) == 0) (void)emit_.use(reg, x86::rax);
  });
  const isa::Insn& insn = here.current().insn;
  emit_.compare(insn.rs1, insn.rs2);
  const bool if_taken = here.block->taken == static_cast<i32>(aside.from);
  const u32 condition = move_on(if_taken ? condition_of(insn.op) : opposite(condition_of(insn.op)));
  for_each_written([&](u8 reg) { a_.emit(condition, homes.integer(reg), beside.integer(reg)); });
  const x86::Gp extra = *here.rounds->extra;
  a_.lea(x86::rax, x86::ptr(extra, static_cast<i32>(aside.steps)));
  a_.emit(condition, extra, x86::rax);
  emit_.knowledge().words &= words | ~aside.writes;
  emit_.knowledge().narrow |= narrow;
}

// The next block lies behind; after the last of the last copy, the head.
void RegionCode::go_round(const Here& here) {
  const ir::Loop& loop = here.rounds->loop;
  if (here.place + 1 < loop.blocks.size() || here.copy + 1 < loop.copies) return;
  settle_for_head(*here.rounds);
  a_.sub(kCountdown, static_cast<i32>(loop.steps * loop.copies));
  a_.jg(here.rounds->head);
}

// What the loop's last block leaves, whichever way it was reached; nothing of what its aside may write.
Knowledge RegionCode::known_at_head(const Rounds& rounds) const {
  const u32 last = rounds.loop.blocks.back();
  Knowledge known = known_at_end_[last];
  if (const ir::Aside* aside = rounds.loop.aside_of(last)) {
    known.words &= ~aside->writes;
    known.narrow &= ~aside->writes;
  }
  return known;
}

// What the head takes as it is stays so.
void RegionCode::settle_for_head(const Rounds& rounds) {
  const Knowledge at_head = known_at_head(rounds);
  const Knowledge now = emit_.knowledge();
  CHECK((at_head.words & ~now.words) == 0 && (at_head.boxed & ~now.boxed) == 0);
  for (u8 reg = 0; reg < 32; ++reg) {
    if ((now.narrow & ~at_head.narrow) >> reg & 1) (void)emit_.use(reg, x86::rax);
    const bool is_odd =
        ((now.odd_doubles & ~at_head.odd_doubles) | (now.odd_singles & ~at_head.odd_singles)) >> reg & 1;
    if (is_odd) settle_float(reg);
  }
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

// A group whose address moves otherwise: what its slot knows, else what the soft TLB does, or out.
void RegionCode::open_group_in_round(const Here& here) {
  const ir::Group& group = here.block->groups[here.current().group];
  const Label out = leave_rounds_before(here);
  if (!group.is_kept) return find_group(here, out);
  const Label find = a_.newLabel(), open = a_.newLabel();
  compare_with_slot(here, find);
  a_.bind(open);
  later([this, here, &group, find, open, out] {
    a_.bind(find);
    find_group(here, out);
    note_in_slot(group);
    a_.jmp(open);
  });
}

}  // namespace cloister::jit::x64
