// SPDX-License-Identifier: Apache-2.0
// A guest that writes nonsense to the registers of the PLIC, the UART and the RTC, and a host that types
// meanwhile.
#include <cstring>

#include "device/bus.h"
#include "device/plic.h"
#include "device/rtc.h"
#include "device/uart.h"

namespace cloister::device {
namespace {

struct NoScreen final : ConsoleSink {
  void write(std::span<const std::byte>) override {}
};

struct StandingClock final : WallClock {
  Nanos now() override { return Nanos{time}; }
  void wake_at(Nanos) override {}
  u64 time = 0;
};

struct Step {
  u8 kind;
  u8 size_log2;
  u16 high;
  u32 offset;
  u64 value;
};

struct Board {
  Board() {
    CHECK(bus.attach(kPlicBase, Plic::kSize, plic).ok());
    CHECK(bus.attach(kUartBase, Uart::kSize, uart).ok());
    CHECK(bus.attach(kRtcBase, Rtc::kSize, rtc).ok());
  }
  static constexpr GuestPhys kPlicBase{0x0c00'0000};
  static constexpr GuestPhys kUartBase{0x1000'0000};
  static constexpr GuestPhys kRtcBase{0x1000'1000};

  NoScreen screen;
  StandingClock clock;
  Plic plic{3, [](u32, bool) {}};
  QueuedConsole console{screen};
  Uart uart{console, InterruptLine(plic, 1)};
  Rtc rtc{clock, InterruptLine(plic, 2)};
  Bus bus;
};

void take(Board& board, const Step& step) {
  constexpr GuestPhys kBases[] = {Board::kPlicBase, Board::kUartBase, Board::kRtcBase, {0}};
  const GuestPhys address = kBases[step.kind >> 6] + step.offset;
  const u32 size = u32{1} << (step.size_log2 & 3);
  u64 value = step.value;
  switch (step.kind & 7) {
    case 0:
      board.plic.set_level(1 + step.high % (Plic::kSources - 1), (step.value & 1) != 0);
      break;
    case 1:
      (void)board.console.offer(std::as_bytes(std::span(&step, 1)));
      break;
    case 2:
      board.clock.time += step.value, board.rtc.check_alarm();
      break;
    case 3:
      step.high == 0 ? board.bus.reset() : board.uart.flush();
      break;
    case 4:
    case 5:
      (void)board.bus.load(address, size, value);
      break;
    default:
      (void)board.bus.store(address, size, value);
      break;
  }
}

}  // namespace
}  // namespace cloister::device

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  cloister::device::Board board;
  for (cloister::device::Step step{}; size >= sizeof(step); data += sizeof(step), size -= sizeof(step)) {
    std::memcpy(&step, data, sizeof(step));
    cloister::device::take(board, step);
  }
  return 0;
}
