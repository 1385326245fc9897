// SPDX-License-Identifier: Apache-2.0
#include "hart/fp.h"

#include "base/check.h"
#include "base/os/float_trap.h"

// MXCSR and fflags hold the same five flags in opposite order, MXCSR with one more (denormal operand, bit 1)
// in between.
namespace cloister::hart::fp {

constinit thread_local ThreadState thread_state;

namespace {

constexpr u32 kMxcsrFlags = 0x3f;
constexpr u32 kMxcsrAllMasked = 0x1f80;  // and round to nearest even, FTZ and DAZ off
constexpr u32 kMxcsrMaskShift = 7;
constexpr u32 kMxcsrDenormal = 0x02;
constexpr u32 kMxcsrRoundingShift = 13;
constexpr u32 kMxcsrRounding[] = {0, 3, 1, 2};  // by frm

u32 read_mxcsr() {
  u32 value;
  asm volatile("stmxcsr %0" : "=m"(value));
  return value;
}

void write_mxcsr(u32 value) { asm volatile("ldmxcsr %0" : : "m"(value)); }

constexpr u8 fflags_of(u32 mxcsr) {
  const u32 invalid = (mxcsr & 0x01) << 4;
  const u32 divide_by_zero = (mxcsr & 0x04) << 1;
  const u32 overflow = (mxcsr & 0x08) >> 1;
  const u32 underflow = (mxcsr & 0x10) >> 3;
  const u32 inexact = (mxcsr & 0x20) >> 5;
  return static_cast<u8>(invalid | divide_by_zero | overflow | underflow | inexact);
}
static_assert(fflags_of(0x3f) == 0x1f && fflags_of(0x02) == 0);

constexpr u32 mxcsr_flags_of(u8 fflags) {
  const u32 f = fflags;
  return (f & 0x10) >> 4 | (f & 0x08) >> 1 | (f & 0x04) << 1 | (f & 0x02) << 3 | (f & 0x01) << 5;
}
static_assert(mxcsr_flags_of(fflags_of(0x3d)) == 0x3d && mxcsr_flags_of(fflags_of(0x14)) == 0x14);

void end_watch() {
  thread_state.watched = false;
  thread_state.patience = ThreadState::kPatience;
}

// A flag that is not there yet. The instruction begins anew and raises, without a trap, what it raises: an
// underflow that traps need not be one that counts.
bool end_watch_by_trap(u32& mxcsr) {
  if (!thread_state.watched) return false;
  const u32 trapping = ~(mxcsr >> kMxcsrMaskShift) & kMxcsrFlags;
  mxcsr = (mxcsr | kMxcsrAllMasked) & ~trapping;
  end_watch();
  return true;
}

bool host_has_fma() {
  static const bool has = __builtin_cpu_supports("fma") != 0;
  return has;
}

}  // namespace

void set_rounding(u8 frm) {
  if (frm > kNearestAway) return;
  thread_state.rounding = frm;
  const bool host_can = frm != kNearestAway;
  thread_state.direct = host_can ? static_cast<u8>(1u << frm | 1u << kDynamic) : u8{0};
  thread_state.fused = host_has_fma() ? thread_state.direct : u8{0};
  if (!host_can) return;
  end_watch();
  const u32 flags = read_mxcsr() & kMxcsrFlags;
  write_mxcsr(kMxcsrAllMasked | kMxcsrRounding[frm] << kMxcsrRoundingShift | flags);
}

u8 take_flags() {
  const u32 mxcsr = read_mxcsr();
  const u8 flags = thread_state.flags | fflags_of(mxcsr);
  thread_state.flags = 0;
  const u32 quiet = (mxcsr | kMxcsrAllMasked) & ~kMxcsrFlags;
  if (mxcsr != quiet) write_mxcsr(quiet);
  if (thread_state.watched) end_watch();
  return flags;
}

void note_read(u8 fflags) {
  if (--thread_state.patience > 0) return;
  static const bool installed = (os::on_float_trap(end_watch_by_trap), true);
  static_cast<void>(installed);
  const u32 trapping = ~(mxcsr_flags_of(fflags) | kMxcsrDenormal) & kMxcsrFlags;
  thread_state.watched = true;
  write_mxcsr(read_mxcsr() & ~(trapping << kMxcsrMaskShift));
}

HostFp::HostFp(u8 frm, u8& fflags) : fflags_(fflags) {
  DCHECK(thread_state.direct == 0);
  lend(frm);
}

HostFp::~HostFp() { give_back(); }

void HostFp::lend(u8 frm) {
  mxcsr_ = read_mxcsr();
  write_mxcsr(kMxcsrAllMasked);
  thread_state = {};
  set_rounding(frm <= kNearestAway ? frm : u8{kNearestEven});
}

void HostFp::give_back() {
  fflags_ |= take_flags();
  thread_state = {};
  write_mxcsr(mxcsr_);
}

HostFp::Pause::Pause(HostFp& lent) : lent_(lent), rounding_(thread_state.rounding) { lent_.give_back(); }
HostFp::Pause::~Pause() { lent_.lend(rounding_); }

}  // namespace cloister::hart::fp
