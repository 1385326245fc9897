// SPDX-License-Identifier: Apache-2.0
// Any sequence of SBI calls, with any arguments, from any hart.
#include <cstring>
#include <utility>

#include "base/check.h"
#include "machine/sbi.h"

namespace cloister::machine {
namespace {

constexpr u32 kHarts = 5;
constexpr u64 kMemory = 0x8000'0000;
constexpr u64 kMemorySize = 0x1'0000;
constexpr u64 kExtensions[] = {0x10,     0x54494d45, 0x735049,   0x52464e43,
                               0x48534d, 0x53525354, 0x4442434e, 0x504d55};

// Checks that nothing but valid harts and memory ever comes through.
struct StrictPlatform final : SbiPlatform {
  u32 hart_count() const override { return kHarts; }
  void set_timer(u32 hart, u64) override { CHECK(hart < kHarts); }
  void set_software_interrupt(HartMask harts, bool) override { CHECK(harts >> kHarts == 0); }
  void remote_fence(u32 caller, HartMask harts, const RemoteFence&) override {
    CHECK(caller < kHarts && harts >> kHarts == 0);
  }
  HartState hart_state(u32 hart) override {
    return started[checked(hart)] ? HartState::kStarted : HartState::kStopped;
  }
  bool start_hart(u32 hart, GuestPhys pc, u64) override {
    CHECK(is_memory(pc, 2));
    return !std::exchange(started[checked(hart)], true);
  }
  void stop_hart(u32 hart) override { started[checked(hart)] = false; }
  void suspend_hart(u32 hart) override { CHECK(hart < kHarts); }
  void reset_system(u32, ResetType, ResetReason) override {}
  bool is_memory(GuestPhys address, u64 bytes) override {
    return address.raw >= kMemory && bytes <= kMemorySize && address.raw - kMemory <= kMemorySize - bytes;
  }
  bool read_memory(GuestPhys address, std::span<std::byte> to) override {
    CHECK(is_memory(address, to.size()));
    std::memset(to.data(), 'x', to.size());
    return true;
  }
  bool write_memory(GuestPhys address, std::span<const std::byte> from) override {
    return is_memory(address, from.size());
  }
  void console_write(std::span<const std::byte>) override {}
  std::size_t console_read(std::span<std::byte> to) override {
    std::memset(to.data(), 'y', to.size());
    return to.size();
  }
  void set_counter(u32 hart, Counter counter, u64) override {
    CHECK(hart < kHarts && static_cast<u32>(counter) < kCounters);
  }
  static u32 checked(u32 hart) {
    CHECK(hart < kHarts);
    return hart;
  }
  bool started[kHarts] = {};
};

struct Step {
  u8 hart;
  u8 extension;
  u8 function;
  u8 raw;  // odd: `arguments[0]` is the extension itself
  std::array<u64, 6> arguments;
};

void take(Sbi& sbi, const Step& step) {
  SbiCall call{step.hart % kHarts, 0, step.function, step.arguments};
  call.extension =
      (step.raw & 1) != 0 ? step.arguments[0] : kExtensions[step.extension % std::size(kExtensions)];
  const SbiResult result = sbi.call(call);
  CHECK(result.keeps_a1 || result.error() <= SbiError::kSuccess);
}

}  // namespace
}  // namespace cloister::machine

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace cloister::machine;
  StrictPlatform platform;
  Sbi sbi(platform);
  for (Step step{}; size >= sizeof(step); data += sizeof(step), size -= sizeof(step)) {
    std::memcpy(&step, data, sizeof(step));
    take(sbi, step);
  }
  return 0;
}
