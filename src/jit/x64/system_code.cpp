// SPDX-License-Identifier: Apache-2.0
#include "hart/execute.h"
#include "isa/csr.h"
#include "isa/properties.h"
#include "jit/x64/region_code.h"

// CSR instructions. Kernels execute a dozen for each system call: the registers that only hold a value, and
// the interrupt enable bit, are read and written in place; the rest is done by the interpreter's function,
// after which the region goes on. Like there, a block ends behind each.
namespace cloister::jit::x64 {

using hart::CsrWrite;
using isa::Csr;
using isa::Op;

namespace {

bool is_immediate(const isa::Insn& insn) { return isa::properties(insn.op).format == isa::Format::kCsrI; }

CsrWrite write_of(const isa::Insn& insn) {
  if (insn.op == Op::csrrw || insn.op == Op::csrrwi) return CsrWrite::kAll;
  if (insn.rs1 == 0) return CsrWrite::kNone;
  return insn.op == Op::csrrs || insn.op == Op::csrrsi ? CsrWrite::kSet : CsrWrite::kClear;
}

Csr csr_of(const ir::Step& step) { return static_cast<Csr>(step.bits >> 20); }

// Where the State has a register that only holds a value; nothing for any other.
std::optional<std::size_t> place_of(Csr csr) {
  constexpr std::size_t kFile = offsetof(hart::State, csr);
  switch (csr) {
    case Csr::sscratch:
      return kFile + offsetof(hart::CsrFile, sscratch);
    case Csr::sepc:
      return kFile + offsetof(hart::CsrFile, sepc);
    case Csr::scause:
      return kFile + offsetof(hart::CsrFile, scause);
    case Csr::stval:
      return kFile + offsetof(hart::CsrFile, stval);
    case Csr::satp:
      return kFile + offsetof(hart::CsrFile, satp);
    default:
      return std::nullopt;
  }
}

// By the interpreter's function. What it changed may want attention, at once behind the instruction, and may
// have made the soft TLB another.
u64 run_csr(hart::State& s, const CallSite& site) {
  const u64 pc = s.page + static_cast<u64>(site.begin), renewals = s.renewals;
  const u64 operand = site.is_immediate ? site.uop->rs1 : s.x[site.uop->rs1];
  if (!hart::access_register(s, site.uop, pc, site.csr_write, operand)) return kLeft;
  if (s.attention.load(std::memory_order_relaxed) == 0) return s.renewals == renewals ? kGoOn : kGoOnAfresh;
  s.pc = hart::next_pc(site.uop, pc);
  return kLeft;
}

}  // namespace

void RegionCode::emit_csr(const Here& here) {
  if (emit_plain_csr(here) || emit_status(here)) return;
  call_csr(here);
}

// All but the fastest ways out of a CSR instruction: an illegal one traps, by the interpreter's handler.
void RegionCode::need_supervisor(const Here& here) {
  const Label illegal = a_.newLabel();
  a_.cmp(state_at(offsetof(hart::State, supervisor), 1), 0);
  a_.je(illegal);
  later([this, here, illegal] {
    a_.bind(illegal);
    call_last_handler(here);
  });
}

void RegionCode::go_on(const Here& here) { go_to(here, here.block->next, here.block->end); }

bool RegionCode::emit_plain_csr(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  const Csr csr = csr_of(here.current());
  const CsrWrite write = write_of(insn);
  const auto place = place_of(csr);
  const bool writes = write == CsrWrite::kAll && csr != Csr::satp;
  if (!place || (write != CsrWrite::kNone && !writes)) return false;
  need_supervisor(here);
  const x86::Mem memory = state_at(*place);
  if (!writes) {
    const x86::Gp to = emit_.target(insn.rd, x86::rdx);
    a_.mov(to, memory);
    emit_.store(insn.rd, to);
    go_on(here);
    return true;
  }
  is_immediate(insn) ? static_cast<void>(a_.mov(x86::ecx, insn.rs1)) : emit_.load(x86::rcx, insn.rs1);
  if (csr == Csr::sepc) a_.and_(x86::rcx, -2);
  if (insn.rd != 0) {
    a_.mov(x86::rdx, memory);
    emit_.store(insn.rd, x86::rdx);
  }
  a_.mov(memory, x86::rcx);
  go_on(here);
  return true;
}

// sstatus as it is read.
void RegionCode::load_status(const x86::Gp& to) {
  constexpr std::size_t kStatus = offsetof(hart::State, csr) + offsetof(hart::CsrFile, sstatus);
  a_.movzx(x86::ecx, state_at(offsetof(hart::State, fs), 1));
  a_.xor_(to.r32(), to.r32());
  a_.cmp(x86::ecx, 3);
  a_.sete(to.r8());
  a_.shl(to, 63 - 13);
  a_.or_(to, x86::rcx);
  a_.shl(to, 13);
  a_.bts(to, 33);
  a_.or_(to, state_at(kStatus));
}

// Reads of sstatus, and the instructions that turn interrupts off and on.
bool RegionCode::emit_status(const Here& here) {
  static_assert(isa::sstatus::kUxl64 == u64{1} << 33 && isa::sstatus::kSd == u64{1} << 63);
  const isa::Insn& insn = here.current().insn;
  if (csr_of(here.current()) != Csr::sstatus) return false;
  const CsrWrite write = write_of(insn);
  const bool enables = is_immediate(insn) && write != CsrWrite::kAll && insn.rs1 == isa::sstatus::kSie;
  if (write != CsrWrite::kNone && !enables) return false;
  need_supervisor(here);
  if (insn.rd != 0) {
    load_status(x86::rdx);
    emit_.store(insn.rd, x86::rdx);
  }
  if (enables) write_interrupt_enable(here);
  go_on(here);
  return true;
}

void RegionCode::write_interrupt_enable(const Here& here) {
  constexpr std::size_t kFile = offsetof(hart::State, csr);
  const x86::Mem status = state_at(kFile + offsetof(hart::CsrFile, sstatus), 4);
  if (write_of(here.current().insn) == CsrWrite::kClear) {
    a_.and_(status, ~static_cast<i32>(isa::sstatus::kSie));
    return;
  }
  // As hart::recheck_interrupts().
  const Label pending = a_.newLabel();
  a_.or_(status, static_cast<i32>(isa::sstatus::kSie));
  a_.mov(x86::rax, state_at(kFile + offsetof(hart::CsrFile, sip)));
  a_.and_(x86::rax, state_at(kFile + offsetof(hart::CsrFile, sie)));
  a_.jnz(pending);
  later([this, here, pending] {
    a_.bind(pending);
    a_.lock().or_(state_at(offsetof(hart::State, attention), 4),
                  static_cast<i32>(hart::attention::kInterrupt));
    spill(written_before(here) | passes::effects(here.current()).writes);
    set_pc(here.block->end);
    a_.xor_(x86::eax, x86::eax);
    a_.jmp(thunk(Thunk::kLeave));
  });
}

// By the interpreter's function. A write of satp may change what is mapped here, and one of sstatus whether
// floating point is on, which a region asks for at its entry only.
void RegionCode::call_csr(const Here& here) {
  const isa::Insn& insn = here.current().insn;
  const CsrWrite write = write_of(insn);
  if (write != CsrWrite::kNone && (csr_of(here.current()) == Csr::satp || region_.uses_float))
    return call_last_handler(here);
  CallSite& where = site(here);
  where.csr_write = write;
  where.is_immediate = is_immediate(insn);
  a_.mov(x86::rax, asmjit::imm(&where));
  a_.call(call_csr_);
  a_.test(x86::eax, x86::eax);
  a_.jz(thunk(Thunk::kResume));
  go_on(here);
}

void RegionCode::emit_csr_call() { emit_call(call_csr_, run_csr); }

}  // namespace cloister::jit::x64
