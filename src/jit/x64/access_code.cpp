// SPDX-License-Identifier: Apache-2.0
#include "hart/execute.h"
#include "isa/properties.h"
#include "jit/x64/region_code.h"

// Loads and stores: the soft TLB inline, the rest by the interpreter's slow paths.
namespace cloister::jit::x64 {

using isa::Op;

namespace {

u32 size_of(Op op) {
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

bool is_float(const isa::Insn& insn) { return isa::properties(insn.op).is_float(); }

u64 load_for_code(hart::State& s, const hart::Uop* u, u64 pc, u32 size, u64* value) {
  const hart::Loaded loaded = hart::load_slowly(s, u, pc, size);
  *value = loaded.value;
  return loaded.ok;
}

u64 store_for_code(hart::State& s, const hart::Uop* u, u64 pc, u32 size, u64 value) {
  return hart::store_slowly(s, u, pc, size, value);
}

}  // namespace

void RegionCode::look_up(u32 size, bool write, const Label& slow) {
  a_.mov(x86::rcx, x86::rax);
  a_.shr(x86::rcx, kPageShift - hart::kTlbEntryShift);
  a_.and_(x86::rcx, state_at(offsetof(hart::State, tlb_mask)));
  a_.add(x86::rcx, state_at(offsetof(hart::State, tlb)));
  // The page of the last byte: an access across pages finds another page's tag and is slow.
  if (size == 1) {
    a_.mov(x86::rdx, x86::rax);
  } else {
    a_.lea(x86::rdx, x86::ptr(x86::rax, static_cast<i32>(size) - 1));
  }
  a_.and_(x86::rdx, -static_cast<i32>(kPageSize));
  a_.or_(x86::rdx, state_at(offsetof(hart::State, context)));
  const std::size_t tag = write ? offsetof(hart::TlbEntry, write_tag) : offsetof(hart::TlbEntry, read_tag);
  a_.cmp(x86::rdx, x86::ptr(x86::rcx, static_cast<i32>(tag)));
  a_.jne(slow);
  a_.mov(x86::rcx, x86::ptr(x86::rcx, offsetof(hart::TlbEntry, addend)));
}

// The first member of a group looks up for all; what does not fit goes on in the second copy.
void RegionCode::open_group(const Here& here) {
  const ir::Group& group = here.block->groups[here.current().group];
  const Label& otherwise = ungrouped(here);
  const u32 size = static_cast<u32>(group.high - group.low);
  const x86::Gp base = emit_.use(here.current().insn.rs1, x86::rax);
  a_.lea(x86::rax, x86::ptr(base, group.low));
  a_.mov(x86::rcx, x86::rax);
  a_.shr(x86::rcx, kPageShift - hart::kTlbEntryShift);
  a_.and_(x86::rcx, state_at(offsetof(hart::State, tlb_mask)));
  a_.add(x86::rcx, state_at(offsetof(hart::State, tlb)));
  a_.lea(x86::rdx, x86::ptr(x86::rax, static_cast<i32>(size) - 1));
  a_.xor_(x86::rax, x86::rdx);
  a_.test(x86::rax, -static_cast<i32>(kPageSize));
  a_.jnz(otherwise);
  a_.and_(x86::rdx, -static_cast<i32>(kPageSize));
  a_.or_(x86::rdx, state_at(offsetof(hart::State, context)));
  if (group.reads) {
    a_.cmp(x86::rdx, x86::ptr(x86::rcx, offsetof(hart::TlbEntry, read_tag)));
    a_.jne(otherwise);
  }
  if (group.writes) {
    a_.cmp(x86::rdx, x86::ptr(x86::rcx, offsetof(hart::TlbEntry, write_tag)));
    a_.jne(otherwise);
  }
  a_.mov(kGroup, x86::ptr(x86::rcx, offsetof(hart::TlbEntry, addend)));
}

const asmjit::Label& RegionCode::ungrouped(const Here& here) {
  Label& copy = second_copies_[here.block_index][here.step];
  if (!copy.isValid()) {
    copy = a_.newLabel();
    Here again = here;
    again.grouped = false;
    later_.push_back([this, again] {
      if (holder_.isLabelBound(second_copies_[again.block_index][again.step])) return;
      emit_steps(again);
    });
  }
  return copy;
}

void RegionCode::finish_load(const isa::Insn& insn, const x86::Mem& from) {
  if (is_float(insn)) {
    const x86::Xmm to = emit_.target_float(insn.rd, x86::xmm0);
    if (insn.op == Op::fld) {
      a_.movsd(to, from);
      boxed_ &= ~(1u << insn.rd);
    } else {
      a_.mov(x86::eax, from);
      a_.mov(x86::rcx, static_cast<i64>(0xffffffff00000000));
      a_.or_(x86::rax, x86::rcx);
      a_.movq(to, x86::rax);
      boxed_ |= 1u << insn.rd;
    }
    return emit_.store_float(insn.rd, to);
  }
  const x86::Gp to = emit_.target(insn.rd, x86::rax);
  switch (insn.op) {
    case Op::lb:
      a_.movsx(to, from);
      break;
    case Op::lbu:
      a_.movzx(to.r32(), from);
      break;
    case Op::lh:
      a_.movsx(to, from);
      break;
    case Op::lhu:
      a_.movzx(to.r32(), from);
      break;
    case Op::lw:
      a_.movsxd(to, from);
      break;
    case Op::lwu:
      a_.mov(to.r32(), from);
      break;
    default:
      a_.mov(to, from);
      break;
  }
  emit_.store(insn.rd, to);
}

void RegionCode::finish_store(const isa::Insn& insn, const x86::Mem& to) {
  if (is_float(insn)) {
    const x86::Xmm value = emit_.use_float(insn.rs2, x86::xmm0);
    insn.op == Op::fsd ? a_.movsd(to, value) : a_.movss(to, value);
    return;
  }
  const x86::Gp value = emit_.use(insn.rs2, x86::rdx);
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

// The guest's address in rax and the host's as a memory operand, for an access that stands for itself or in a
// group.
void RegionCode::emit_load(const Here& here) {
  const ir::Step& step = here.current();
  const u32 size = size_of(step.insn.op);
  if (here.grouped && step.group != ir::kNoGroup) {
    if (here.block->groups[step.group].first == here.step) open_group(here);
    const x86::Gp base = emit_.use(step.insn.rs1, x86::rax);
    return finish_load(step.insn, x86::ptr(base, kGroup, 0, step.insn.imm, size));
  }
  const Label slow = a_.newLabel(), back = a_.newLabel();
  emit_.load(x86::rax, step.insn.rs1);
  if (step.insn.imm != 0) a_.add(x86::rax, step.insn.imm);
  look_up(size, false, slow);
  finish_load(step.insn, x86::ptr(x86::rax, x86::rcx, 0, 0, size));
  a_.bind(back);
  slow_load(here, slow, back);
}

void RegionCode::emit_store(const Here& here) {
  const ir::Step& step = here.current();
  const u32 size = size_of(step.insn.op);
  if (here.grouped && step.group != ir::kNoGroup) {
    if (here.block->groups[step.group].first == here.step) open_group(here);
    const x86::Gp base = emit_.use(step.insn.rs1, x86::rax);
    return finish_store(step.insn, x86::ptr(base, kGroup, 0, step.insn.imm, size));
  }
  const Label slow = a_.newLabel(), back = a_.newLabel();
  emit_.load(x86::rax, step.insn.rs1);
  if (step.insn.imm != 0) a_.add(x86::rax, step.insn.imm);
  look_up(size, true, slow);
  finish_store(step.insn, x86::ptr(x86::rax, x86::rcx, 0, 0, size));
  a_.bind(back);
  slow_store(here, slow, back);
}

// The value comes by the stack; then it is loaded like any other.
void RegionCode::slow_load(Here here, const Label& slow, const Label& back) {
  later_.push_back([this, here, slow, back] {
    a_.bind(slow);
    prepare_call(site(here), here);
    a_.mov(x86::ecx, size_of(here.current().insn.op));
    a_.sub(x86::rsp, 16);
    a_.mov(x86::r8, x86::rsp);
    a_.call(asmjit::imm(load_for_code));
    a_.mov(x86::rdx, x86::ptr(x86::rsp));
    a_.add(x86::rsp, 16);
    a_.test(x86::eax, x86::eax);
    a_.jz(asmjit::imm(thunks_.resume));
    a_.call(reload_all_);
    a_.sub(x86::rsp, 16);
    a_.mov(x86::ptr(x86::rsp), x86::rdx);
    finish_load(here.current().insn, x86::ptr(x86::rsp, 0, size_of(here.current().insn.op)));
    a_.lea(x86::rsp, x86::ptr(x86::rsp, 16));
    a_.jmp(back);
  });
}

void RegionCode::slow_store(Here here, const Label& slow, const Label& back) {
  later_.push_back([this, here, slow, back] {
    a_.bind(slow);
    prepare_call(site(here), here);
    const isa::Insn& insn = here.current().insn;
    a_.mov(x86::ecx, size_of(insn.op));
    if (is_float(insn)) {
      a_.mov(x86::r8, state_f(insn.rs2));
    } else if (insn.rs2 == 0) {
      a_.xor_(x86::r8d, x86::r8d);
    } else {
      a_.mov(x86::r8, state_x(insn.rs2));
    }
    a_.call(asmjit::imm(store_for_code));
    a_.test(x86::eax, x86::eax);
    a_.jz(asmjit::imm(thunks_.resume));
    a_.call(reload_all_);
    a_.jmp(back);
  });
}

}  // namespace cloister::jit::x64
