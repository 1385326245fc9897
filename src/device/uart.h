// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <deque>
#include <span>
#include <vector>

#include "base/lock.h"
#include "device/bus.h"
#include "device/console_backend.h"
#include "device/interrupt.h"

namespace cloister::device {

// A 16550A UART whose wire is infinitely fast: the transmitter is always empty. Registers are one byte
// apart ("ns16550a", reg-shift 0).
//
// What the guest sends is gathered and handed to the sink in pieces: when kGather bytes wait, and at each
// flush(), which the machine calls between slices of guest code. What a person types waits here until the
// guest reads it.
class Uart final : public MmioDevice {
 public:
  static constexpr Bytes kSize{0x100};
  static constexpr u32 kClockHz = 3'686'400;        // divisor 2 is 115200 baud; the rate itself has no effect
  static constexpr std::size_t kGather = 4 * kKiB;  // Bound: output that waits for a flush

  // The console outlives the UART.
  Uart(ConsoleBackend& console, InterruptLine line);
  ~Uart() override;

  std::string_view name() const override { return "uart"; }
  u64 read(u64 offset, u32 size) override;
  void write(u64 offset, u32 size, u64 value) override;
  void reset() override;

  // Any thread; nearly free when nothing waits.
  void flush();

 private:
  void input_ready() EXCLUDES(mutex_);
  void refill() REQUIRES(mutex_);
  u8 read_register(u64 offset) REQUIRES(mutex_);
  void write_register(u64 offset, u8 value) REQUIRES(mutex_);
  u8 receive() REQUIRES(mutex_);
  void transmit(u8 value) REQUIRES(mutex_);
  u8 identify() REQUIRES(mutex_);
  u8 pending_interrupt() const REQUIRES(mutex_);
  u8 line_status() const REQUIRES(mutex_);
  u8 modem_status() const REQUIRES(mutex_);
  void set_interrupt_enable(u8 value) REQUIRES(mutex_);
  void set_fifo_control(u8 value) REQUIRES(mutex_);
  void update_line() REQUIRES(mutex_);
  void flush_locked() REQUIRES(mutex_);
  bool divisor_latch() const REQUIRES(mutex_);
  bool loopback() const REQUIRES(mutex_);

  ConsoleBackend& console_;
  InterruptLine line_ GUARDED_BY(mutex_);
  std::atomic<bool> output_waits_{false};
  Mutex mutex_{LockRank::kDevice};
  std::deque<u8> received_ GUARDED_BY(mutex_);
  std::vector<std::byte> to_send_ GUARDED_BY(mutex_);
  u8 interrupt_enable_ GUARDED_BY(mutex_) = 0;
  u8 fifo_control_ GUARDED_BY(mutex_) = 0;
  u8 line_control_ GUARDED_BY(mutex_) = 0;
  u8 modem_control_ GUARDED_BY(mutex_) = 0;
  u8 scratch_ GUARDED_BY(mutex_) = 0;
  u8 divisor_low_ GUARDED_BY(mutex_) = 0;
  u8 divisor_high_ GUARDED_BY(mutex_) = 0;
  // "Transmitter empty" is an event: raised by a byte sent and by enabling its interrupt, taken by reading
  // IIR.
  bool transmitter_event_ GUARDED_BY(mutex_) = false;
};

}  // namespace cloister::device
