// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <span>

#include "base/units.h"
#include "device/virtio/device.h"

namespace cloister::device::virtio {

// The entropy device (virtio 1.2, 5.4): fills what the driver hands it with random bytes, inside notify().
class Entropy final : public Device {
 public:
  using Source = std::function<void(std::span<std::byte>)>;

  // Bound: of one buffer; a driver that wants more asks again. Linux asks for 64 bytes at a time.
  static constexpr u32 kMaxBytes = 64 * kKiB;

  static Source host_source();            // fit for secrets
  static Source seeded_source(u64 seed);  // the same each time, for the deterministic engine

  explicit Entropy(Source source) : source_(std::move(source)) {}

  DeviceId id() const override { return DeviceId::kEntropy; }
  std::string_view name() const override { return "entropy"; }
  u64 features() const override { return 0; }
  u32 queue_count() const override { return 1; }
  u32 queue_max_size(u32) const override { return 16; }
  void read_config(u32, std::span<std::byte>) override {}
  void activate(Port& port, u64) override { port_ = &port; }
  void notify(u32 queue_index) override;
  void reset() override { port_ = nullptr; }

 private:
  const Source source_;
  Port* port_ = nullptr;  // under the transport's lock, as all here
};

}  // namespace cloister::device::virtio
