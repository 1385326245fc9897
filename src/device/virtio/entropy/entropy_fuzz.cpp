// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/entropy/entropy.h"
#include "device/virtio/testing/device_fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace cloister::device::virtio;
  static Entropy device(Entropy::seeded_source(1));
  static testing::DeviceFuzz fuzz(device);
  fuzz.run({data, size});
  return 0;
}
