// SPDX-License-Identifier: Apache-2.0
// The transport alone, in front of a device that gives every byte back.
#include <array>

#include "device/virtio/drain.h"
#include "device/virtio/testing/device_fuzz.h"

namespace cloister::device::virtio {
namespace {

class Echo final : public Device {
 public:
  DeviceId id() const override { return DeviceId::kConsole; }
  std::string_view name() const override { return "echo"; }
  u64 features() const override { return 0xff; }
  u32 queue_count() const override { return 3; }
  u32 queue_max_size(u32 index) const override { return 64u << index; }
  void read_config(u32 offset, std::span<std::byte> to) override { copy_config(config_, offset, to); }
  void write_config(u32 offset, std::span<const std::byte> from) override {
    if (offset < config_.size()) config_[offset] = from[0];
  }
  void activate(Port& port, u64) override {
    CHECK(port_ == nullptr);
    port_ = &port;
  }
  void notify(u32 index) override {
    CHECK(port_ != nullptr);
    drain(*port_, index, [](Chain& chain) {
      std::array<std::byte, 512> bytes;
      const u32 count = std::min({chain.readable(), chain.writable(), u32{bytes.size()}});
      CHECK(chain.read(std::span(bytes).first(count)) && chain.write(std::span(bytes).first(count)));
    });
  }
  void reset() override {
    CHECK(port_ != nullptr);
    port_ = nullptr;
  }
  void speak(u64 value) {
    if (port_ == nullptr) return;
    (value & 1) != 0 ? port_->signal_config_changed() : port_->signal_used(value % queue_count());
  }

 private:
  std::array<std::byte, 40> config_{};
  Port* port_ = nullptr;
};

}  // namespace
}  // namespace cloister::device::virtio

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace cloister::device::virtio;
  static Echo device;
  static testing::DeviceFuzz fuzz(device);
  fuzz.run({data, size}, [](cloister::u64 value) { device.speak(value); });
  return 0;
}
