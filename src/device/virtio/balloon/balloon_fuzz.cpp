// SPDX-License-Identifier: Apache-2.0
// A guest that gives up nonsense while the host changes its mind.
#include "device/virtio/balloon/balloon.h"
#include "device/virtio/testing/device_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace cloister;
  static const auto memory =
      memory::GuestMemory::create(device::virtio::testing::Guest::kBase, {256 * kKiB}).take();
  static device::virtio::Balloon device(*memory);
  static device::virtio::testing::DeviceFuzz fuzz(device);
  fuzz.run({data, size}, [](u64 value) {
    device.set_target({value & 0xffff'ffff});
    device.request_statistics();
  });
  return 0;
}
