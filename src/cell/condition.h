// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/guest_abi.h"
#include "base/units.h"
#include "cell/balloon_port.h"
#include "cell/control.h"
#include "memory/usage.h"
#include "policy/memory/condition.h"

namespace cloister::cell {

// Computes the record that a guest is told of its machine's memory. On one thread.
class MemoryCondition {
 public:
  explicit MemoryCondition(Bytes configured);

  // What the daemon told last of the host and of this machine's part; without one there is no end of memory.
  void stand(const control::Standing& standing) { standing_ = standing; }
  // Frames are to be given back by then, in ticks; 0: none are.
  void set_deadline(u64 ticks) { deadline_ = ticks; }

  // What is known in the cell, at one moment.
  struct Facts {
    memory::Usage usage;
    Pages swapped_in;       // from the swap file, ever
    Pages balloon_written;  // pages of the value that the guest wrote to its disks, ever
    BalloonPort::Figures balloon;
    bool standing_still = false;
    Nanos ran;  // by all harts, ever
    Nanos now;
    u64 ticks = 0;
  };
  enum class News : u8 { kNone, kTarget, kLevel };  // what those who wait want to hear of
  News update(const Facts& facts);

  const cloister_condition& record() const { return record_; }
  // The guest reads back what it has no room for.
  bool is_short() const { return level_.is_short(); }
  u64 page_out_rate() const { return page_outs_.per_second(); }  // pages a second

 private:
  const Bytes configured_;
  std::optional<control::Standing> standing_;
  u64 deadline_ = 0;
  policy::memory::LevelTracker level_;
  policy::memory::Rate swap_ins_, page_outs_;
  policy::memory::Rate ran_, waited_;
  policy::memory::Rate unpacked_{Nanos{16'000'000'000}};
  bool had_applications_ = false;
  cloister_condition record_{};
};

}  // namespace cloister::cell
