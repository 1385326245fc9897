// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "device/virtio/device.h"
#include "device/virtio/queue.h"

namespace cloister::device::virtio {

// Bound: how often a queue may be used up by one drain(). An honest guest with many harts adds buffers
// meanwhile, but sooner or later falls behind. One whose buffers' content writes new entries into its own
// available ring would keep the calling thread for ever.
inline constexpr u32 kMaxRounds = 64;

// Serves all available buffers of a queue on the calling thread: `serve(chain)` does what the buffer asks,
// and it is pushed. Ends with notifications on and the driver interrupted if it wants that. Call it under the
// lock that guards the queue.
template <typename Serve>
void drain(Port& port, u32 index, Serve&& serve) {
  Queue& queue = port.queue(index);
  u64 left = u64{queue.size()} * kMaxRounds;
  do {
    queue.enable_notification(false);
    for (auto chain = queue.pop(); chain; chain = queue.pop()) {
      serve(*chain);
      queue.push(*chain);
      if (left-- == 0) return port.fail("the driver feeds the device without an end");
    }
    queue.enable_notification(true);
  } while (!queue.empty());
  port.signal_used(index);
}

}  // namespace cloister::device::virtio
