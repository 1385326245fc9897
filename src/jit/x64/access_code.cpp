// SPDX-License-Identifier: Apache-2.0
#include "isa/csr.h"
#include "isa/properties.h"
#include "jit/x64/region_code.h"

// Loads and stores: the soft TLB inline, the rest by the interpreter's handlers.
namespace cloister::jit::x64 {

using isa::Op;

namespace {

bool is_float(const isa::Insn& insn) { return isa::properties(insn.op).is_float(); }

}  // namespace

void RegionCode::look_up(const x86::Gp& address, u32 size, bool read, bool write, const Label& otherwise) {
  a_.mov(x86::rcx, address);
  a_.shr(x86::rcx, kPageShift - hart::kTlbEntryShift);
  a_.and_(x86::rcx, state_at(offsetof(hart::State, tlb_mask)));
  a_.add(x86::rcx, state_at(offsetof(hart::State, tlb)));
  // The page of the last byte: an access across pages finds another page's tag and is slow.
  if (size == 1) {
    a_.mov(x86::rdx, address);
  } else {
    a_.lea(x86::rdx, x86::ptr(address, static_cast<i32>(size) - 1));
  }
  a_.and_(x86::rdx, -static_cast<i32>(kPageSize));
  a_.or_(x86::rdx, state_at(offsetof(hart::State, context)));
  if (read) {
    a_.cmp(x86::rdx, x86::ptr(x86::rcx, offsetof(hart::TlbEntry, read_tag)));
    a_.jne(otherwise);
  }
  if (write) {
    a_.cmp(x86::rdx, x86::ptr(x86::rcx, offsetof(hart::TlbEntry, write_tag)));
    a_.jne(otherwise);
  }
  a_.mov(x86::rcx, x86::ptr(x86::rcx, offsetof(hart::TlbEntry, addend)));
}

// The address of an access, in its base register where that is all.
x86::Gp RegionCode::address_of(const isa::Insn& insn) {
  const x86::Gp base = emit_.use(insn.rs1, x86::rax);
  if (insn.imm == 0) return base;
  a_.lea(x86::rax, x86::ptr(base, insn.imm));
  return x86::rax;
}

// The first member of a group looks up for all, or finds what the last round found; what does not fit goes on
// in the second copy. Leaves the addend in rcx and in the group's slot.
void RegionCode::open_group(const Here& here) {
  const ir::Group& group = here.block->groups[here.current().group];
  if (!group.is_kept) return find_or_fill_group(here);
  const Label fill = a_.newLabel(), open = a_.newLabel();
  compare_with_slot(here, fill);
  a_.bind(open);
  later([this, here, &group, fill, open] {
    a_.bind(fill);
    find_or_fill_group(here);
    note_in_slot(group);
    a_.jmp(open);
  });
}

// rcx = the addend that the group's slot has, if it is for this place.
void RegionCode::compare_with_slot(const Here& here, const Label& otherwise) {
  const u16 slot = here.block->groups[here.current().group].slot;
  emit_.load(x86::rax, here.current().insn.rs1);
  a_.sub(x86::rax, page_at(slot));
  a_.cmp(x86::rax, limit_at(slot));
  a_.jae(otherwise);
  a_.mov(x86::rcx, addend_at(slot));
}

// After find_group(), whose address is in rax.
void RegionCode::note_in_slot(const ir::Group& group) {
  a_.and_(x86::rax, -static_cast<i32>(kPageSize));
  if (group.low != 0) a_.sub(x86::rax, static_cast<i32>(group.low));
  a_.mov(page_at(group.slot), x86::rax);
  const i32 size = static_cast<i32>(group.high - group.low);
  a_.mov(limit_at(group.slot), static_cast<i32>(kPageSize) - size + 1);
}

// Two accesses whose pages lie at the same place of the soft TLB drive each other out of it. So what is
// missing is asked for at once and used, before another can drive it out again.
void RegionCode::find_or_fill_group(const Here& here) {
  const Label fill = a_.newLabel(), found = a_.newLabel();
  find_group(here, fill);
  a_.bind(found);
  later([this, here, fill, found] {
    a_.bind(fill);
    fill_group(here);
    a_.jmp(found);
  });
}

void RegionCode::fill_group(const Here& here) {
  const ir::Group& group = here.block->groups[here.current().group];
  const Label& otherwise = ungrouped(here, here.step);
  settle();
  CallSite& where = site(here);
  where.low = static_cast<i16>(group.low - here.current().insn.imm);
  where.high = static_cast<i16>(group.high - here.current().insn.imm);
  a_.mov(x86::rax, asmjit::imm(&where));
  a_.call(call_fill_);
  a_.cmp(x86::eax, static_cast<i32>(kGoOn));
  a_.jne(otherwise);
  find_group(here, otherwise);
}

// rax: the address of the group's lowest byte.
void RegionCode::find_group(const Here& here, const Label& otherwise) {
  const ir::Group& group = here.block->groups[here.current().group];
  const u32 size = static_cast<u32>(group.high - group.low);
  const x86::Gp base = emit_.use(here.current().insn.rs1, x86::rax);
  a_.lea(x86::rax, x86::ptr(base, static_cast<i32>(group.low)));
  look_up(x86::rax, size, group.reads, group.writes, otherwise);
  a_.mov(addend_at(group.slot), x86::rcx);
}

// What look-ups found is good no longer. `depth`: bytes on the stack below the frame, which is aligned.
void RegionCode::forget_found(i32 depth) {
  if (region_.kept_slots != 0) a_.xorps(x86::xmm0, x86::xmm0);
  for (u16 slot = 0; slot < region_.kept_slots; slot = static_cast<u16>(slot + 2)) {
    x86::Mem limits = limit_at(slot);
    limits.addOffset(depth);
    limits.setSize(16);
    a_.movaps(limits, x86::xmm0);
  }
}

// The rest of the block, from `step`, in the second copy: without groups. What runs little has none, and
// leaves the rest to the interpreter.
const asmjit::Label& RegionCode::ungrouped(const Here& here, u32 step) {
  Label& copy = second_copies_[here.block_index][step];
  if (!copy.isValid()) {
    copy = a_.newLabel();
    const Here again{here.block, here.block_index, step, false};
    later([this, again] {
      const Label& label = second_copies_[again.block_index][again.step];
      if (holder_.isLabelBound(label)) return;
      if (!region_.counts_entries) return emit_steps(again);
      a_.bind(label);
      call_last_handler(again);
    });
  }
  return copy;
}

void RegionCode::finish_load(const isa::Insn& insn, const x86::Mem& from) {
  if (is_float(insn)) {
    const x86::Xmm to = emit_.target_float(insn.rd, x86::xmm0);
    if (insn.op == Op::fld) {
      a_.movsd(to, from);
    } else {
      a_.mov(x86::eax, from);
      a_.mov(x86::rcx, static_cast<i64>(0xffffffff00000000));
      a_.or_(x86::rax, x86::rcx);
      a_.movq(to, x86::rax);
    }
    return finish_float(insn, to, insn.op == Op::fld);
  }
  emit_.load_from(insn.op, insn.rd, from);
}

void RegionCode::finish_store(const isa::Insn& insn, const x86::Mem& to) {
  if (is_float(insn)) {
    const x86::Xmm value = emit_.use_float(insn.rs2, x86::xmm0);
    insn.op == Op::fsd ? a_.movsd(to, value) : a_.movss(to, value);
    return;
  }
  const x86::Gp value = insn.op == Op::sd ? emit_.use(insn.rs2, x86::rdx) : emit_.use_low(insn.rs2, x86::rdx);
  switch (insn.op) {
    case Op::sb:
      a_.mov(to, value.r8());
      break;
    case Op::sh:
      a_.mov(to, value.r16());
      break;
    case Op::sw:
      a_.mov(to, value.r32());
      break;
    default:
      a_.mov(to, value);
      break;
  }
}

// Whether rcx still is what it was for the access before, of the same group: nothing came between.
bool RegionCode::holds_addend(u16 slot) const { return held_slot_ == slot && held_at_ == a_.offset(); }

// Where a member of an open group finds its bytes.
x86::Mem RegionCode::member_place(const Here& here, u32 size) {
  const ir::Step& step = here.current();
  const ir::Group& group = here.block->groups[step.group];
  if (here.rounds != nullptr) {
    if (const auto place = streamed_place(here, size)) return *place;
  }
  if (group.first == here.step) {
    here.rounds != nullptr ? open_group_in_round(here) : open_group(here);
  } else if (!holds_addend(group.slot)) {
    a_.mov(x86::rcx, addend_at(group.slot));
  }
  return x86::ptr(emit_.use(step.insn.rs1, x86::rax), x86::rcx, 0, step.insn.imm, size);
}

// Of an access that stands for itself.
x86::Mem RegionCode::single_place(const Here& here, u32 size, bool write, const Label& back) {
  const x86::Gp address = address_of(here.current().insn);
  const x86::Mem place = x86::ptr(address, x86::rcx, 0, 0, size);
  if (here.rounds != nullptr) {
    look_up(address, size, !write, write, leave_rounds_before(here));
    return place;
  }
  const Label slow = a_.newLabel();
  look_up(address, size, !write, write, slow);
  later([this, here, slow, back] {
    a_.bind(slow);
    call_handler(here);
    // The call was a safe point: what open groups found is good no longer.
    const bool ends_groups = here.grouped && here.current().crossed;
    a_.jmp(ends_groups ? ungrouped(here, here.step + 1) : back);
  });
  return place;
}

void RegionCode::emit_access(const Here& here, bool write) {
  const ir::Step& step = here.current();
  const u32 size = isa::access_size(step.insn.op);
  if (write && is_float(step.insn)) settle_float(step.insn.rs2);
  const bool in_group = here.grouped && step.group != ir::kNoGroup;
  const Label back = a_.newLabel();
  const x86::Mem place = in_group ? member_place(here, size) : single_place(here, size, write, back);
  write ? finish_store(step.insn, place) : finish_load(step.insn, place);
  a_.bind(back);
  // All but a load of a single leave rcx alone.
  held_slot_ = in_group && step.insn.op != Op::flw ? here.block->groups[step.group].slot : kNoSlot;
  held_at_ = a_.offset();
}

// cbo.zero of a page that the soft TLB knows as one to write. What user mode is not allowed, and what needs
// no frame yet, the interpreter's handler knows. The host's own loop for it works with rdi.
bool RegionCode::emit_zero_block(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  if (insn.op != Op::cbo_zero) return false;
  constexpr std::size_t kSenvcfg = offsetof(hart::State, csr) + offsetof(hart::CsrFile, senvcfg);
  static_assert(hart::kZeroBlock == kPageSize);
  const Label otherwise = a_.newLabel(), back = a_.newLabel(), allowed = a_.newLabel();
  a_.cmp(state_at(offsetof(hart::State, supervisor), 1), 0);
  a_.jne(allowed);
  a_.test(state_at(kSenvcfg, 4), isa::senvcfg::kCbze);
  a_.jz(otherwise);
  a_.bind(allowed);
  emit_.load(x86::rax, insn.rs1);
  a_.and_(x86::rax, -static_cast<i32>(kPageSize));
  look_up(x86::rax, 1, false, true, otherwise);
  a_.mov(x86::rdx, x86::rdi);
  a_.lea(x86::rdi, x86::ptr(x86::rax, x86::rcx));
  a_.mov(x86::ecx, hart::kZeroBlock / sizeof(u64));
  a_.xor_(x86::eax, x86::eax);
  a_.rep().stosq();
  a_.mov(x86::rdi, x86::rdx);
  a_.bind(back);
  by_handler(here, otherwise, back);
  return true;
}

}  // namespace cloister::jit::x64
