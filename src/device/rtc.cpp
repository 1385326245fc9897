// SPDX-License-Identifier: Apache-2.0
#include "device/rtc.h"

#include <algorithm>

namespace cloister::device {
namespace {

enum Register : u64 {
  kTimeLow = 0x00,
  kTimeHigh = 0x04,
  kAlarmLow = 0x08,
  kAlarmHigh = 0x0c,
  kInterruptEnabled = 0x10,
  kClearAlarm = 0x14,
  kAlarmStatus = 0x18,
  kClearInterrupt = 0x1c,
};

constexpr u32 low(u64 value) { return static_cast<u32>(value); }
constexpr u32 high(u64 value) { return static_cast<u32>(value >> 32); }
constexpr u64 join(u32 high_half, u32 low_half) { return u64{high_half} << 32 | low_half; }

}  // namespace

u64 Rtc::read(u64 offset, u32 size) {
  if (size != 4) return 0;
  const MutexLock lock(mutex_);
  switch (offset) {
    case kTimeLow: {
      const u64 time = guest_time();
      read_high_ = high(time);
      return low(time);
    }
    case kTimeHigh:
      return read_high_;
    case kAlarmLow:
      return low(alarm_);
    case kAlarmHigh:
      return high(alarm_);
    case kInterruptEnabled:
      return interrupt_enabled_ ? 1 : 0;
    case kAlarmStatus:
      return armed_ ? 1 : 0;
    default:
      return 0;
  }
}

void Rtc::write(u64 offset, u32 size, u64 value) {
  if (size != 4) return;
  const MutexLock lock(mutex_);
  switch (offset) {
    case kTimeLow:
      set_time(join(time_high_, low(value)));
      break;
    case kTimeHigh:
      time_high_ = low(value);
      break;
    case kAlarmLow:
      set_alarm(join(alarm_high_, low(value)));
      break;
    case kAlarmHigh:
      alarm_high_ = low(value);
      break;
    case kInterruptEnabled:
      interrupt_enabled_ = (value & 1) != 0;
      break;
    case kClearAlarm:
      armed_ = false;
      break;
    case kClearInterrupt:
      interrupt_ = false;
      break;
    default:
      break;
  }
  update_line();
}

void Rtc::set_time(u64 time) {
  offset_ = time - clock_.now().raw;
  if (armed_) arm();
}

void Rtc::set_alarm(u64 time) {
  alarm_ = time;
  armed_ = true;
  arm();
}

// An alarm in the past rings at once.
void Rtc::arm() {
  const u64 now = guest_time();
  if (alarm_ > now) {
    const u64 wall = clock_.now().raw;
    const u64 delay = std::min(alarm_ - now, ~u64{0} - wall);  // the guest may have asked for the end of time
    clock_.wake_at(Nanos{wall + delay});
    return;
  }
  armed_ = false;
  interrupt_ = true;
}

void Rtc::check_alarm() {
  const MutexLock lock(mutex_);
  if (!armed_) return;
  arm();
  update_line();
}

void Rtc::reset() {
  const MutexLock lock(mutex_);
  offset_ = alarm_ = 0;
  read_high_ = time_high_ = alarm_high_ = 0;
  armed_ = interrupt_ = interrupt_enabled_ = false;
  update_line();
}

}  // namespace cloister::device
