// SPDX-License-Identifier: Apache-2.0
#include "device/uart.h"

#include <algorithm>

#include "base/check.h"

namespace cloister::device {
namespace {

// Offsets. RBR (read) and THR (write) share 0; the divisor latch hides 0 and 1 while LCR.DLAB is set.
enum UartRegister : u64 {
  kData = 0,
  kIer = 1,
  kIirFcr = 2,
  kLcr = 3,
  kMcr = 4,
  kLsr = 5,
  kMsr = 6,
  kScr = 7
};

constexpr u8 kIerReceived = 0x01;
constexpr u8 kIerTransmitter = 0x02;
constexpr u8 kIerBits = 0x0f;

constexpr u8 kIirNone = 0x01;
constexpr u8 kIirTransmitter = 0x02;
constexpr u8 kIirReceived = 0x04;
constexpr u8 kIirTimeout = 0x0c;  // fewer bytes wait than the trigger level asks for
constexpr u8 kIirFifos = 0xc0;

constexpr u8 kFcrEnable = 0x01;
constexpr u8 kFcrClearReceiver = 0x02;

constexpr u8 kLcrDivisorLatch = 0x80;

constexpr u8 kMcrDtr = 0x01;
constexpr u8 kMcrRts = 0x02;
constexpr u8 kMcrOut1 = 0x04;
constexpr u8 kMcrOut2 = 0x08;
constexpr u8 kMcrLoop = 0x10;
constexpr u8 kMcrBits = 0x1f;

constexpr u8 kLsrReady = 0x01;
constexpr u8 kLsrEmpty = 0x60;  // THR and shift register

constexpr u8 kMsrCts = 0x10;
constexpr u8 kMsrDsr = 0x20;
constexpr u8 kMsrRi = 0x40;
constexpr u8 kMsrDcd = 0x80;

constexpr std::size_t kFifoSize = 16;
constexpr std::size_t kTriggerLevels[] = {1, 4, 8, 14};

}  // namespace

Uart::Uart(ConsoleBackend& console, InterruptLine line) : console_(console), line_(line) {
  to_send_.reserve(kGather);
  console_.set_input_ready([this] { input_ready(); });
}

Uart::~Uart() { console_.set_input_ready({}); }

bool Uart::divisor_latch() const { return (line_control_ & kLcrDivisorLatch) != 0; }
bool Uart::loopback() const { return (modem_control_ & kMcrLoop) != 0; }

u64 Uart::read(u64 offset, u32 size) {
  if (size != 1 || offset > kScr) return 0;
  const MutexLock lock(mutex_);
  return read_register(offset);
}

void Uart::write(u64 offset, u32 size, u64 value) {
  if (size != 1 || offset > kScr) return;
  const MutexLock lock(mutex_);
  write_register(offset, static_cast<u8>(value));
}

u8 Uart::read_register(u64 offset) {
  switch (offset) {
    case kData:
      return divisor_latch() ? divisor_low_ : receive();
    case kIer:
      return divisor_latch() ? divisor_high_ : interrupt_enable_;
    case kIirFcr:
      return identify();
    case kLcr:
      return line_control_;
    case kMcr:
      return modem_control_;
    case kLsr:
      refill();
      return line_status();
    case kMsr:
      return modem_status();
    case kScr:
      return scratch_;
    default:
      return 0;
  }
}

void Uart::write_register(u64 offset, u8 value) {
  switch (offset) {
    case kData:
      divisor_latch() ? void(divisor_low_ = value) : transmit(value);
      break;
    case kIer:
      divisor_latch() ? void(divisor_high_ = value) : set_interrupt_enable(value);
      break;
    case kIirFcr:
      set_fifo_control(value);
      break;
    case kLcr:
      line_control_ = value;
      break;
    case kMcr:
      modem_control_ = value & kMcrBits;
      break;
    case kScr:
      scratch_ = value;
      break;
    default:
      break;
  }
}

u8 Uart::receive() {
  if (received_.empty()) return 0;
  const u8 value = received_.front();
  received_.pop_front();
  update_line();
  return value;
}

void Uart::transmit(u8 value) {
  if (loopback()) {
    if (received_.size() < kFifoSize) received_.push_back(value);
  } else {
    to_send_.push_back(std::byte{value});
    output_waits_.store(true, std::memory_order_relaxed);
    if (to_send_.size() >= kGather) flush_locked();
  }
  transmitter_event_ = true;
  update_line();
}

// Reading IIR takes the transmitter's event, but only when that is what it reports.
u8 Uart::identify() {
  const u8 interrupt = pending_interrupt();
  if (interrupt == kIirTransmitter) {
    transmitter_event_ = false;
    update_line();
  }
  return (fifo_control_ & kFcrEnable) != 0 ? interrupt | kIirFifos : interrupt;
}

u8 Uart::pending_interrupt() const {
  if ((interrupt_enable_ & kIerReceived) != 0 && !received_.empty()) {
    const bool fifo = (fifo_control_ & kFcrEnable) != 0;
    return fifo && received_.size() < kTriggerLevels[fifo_control_ >> 6] ? kIirTimeout : kIirReceived;
  }
  return (interrupt_enable_ & kIerTransmitter) != 0 && transmitter_event_ ? kIirTransmitter : kIirNone;
}

u8 Uart::line_status() const { return received_.empty() ? kLsrEmpty : kLsrEmpty | kLsrReady; }

// A cable is plugged in and the other end is ready; in loopback the modem's lines are ours, crossed.
u8 Uart::modem_status() const {
  if (!loopback()) return kMsrCts | kMsrDsr | kMsrDcd;
  u8 status = 0;
  if ((modem_control_ & kMcrRts) != 0) status |= kMsrCts;
  if ((modem_control_ & kMcrDtr) != 0) status |= kMsrDsr;
  if ((modem_control_ & kMcrOut1) != 0) status |= kMsrRi;
  if ((modem_control_ & kMcrOut2) != 0) status |= kMsrDcd;
  return status;
}

void Uart::set_interrupt_enable(u8 value) {
  const u8 enabled_now = value & static_cast<u8>(~interrupt_enable_);
  if ((enabled_now & kIerTransmitter) != 0) transmitter_event_ = true;
  interrupt_enable_ = value & kIerBits;
  update_line();
}

void Uart::set_fifo_control(u8 value) {
  const bool toggled = ((fifo_control_ ^ value) & kFcrEnable) != 0;
  if (toggled || (value & kFcrClearReceiver) != 0) received_.clear();
  fifo_control_ = (value & kFcrEnable) != 0 ? value & (kFcrEnable | kIirFifos) : 0;
  update_line();
}

void Uart::update_line() {
  if ((interrupt_enable_ & kIerReceived) != 0) refill();
  line_.set(pending_interrupt() != kIirNone);
}

void Uart::input_ready() {
  const MutexLock lock(mutex_);
  update_line();
}

// Without the received interrupt nothing is taken until the guest polls LSR, so that what a person typed
// before the driver started is not lost when the driver clears its FIFO.
void Uart::refill() {
  if (received_.size() >= kFifoSize || loopback()) return;
  std::byte bytes[kFifoSize];
  const std::size_t taken = console_.take_input(std::span(bytes).first(kFifoSize - received_.size()));
  for (const std::byte byte : std::span(bytes).first(taken)) received_.push_back(std::to_integer<u8>(byte));
}

void Uart::flush() {
  if (!output_waits_.load(std::memory_order_relaxed)) return;
  const MutexLock lock(mutex_);
  flush_locked();
}

void Uart::flush_locked() {
  DCHECK(to_send_.size() <= kGather);
  if (!to_send_.empty()) console_.output(to_send_);
  to_send_.clear();
  output_waits_.store(false, std::memory_order_relaxed);
}

void Uart::reset() {
  const MutexLock lock(mutex_);
  flush_locked();
  received_.clear();
  interrupt_enable_ = fifo_control_ = line_control_ = modem_control_ = scratch_ = 0;
  divisor_low_ = divisor_high_ = 0;
  transmitter_event_ = false;
  update_line();
}

}  // namespace cloister::device
