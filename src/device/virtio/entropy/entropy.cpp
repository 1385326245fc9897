// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/entropy/entropy.h"

#include <algorithm>
#include <cstring>

#include "base/os/entropy.h"
#include "base/random.h"
#include "device/virtio/drain.h"

namespace cloister::device::virtio {

Entropy::Source Entropy::host_source() { return os::fill_random; }

Entropy::Source Entropy::seeded_source(u64 seed) {
  return [random = Random(seed)](std::span<std::byte> to) mutable {
    while (!to.empty()) {
      const u64 word = random.next();
      const std::size_t count = std::min(to.size(), sizeof(word));
      std::memcpy(to.data(), &word, count);
      to = to.subspan(count);
    }
  };
}

void Entropy::notify(u32 queue_index) {
  drain(*port_, queue_index, [&](Chain& chain) {
    chain.write_in_place(std::min(chain.writable(), kMaxBytes), [&](std::span<std::byte> run) {
      source_(run);
      return true;
    });
  });
}

}  // namespace cloister::device::virtio
