// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"
#include "hart/fp_format.h"

// A thread's FP unit, lent to a guest.
namespace cloister::hart::fp {

// What the thread's FP unit is set up for. Bit `rm` of `direct` says that an instruction with that rm
// field runs on it as it is; of `fused` likewise for fused multiply-add. Others take the soft path.
struct ThreadState {
  u8 direct = 0;
  u8 fused = 0;
  u8 rounding = kNearestEven;  // what rm 7 means
  u8 flags = 0;                // raised in software since last taken
  bool watched = false;        // the unit has no flags that State::fflags lacks, and traps before it has one
  i16 patience = kPatience;    // so many more reads of the flags, and they are watched

  // Bound: a trap costs as much as some hundreds of looks at the unit's flags.
  static constexpr i16 kPatience = 128;
};
extern constinit thread_local ThreadState thread_state;

// The guest's rounding mode from now on. A value above 4 (with which an instruction of rm 7 is illegal)
// leaves the mode as it was.
void set_rounding(u8 frm);

// The fflags bits raised on this thread since they were last taken; forgets them.
u8 take_flags();

// The guest read its flags, which are `fflags` and were taken. From the unit they are slow to read: it must
// come to the end of all that it is doing. So when they are read often, and nobody writes them, those that
// are not there yet are made to trap: then all are known without a look, until the first trap or until flags
// are taken.
void note_read(u8 fflags);

// Lends the thread's FP unit to a guest, from construction to destruction: the guest's rounding mode, no
// traps that are to be seen, denormals honoured, no flags raised. The destructor adds the flags that the
// guest raised to `fflags` and gives the host its MXCSR back. Reading or writing the guest's fflags meanwhile
// begins with `fflags |= take_flags()`. Precondition: the thread's unit is not lent already.
class HostFp {
 public:
  HostFp(u8 frm, u8& fflags);
  ~HostFp();
  HostFp(const HostFp&) = delete;
  HostFp& operator=(const HostFp&) = delete;

  // The host's own FP for a while, around calls out of the engine that may compute with doubles (devices,
  // the clock): the guest must not see their flags, nor they its rounding. The guest's flags are safe in its
  // `fflags` meanwhile.
  class Pause {
   public:
    explicit Pause(HostFp& lent);
    ~Pause();
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    HostFp& lent_;
    u8 rounding_;
  };

 private:
  void lend(u8 frm);
  void give_back();

  u32 mxcsr_ = 0;  // the host's
  u8& fflags_;
};

}  // namespace cloister::hart::fp
