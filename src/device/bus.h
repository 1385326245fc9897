// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"

namespace cloister::device {

// A device's registers. read() and write() come from any hart's thread, several at once: the device
// locks. `offset` lies in the device's region, `size` is 1, 2, 4 or 8 and offset is a multiple of it.
// An access that the device does not define reads 0 and writes nothing; it is never an error.
class MmioDevice {
 public:
  virtual ~MmioDevice() = default;
  virtual std::string_view name() const = 0;
  virtual u64 read(u64 offset, u32 size) = 0;
  virtual void write(u64 offset, u32 size, u64 value) = 0;
  // The state after power-on. The machine calls it with all harts stopped.
  virtual void reset() = 0;
};

// Which device answers at which address. Filled before the harts start, then only read, so without lock.
class Bus {
 public:
  // Refuses a region that overlaps another, naming both. The device outlives the bus.
  Result<void> attach(GuestPhys base, Bytes size, MmioDevice& device);

  // False where no device is, or the access is misaligned or crosses the end of the region: the hart
  // takes an access fault.
  bool load(GuestPhys address, u32 size, u64& value);
  bool store(GuestPhys address, u32 size, u64 value);
  void reset();

 private:
  struct Region {
    GuestPhys base;
    Bytes size;
    MmioDevice* device;
  };
  const Region* find(GuestPhys address, u32 size) const;

  std::vector<Region> regions_;  // sorted by base
};

}  // namespace cloister::device
