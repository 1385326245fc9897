// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/os/file.h"
#include "base/result.h"
#include "base/units.h"
#include "machine/boot_file.h"
#include "machine/device_tree.h"
#include "machine/kernel_image.h"
#include "memory/guest_memory.h"

namespace cloister::machine {

// What is loaded at power-on.
struct BootContent {
  KernelImage kernel;
  BootFile initrd;  // empty: none
};

// The files that it comes from. They stay open, so that a restart finds them, and outlive their content.
class BootFiles {
 public:
  // `initrd` empty: none.
  static Result<BootFiles> open(const std::string& kernel, const std::string& initrd);
  // Looks through them. Refused: what is unreadable, truncated or of another kind.
  Result<BootContent> read() const;

 private:
  BootFiles(os::File kernel, std::optional<os::File> initrd)
      : kernel_(std::move(kernel)), initrd_(std::move(initrd)) {}

  os::File kernel_;
  std::optional<os::File> initrd_;
};

// Where they go. The initrd lies at the end of memory, the device
// tree just below it.
struct Placement {
  GuestPhys kernel;
  GuestPhys tree;  // room for kMaxDeviceTree
  GuestPhys initrd;
};

// Refused: a memory too small, naming the least that is enough.
Result<Placement> place(const BootContent& content, Bytes memory);

// Copies all to its place. Pages of zeros are left out: memory is zero already, and they take no frame so.
// Refused: a file that cannot be read any more. Precondition: place() allowed this; memory is all zero.
Result<void> load(const BootContent& content, const Placement& placement, const std::vector<std::byte>& tree,
                  memory::GuestMemory& memory);

}  // namespace cloister::machine
