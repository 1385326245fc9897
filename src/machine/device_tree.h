// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace cloister::machine {

// What the guest is told of its machine.
struct BoardPlan {
  u32 harts = 1;
  Bytes memory;
  bool uart = true;        // the console is the UART
  u32 virtio_devices = 0;  // in the slots from 0
  std::string bootargs;
  GuestPhys initrd;
  Bytes initrd_size;                 // 0: none
  std::array<std::byte, 64> seed{};  // for the guest's random pool; Linux wipes it from the tree
};

// Bound: Linux on RISC-V keeps 1024 bytes of command line, with the final zero (COMMAND_LINE_SIZE).
inline constexpr std::size_t kMaxBootargs = 1023;
// Bound: 64 harts and 64 devices take about 70 KiB.
inline constexpr Bytes kMaxDeviceTree{128 * kKiB};

// The flattened device tree of such a board. Refused: a command line over kMaxBootargs or with a control
// character in it, a tree over kMaxDeviceTree.
Result<std::vector<std::byte>> make_device_tree(const BoardPlan& plan);

}  // namespace cloister::machine
