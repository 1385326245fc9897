// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <span>

#include "base/units.h"
#include "device/virtio/device.h"
#include "device/virtio/testing/guest.h"

// For fuzzers: a hostile guest in front of a device.
//
// An input is a list of 16-byte steps: register accesses of any width, writes to guest memory, whole
// bring-ups with queues at known places, descriptors and ring entries put there (so that the fuzzer need not
// find the way to a live queue each time), notifications, and what else happens on the host's side. The
// device must do its work inside notify(), so that an input always does the same.
//
//   static Entropy device(Entropy::seeded_source(1));
//   static testing::DeviceFuzz fuzz(device);
//   fuzz.run({data, size});
namespace cloister::device::virtio::testing {

class DeviceFuzz {
 public:
  static constexpr Bytes kMemory{256 * kKiB};

  explicit DeviceFuzz(Device& device);

  // One input, from power-on to power-off. `outside` is called for the steps that are the host's.
  void run(std::span<const unsigned char> input, const std::function<void(u64 value)>& outside = {});

 private:
  struct Step {
    u8 kind;
    u8 small;
    u16 medium;
    u32 large;
    u64 value;
  };

  void take(const Step& step);
  void bring_up(const Step& step);
  void put_descriptor(const Step& step);
  void put_available(const Step& step);
  void put_request_header(const Step& step);
  void submit(const Step& step);
  GuestPhys somewhere(u32 offset) const { return Guest::kBase + offset % (kMemory.raw - 0x2000); }
  RingLayout place_of(u32 queue) const;

  Device& device_;
  Guest guest_;
  bool packed_ = false;
  bool brought_up_ = false;  // in this input: the guest's queues are the device's
};

}  // namespace cloister::device::virtio::testing
