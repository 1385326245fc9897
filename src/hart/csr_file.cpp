// SPDX-License-Identifier: Apache-2.0
#include "hart/csr_file.h"

#include <array>
#include <iterator>

#include "hart/core.h"
#include "hart/fp.h"
#include "isa/cause.h"
#include "isa/csr.h"
#include "isa/pte.h"

// One row for each register: how it is read, how it is written (nullptr: a fixed value that ignores writes).
namespace cloister::hart {

namespace {

namespace sstatus = isa::sstatus;
using isa::Csr;

constexpr u64 bit(isa::InterruptCause which) { return u64{1} << static_cast<u32>(which); }
constexpr u64 kInterrupts = bit(isa::InterruptCause::kSoftware) | bit(isa::InterruptCause::kTimer) |
                            bit(isa::InterruptCause::kExternal);

// -- Floating point ---------------------------------------------------------------------------------------

u64 read_fflags(Core& c) {
  c.state.fflags |= fp::take_flags();
  fp::note_read(c.state.fflags);
  return c.state.fflags;
}
void write_fflags(Core& c, u64 value) {
  fp::take_flags();
  c.state.fflags = value & isa::fcsr::kFlags;
  c.state.fs = 3;
}
u64 read_frm(Core& c) { return c.state.frm; }
void write_frm(Core& c, u64 value) {
  c.state.frm = value & 7;
  c.state.fs = 3;
  fp::set_rounding(c.state.frm);
}
u64 read_fcsr(Core& c) { return read_frm(c) << isa::fcsr::kFrmShift | read_fflags(c); }
void write_fcsr(Core& c, u64 value) {
  write_frm(c, value >> isa::fcsr::kFrmShift);
  write_fflags(c, value);
}

// -- Counters ---------------------------------------------------------------------------------------------

u64 read_time(Core& c) { return c.environment.time(); }
// The block's count was taken off the countdown at its beginning; the instruction that reads is its last, and
// does not count itself.
u64 read_cycle(Core& c) { return c.hart.counter(Counter::kCycle) - 1; }
u64 read_instret(Core& c) { return c.hart.counter(Counter::kInstret) - 1; }
u64 read_zero(Core& /*c*/) { return 0; }

// -- Supervisor -------------------------------------------------------------------------------------------

constexpr u64 kStatusFields = sstatus::kSie | sstatus::kSpie | sstatus::kSpp | sstatus::kSum | sstatus::kMxr;

u64 read_sstatus(Core& c) {
  const u64 fs = u64{c.state.fs} << 13;
  const u64 dirty = c.state.fs == 3 ? sstatus::kSd : 0;
  return c.csr.sstatus | fs | dirty | sstatus::kUxl64;
}
void write_sstatus(Core& c, u64 value) {
  const u64 changed = (c.csr.sstatus ^ value) & kStatusFields;
  c.csr.sstatus = value & kStatusFields;
  c.state.fs = (value & sstatus::kFs) >> 13;
  if ((changed & (sstatus::kSum | sstatus::kMxr)) != 0) refresh_context(c);
  if ((changed & sstatus::kSie) != 0) recheck_interrupts(c);
}

u64 read_sie(Core& c) { return c.csr.sie; }
void write_sie(Core& c, u64 value) {
  c.csr.sie = value & kInterrupts;
  recheck_interrupts(c);
}
u64 read_sip(Core& c) {
  update_timer(c);
  return c.csr.sip;
}
constexpr u64 kSsip = bit(isa::InterruptCause::kSoftware);
// Of sip only SSIP is writable; the others follow their sources.
void write_sip(Core& c, u64 value) {
  if ((value & kSsip) != 0) {
    c.csr.sip.fetch_or(kSsip);
  } else {
    c.csr.sip.fetch_and(~kSsip);
  }
  recheck_interrupts(c);
}

u64 read_stvec(Core& c) { return c.csr.stvec; }
void write_stvec(Core& c, u64 value) {
  if ((value & isa::stvec::kMode) <= isa::stvec::kVectored) c.csr.stvec = value;
}
u64 read_scounteren(Core& c) { return c.csr.scounteren; }
void write_scounteren(Core& c, u64 value) { c.csr.scounteren = value & 0xffffffff; }
u64 read_senvcfg(Core& c) { return c.csr.senvcfg; }
void write_senvcfg(Core& c, u64 value) {
  using namespace isa::senvcfg;
  constexpr u64 kFields = kFiom | kCbie | kCbcfe | kCbze;
  const u64 kept = (value & kCbie) == 2 << 4 ? c.csr.senvcfg & kCbie : value & kCbie;  // 2 is reserved
  c.csr.senvcfg = (value & kFields & ~kCbie) | kept;
}
u64 read_sscratch(Core& c) { return c.csr.sscratch; }
void write_sscratch(Core& c, u64 value) { c.csr.sscratch = value; }
u64 read_sepc(Core& c) { return c.csr.sepc; }
void write_sepc(Core& c, u64 value) { c.csr.sepc = value & ~u64{1}; }
u64 read_scause(Core& c) { return c.csr.scause; }
void write_scause(Core& c, u64 value) { c.csr.scause = value; }
u64 read_stval(Core& c) { return c.csr.stval; }
void write_stval(Core& c, u64 value) { c.csr.stval = value; }

u64 read_stimecmp(Core& c) { return c.csr.stimecmp; }
void write_stimecmp(Core& c, u64 value) {
  set_timer(c, value);
  const fp::HostFp::Pause pause(*c.host_fp);
  c.environment.timer_changed(c.hart, value);
}

u64 read_satp(Core& c) { return c.csr.satp; }
// A write with a mode that the machine lacks has no effect at all.
void write_satp(Core& c, u64 value) {
  const u64 mode = isa::satp::mode(value);
  if (mode != isa::satp::kBare && !isa::paging_shape(mode)) return;
  c.csr.satp = value;
  refresh_context(c);
}

// -- The table --------------------------------------------------------------------------------------------

struct Register {
  Csr csr;
  u64 (*read)(Core&);
  void (*write)(Core&, u64);
};

constexpr Register kRegisters[] = {
    {Csr::fflags, read_fflags, write_fflags},
    {Csr::frm, read_frm, write_frm},
    {Csr::fcsr, read_fcsr, write_fcsr},
    {Csr::sstatus, read_sstatus, write_sstatus},
    {Csr::sie, read_sie, write_sie},
    {Csr::stvec, read_stvec, write_stvec},
    {Csr::scounteren, read_scounteren, write_scounteren},
    {Csr::senvcfg, read_senvcfg, write_senvcfg},
    {Csr::sscratch, read_sscratch, write_sscratch},
    {Csr::sepc, read_sepc, write_sepc},
    {Csr::scause, read_scause, write_scause},
    {Csr::stval, read_stval, write_stval},
    {Csr::sip, read_sip, write_sip},
    {Csr::stimecmp, read_stimecmp, write_stimecmp},
    {Csr::satp, read_satp, write_satp},
    {Csr::cycle, read_cycle, nullptr},
    {Csr::time, read_time, nullptr},
    {Csr::instret, read_instret, nullptr},
    {Csr{isa::kFirstHpmCounter}, read_zero, nullptr},  // and all after it
};

// Where a number's row is, plus 1; 0: there is none. CSRs are read and written often enough to look up at
// once.
constexpr std::array<u8, 4096> kRows = [] {
  std::array<u8, 4096> rows{};
  for (u8 row = 0; row < std::size(kRegisters); ++row) rows[static_cast<u32>(kRegisters[row].csr)] = row + 1;
  for (u32 counter = isa::kFirstHpmCounter; counter <= isa::kLastHpmCounter; ++counter)
    rows[counter] = rows[isa::kFirstHpmCounter];
  return rows;
}();

const Register* find(u32 number) {
  const u8 row = kRows[number & 4095];
  return row == 0 ? nullptr : &kRegisters[row - 1];
}

bool is_float(u32 number) { return number <= static_cast<u32>(Csr::fcsr); }

bool may_access(const Core& c, u32 number, CsrWrite write) {
  if (isa::csr_is_read_only(number) && write != CsrWrite::kNone) return false;
  if (is_float(number)) return c.state.fs != 0;
  if (c.state.supervisor) return true;
  if (isa::csr_needs_supervisor(number)) return false;
  return (c.csr.scounteren >> (number & 31) & 1) != 0;  // what is left are counters
}

u64 updated(u64 old, CsrWrite write, u64 operand) {
  if (write == CsrWrite::kSet) return old | operand;
  return write == CsrWrite::kClear ? old & ~operand : operand;
}

}  // namespace

bool access_csr(Core& core, u32 number, CsrWrite write, u64 operand, u64& old) {
  const Register* row = find(number);
  if (row == nullptr || !may_access(core, number, write)) return false;
  old = row->read(core);
  if (write == CsrWrite::kNone) return true;
  // Race: another hart may set SSIP between the read and the write. Only an instruction that names it clears
  // it.
  const bool names_ssip = write == CsrWrite::kAll || (operand & kSsip) != 0;
  if (row->csr == Csr::sip && !names_ssip) return true;
  row->write(core, updated(old, write, operand));
  return true;
}

void set_timer(Core& core, u64 deadline) {
  core.csr.stimecmp = deadline;
  update_timer(core);
  recheck_interrupts(core);
}

void update_timer(Core& core) {
  constexpr u64 kStip = bit(isa::InterruptCause::kTimer);
  const bool due = core.environment.time() >= core.csr.stimecmp.load(std::memory_order_relaxed);
  if (due) {
    core.csr.sip.fetch_or(kStip);
  } else {
    core.csr.sip.fetch_and(~kStip);
  }
}

}  // namespace cloister::hart
