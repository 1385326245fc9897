// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/region_code.h"

// The ways into a region, the checks that let it be left in time, and its slots.
namespace cloister::jit::x64 {

// Each block may be entered: what jumps into the middle of a region would else need a region of its own,
// which repeats the rest of this one.
void RegionCode::emit_entries() {
  for (u32 i = 0; i < region_.blocks.size(); ++i) {
    if (!region_.blocks[i].steps.empty()) emit_entry(i);
  }
  a_.bind(load_homes_);
  reload(homes_.homed());
  forget_found(sizeof(u64));
  a_.ret();
}

void RegionCode::emit_entry(u32 index) {
  const Entrance way{a_.newLabel(), a_.newLabel(), a_.newLabel(), index};
  entrances_.push_back(way);
  const Label other_epoch = a_.newLabel(), hot = a_.newLabel(), interpret = a_.newLabel();
  a_.bind(way.label);
  a_.mov(x86::eax, state_at(offsetof(hart::State, epoch), 4));
  a_.cmp(x86::eax, x86::dword_ptr(header_));
  a_.jne(other_epoch);
  if (region_.counts_entries) count_down(kEntryWeight, hot);
  if (region_.uses_float) {
    // Rounding to the nearest with ties away (frm 4) and illegal modes are beyond the host's unit.
    a_.cmp(state_at(offsetof(hart::State, fs), 1), 0);
    a_.je(interpret);
    a_.cmp(state_at(offsetof(hart::State, frm), 1), 3);
    a_.ja(interpret);
  }
  check_stop(interpret);
  a_.call(load_homes_);
  a_.jmp(block_labels_[index]);
  a_.bind(other_epoch);
  a_.jmp(x86::qword_ptr(way.pointer));
  a_.bind(interpret);
  leave_at(index, kExitInterpret);
  a_.bind(hot);
  if (region_.counts_entries) leave_at(index, kExitHot);
  a_.bind(way.stale);
  leave_at(index, kExitStale);
}

void RegionCode::count_down(i32 by, const Label& hot) {
  a_.mov(x86::rax, asmjit::imm(&counts_->heat));
  a_.sub(x86::qword_ptr(x86::rax), by);
  a_.js(hot);
}

void RegionCode::emit_loop_head(u32 index) {
  const Label stop = a_.newLabel(), hot = a_.newLabel();
  check_stop(stop);
  if (region_.counts_entries) count_down(1, hot);
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
  set_pc(region_.blocks[index].begin);
  a_.lea(x86::rdx, x86::ptr(header_));
  a_.mov(x86::eax, exit);
  a_.jmp(asmjit::imm(thunks_.leave));
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
    set_pc(slot.offset);
    a_.lea(x86::rdx, x86::ptr(slot.pointer));
    a_.mov(x86::eax, kExitSlot);
    a_.jmp(asmjit::imm(thunks_.leave));
  }
  a_.align(asmjit::AlignMode::kData, 64);
  a_.bind(header_);
  const Header header{};
  a_.embed(&header, sizeof(header));
  for (const Slot& slot : slots_) {
    a_.bind(slot.pointer);
    a_.embedUInt64(0);
  }
  for (const Entrance& way : entrances_) {
    a_.bind(way.pointer);
    a_.embedUInt64(0);
  }
  for (const Table& table : tables_) {
    a_.bind(table.label);
    for (const Label& target : table.targets) a_.embedLabelDelta(target, table.label, 4);
  }
}

}  // namespace cloister::jit::x64
