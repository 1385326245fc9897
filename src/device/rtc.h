// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/lock.h"
#include "device/bus.h"
#include "device/interrupt.h"

namespace cloister::device {

// Where a clock device takes the time from. Any thread.
class WallClock {
 public:
  virtual ~WallClock() = default;
  virtual Nanos now() = 0;  // since 1970, UTC
  // Calls Rtc::check_alarm() when now() reaches `time`, soon after at the latest. A later call replaces an
  // earlier one.
  virtual void wake_at(Nanos time) = 0;
};

// The goldfish real-time clock ("google,goldfish-rtc"): nanoseconds since 1970 and one alarm. A guest that
// sets the time sets its own offset to the wall clock, which lasts until reset.
class Rtc final : public MmioDevice {
 public:
  static constexpr Bytes kSize{0x1000};

  Rtc(WallClock& clock, InterruptLine line) : clock_(clock), line_(line) {}

  std::string_view name() const override { return "rtc"; }
  u64 read(u64 offset, u32 size) override;
  void write(u64 offset, u32 size, u64 value) override;
  void reset() override;

  // Any thread: raises the interrupt if the alarm's time has come.
  void check_alarm() EXCLUDES(mutex_);

 private:
  u64 guest_time() REQUIRES(mutex_) { return clock_.now().raw + offset_; }
  void set_time(u64 time) REQUIRES(mutex_);
  void set_alarm(u64 time) REQUIRES(mutex_);
  void arm() REQUIRES(mutex_);
  void update_line() REQUIRES(mutex_) { line_.set(interrupt_ && interrupt_enabled_); }

  WallClock& clock_;
  Mutex mutex_{LockRank::kDevice};
  InterruptLine line_ GUARDED_BY(mutex_);
  u64 offset_ GUARDED_BY(mutex_) = 0;      // guest time - wall time, modulo 2^64
  u32 read_high_ GUARDED_BY(mutex_) = 0;   // latched by the read of the low half
  u32 time_high_ GUARDED_BY(mutex_) = 0;   // written before the low half
  u32 alarm_high_ GUARDED_BY(mutex_) = 0;  // likewise
  u64 alarm_ GUARDED_BY(mutex_) = 0;       // guest time
  bool armed_ GUARDED_BY(mutex_) = false;
  bool interrupt_ GUARDED_BY(mutex_) = false;
  bool interrupt_enabled_ GUARDED_BY(mutex_) = false;
};

}  // namespace cloister::device
