// SPDX-License-Identifier: Apache-2.0
// A guest that prints and reads nonsense while somebody types.
#include "device/virtio/console/console.h"
#include "device/virtio/testing/device_fuzz.h"

namespace {

struct NoScreen final : cloister::device::ConsoleSink {
  void write(std::span<const std::byte>) override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace cloister::device;
  static NoScreen screen;
  static QueuedConsole backend(screen);
  static virtio::Console device(backend);
  static virtio::testing::DeviceFuzz fuzz(device);
  fuzz.run({data, size}, [](cloister::u64 value) { backend.offer(std::as_bytes(std::span(&value, 1))); });
  std::byte rest[256];
  while (backend.take_input(rest) > 0) {
  }
  return 0;
}
