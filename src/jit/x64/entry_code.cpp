// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/region_code.h"

// The ways into a region, the checks that let it be left in time, and its slots.
namespace cloister::jit::x64 {

namespace {

// A way in: the block's offset, and a call. What was called finds the way in by where it would return to.
constexpr i32 kEntranceBytes = 10;
// Before that, in a wide region: the offset again, in its page, and a jump.
constexpr i32 kWayBelowBytes = 10;

}  // namespace

// Each block may be entered: what jumps into the middle of a region would else need a region of its own,
// which repeats the rest of this one. So a way in is short; what they have in common stands once.
void RegionCode::emit_entries() {
  for (u32 i = 0; i < region_.blocks.size(); ++i) {
    if (region_.blocks[i].steps.empty() || !region_.blocks[i].is_way_in || has_entrance_[i]) continue;
    emit_entrance(i);
    a_.jmp(block_labels_[i]);
  }
  emit_common_entry();
}

void RegionCode::emit_entrance(u32 index) {
  const i32 offset = region_.blocks[index].begin, distance = ir::page_distance(offset);
  has_entrance_[index] = true;
  if (region_.is_wide()) {
    a_.mov(x86::eax, offset - distance);
    a_.long_().jmp(alone_);  // until the region lies over others
  }
  a_.bind(entrances_[index]);
  a_.mov(x86::eax, offset);
  a_.call(distance == 0 ? enter_ : enter_far_);
  DCHECK(a_.offset() - holder_.labelOffset(entrances_[index]) == kEntranceBytes);
}

// eax: the block's offset. Comes back with all homes loaded, or leaves. Of one page, it looks at no data but
// the State: whoever leads here saw that the code is right in the present epoch.
void RegionCode::emit_common_entry() {
  const Label interpret = a_.newLabel(), hot = a_.newLabel(), below = a_.newLabel();
  if (region_.is_wide()) {
    a_.bind(enter_far_);
    a_.movsxd(x86::rdx, x86::eax);
    a_.and_(x86::rdx, -kPage);
    a_.sub(state_at(offsetof(hart::State, page)), x86::rdx);
  }
  a_.bind(enter_);
  if (region_.is_wide()) check_place(below);
  if (region_.counts_entries) count_entry(hot);
  if (region_.uses_float) {
    // Rounding to the nearest with ties away (frm 4) and illegal modes are beyond the host's unit. Of several
    // pages, some may do without the unit.
    const Label& without = region_.is_wide() ? below : interpret;
    a_.cmp(state_at(offsetof(hart::State, fs), 1), 0);
    a_.je(without);
    a_.cmp(state_at(offsetof(hart::State, frm), 1), 3);
    a_.ja(without);
  }
  check_stop(interpret);
  reload(homes_.homed());
  forget_found(sizeof(u64));
  a_.ret();
  later([this, interpret, hot] { emit_ways_out(interpret, hot); });
  if (!region_.is_wide()) return;
  later([this, below] {
    a_.bind(below);
    go_below();
    a_.bind(alone_);
    a_.mov(x86::ecx, kExitInterpret);
    a_.jmp(leave_slot_);
  });
}

namespace {

bool is_in_place(hart::State& s, Header& header) { return header.is_in_place(s, header); }

}  // namespace

// Whether all of the region's pages are what its code was made of, and where it takes them to be. What was
// seen once holds as long as no jump ends and no code may have changed.
void RegionCode::check_place(const Label& otherwise) {
  const Label look = a_.newLabel(), seen = a_.newLabel();
  load_header(x86::rcx);
  a_.mov(x86::rdx, state_at(offsetof(hart::State, page)));
  a_.cmp(x86::rdx, x86::ptr(x86::rcx, offsetof(Header, page)));
  a_.jne(look);
  a_.mov(x86::rdx, state_at(offsetof(hart::State, jump_tag)));
  a_.cmp(x86::rdx, x86::ptr(x86::rcx, offsetof(Header, tags)));
  a_.jne(look);
  a_.bind(seen);
  later([this, look, seen, otherwise] {
    a_.bind(look);
    a_.sub(x86::dword_ptr(x86::rcx, offsetof(Header, refusals)), 1);
    a_.jns(otherwise);
    a_.mov(state_at(offsetof(hart::State, countdown)), kCountdown);
    a_.push(x86::rax);
    a_.lea(x86::rdi, x86::ptr(kState, -kStateBias));
    a_.mov(x86::rsi, x86::rcx);
    a_.call(asmjit::imm(is_in_place));
    a_.test(x86::al, x86::al);
    a_.pop(x86::rax);
    a_.mov(kCountdown, state_at(offsetof(hart::State, countdown)));
    a_.jnz(seen);
    a_.jmp(otherwise);
  });
}

// From the entry: on in the region below, at what stands before the way in.
void RegionCode::go_below() {
  a_.movsxd(x86::rdx, x86::eax);
  a_.and_(x86::rdx, -kPage);
  a_.add(state_at(offsetof(hart::State, page)), x86::rdx);
  a_.pop(x86::rcx);
  a_.sub(x86::rcx, kEntranceBytes + kWayBelowBytes);
  a_.jmp(x86::rcx);
}

// Which entries are counted must not depend on how many instructions a loop has: by the lowest bits of their
// count, one of two blocks that a loop enters each round was counted twice as often, and the other never.
void RegionCode::count_entry(const Label& hot) {
  constexpr u32 kSpread = 0x9e3779b1;  // 2^32 divided by the golden ratio
  const Label counted = a_.newLabel(), count = a_.newLabel();
  a_.imul(x86::ecx, kCountdown.r32(), static_cast<i32>(kSpread));
  a_.cmp(x86::ecx, static_cast<i32>((u64{1} << 32) / kEntriesCounted));
  a_.jb(count);
  a_.bind(counted);
  later([this, hot, counted, count] {
    a_.bind(count);
    load_header(x86::rcx);
    count_down(kEntriesCounted * kEntryWeight, hot);
    a_.jmp(counted);
  });
}

// From the entry, before anything was loaded, and from elsewhere. eax: a block's offset, ecx: why the region
// is left there.
void RegionCode::emit_ways_out(const Label& interpret, const Label& hot) {
  const Label out = a_.newLabel();
  a_.bind(stale_);
  a_.pop(x86::rdx);
  a_.sub(x86::rdx, kEntranceBytes);
  a_.mov(x86::rcx, kExitStale | region_.pages[0].number.raw << kExitKindBits);
  a_.jmp(leave_slot_);
  a_.bind(hot);
  a_.mov(x86::ecx, kExitHot);
  a_.jmp(out);
  a_.bind(interpret);
  a_.mov(x86::ecx, kExitInterpret);
  a_.bind(out);
  a_.add(x86::rsp, sizeof(u64));
  a_.bind(leave_at_);
  if (region_.is_wide()) a_.movsxd(x86::rax, x86::eax);
  load_header(x86::rdx);
  a_.bind(leave_slot_);
  a_.add(x86::rax, state_at(offsetof(hart::State, page)));
  a_.mov(state_at(offsetof(hart::State, pc)), x86::rax);
  a_.mov(x86::rax, x86::rcx);
  a_.jmp(thunk(Thunk::kLeave));
}

void RegionCode::load_header(const x86::Gp& to) { load_address(to, Image::Patch::Kind::kHeader, 0); }

// Of what has its place only when the code has one.
void RegionCode::load_address(const x86::Gp& to, Image::Patch::Kind kind, u32 offset) {
  a_.movabs(to, 0);
  Image::Patch patch{};
  patch.kind = kind;
  patch.at = {Image::Part(a_.currentSection()->id()), static_cast<u32>(a_.offset() - sizeof(u64))};
  patch.addend = static_cast<i32>(offset);
  image_.patches.push_back(patch);
}

// rcx: the header.
void RegionCode::count_down(i32 by, const Label& hot) {
  a_.sub(x86::qword_ptr(x86::rcx, offsetof(Header, heat)), by);
  a_.js(hot);
}

void RegionCode::emit_loop_head(u32 index) {
  const Label stop = a_.newLabel(), hot = a_.newLabel();
  check_stop(stop);
  if (region_.counts_entries) {
    load_header(x86::rcx);
    count_down(1, hot);
  }
  later([this, stop, hot, index] {
    a_.bind(stop);
    spill(written_[index]);
    leave_at(index, kExitInterpret);
    if (!region_.counts_entries) return;
    a_.bind(hot);
    spill(written_[index]);
    leave_at(index, kExitHot);
  });
}

void RegionCode::leave_at(u32 index, u64 exit) {
  a_.mov(x86::eax, region_.blocks[index].begin);
  a_.mov(x86::ecx, exit);
  a_.jmp(leave_at_);
}

void RegionCode::set_pc(i64 page_offset) {
  a_.mov(x86::rax, state_at(offsetof(hart::State, page)));
  if (page_offset != 0) a_.add(x86::rax, page_offset);
  a_.mov(state_at(offsetof(hart::State, pc)), x86::rax);
}

// The interpreter looks at budget and attention at each block boundary. Here nothing wants attention of its
// own accord (call_code.cpp), and a budget that is good for all of the region's instructions is good to the
// next check, for each cycle has one. With less, the interpreter runs the last few blocks. Bound: a safe
// point comes within the region's instructions, at most those of ir::Limits, and a stretch of a loop
// (loop_code.cpp).
void RegionCode::check_stop(const Label& stop) {
  a_.cmp(kCountdown, static_cast<i32>(region_.count_steps()) + 1);
  a_.jl(stop);
  a_.cmp(state_at(offsetof(hart::State, attention), 4), 0);
  a_.jne(stop);
}

void RegionCode::emit_slots() {
  for (const Slot& slot : slots_) {
    a_.bind(slot.stub);
    const ir::CodePage& page = *region_.page_of(slot.offset);
    a_.mov(x86::eax, slot.offset - page.distance);
    a_.mov(x86::rcx, kExitSlot | page.number.raw << kExitKindBits);
    a_.lea(x86::rdx, x86::ptr(slot.jump));
    a_.jmp(leave_slot_);
  }
  for (const Table& table : tables_) {
    a_.bind(table.label);
    for (const Label& target : table.targets) a_.embedLabelDelta(target, table.label, 4);
  }
}

}  // namespace cloister::jit::x64
