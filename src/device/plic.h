// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <vector>

#include "base/lock.h"
#include "device/bus.h"
#include "device/interrupt.h"

namespace cloister::device {

// The platform-level interrupt controller ("riscv,plic0", RISC-V PLIC specification 1.0.0) with one context
// a hart: its S-mode. Registers are 32 bits wide:
//
//   0x000000 + 4 s          priority of source s, 0 (never) to 7
//   0x001000                pending bits, read-only
//   0x002000 + 0x80 c       enable bits of context c
//   0x200000 + 0x1000 c     threshold of context c; + 4: claim (read), complete (write)
//
// All sources are levels. A source is pending while its level is high and it is not claimed. The
// specification's gateway remembers a level that fell before the claim; this one does not, so that no hart is
// interrupted for a device that wants nothing any more.
class Plic final : public MmioDevice, public InterruptController {
 public:
  static constexpr u32 kSources =
      128;  // 1..127; source 0 means none. Bound: more than there are device slots
  static constexpr u32 kMaxPriority = 7;
  static constexpr Bytes kSize{0x60'0000};

  // The external-interrupt wire of a context's hart. Called under the PLIC's lock, so in the order of the
  // changes.
  using Output = std::function<void(u32 context, bool high)>;

  // Precondition: 1 <= contexts <= 64.
  Plic(u32 contexts, Output output);

  std::string_view name() const override { return "plic"; }
  u64 read(u64 offset, u32 size) override;
  void write(u64 offset, u32 size, u64 value) override;
  // Levels stay: they are the devices' own.
  void reset() override;

  // Any thread. Precondition: 0 < source < kSources.
  void set_level(u32 source, bool high) override EXCLUDES(mutex_);

 private:
  static constexpr u32 kWords = kSources / 32;
  using SourceSet = std::array<u32, kWords>;

  struct Context {
    SourceSet enabled{};
    u32 threshold = 0;
    bool output = false;
  };

  u32 pending_word(u32 word) const REQUIRES(mutex_) { return level_[word] & ~claimed_[word]; }
  u32 best_source(const Context& context) const REQUIRES(mutex_);
  void update(u32 index) REQUIRES(mutex_);
  void update_all() REQUIRES(mutex_);
  u32 read_context(u32 index, u64 reg) REQUIRES(mutex_);
  void write_context(u32 index, u64 reg, u32 value) REQUIRES(mutex_);
  u32 claim(Context& context) REQUIRES(mutex_);
  void complete(const Context& context, u32 source) REQUIRES(mutex_);

  const Output output_;
  Mutex mutex_{LockRank::kInterrupts};
  std::array<u32, kSources> priority_ GUARDED_BY(mutex_){};
  SourceSet level_ GUARDED_BY(mutex_){};
  SourceSet claimed_ GUARDED_BY(mutex_){};
  std::vector<Context> contexts_ GUARDED_BY(mutex_);
};

}  // namespace cloister::device
