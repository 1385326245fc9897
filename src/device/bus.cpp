// SPDX-License-Identifier: Apache-2.0
#include "device/bus.h"

#include <algorithm>

#include "base/check.h"

namespace cloister::device {

Result<void> Bus::attach(GuestPhys base, Bytes size, MmioDevice& device) {
  CHECK(size.raw > 0);
  CHECK(base.raw + size.raw > base.raw);
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), base,
                                      [](GuestPhys at, const Region& region) { return at < region.base; });
  const auto clash = [&](const Region& other) {
    return error("device {} at {:#x} overlaps device {} at {:#x}: give one of them another address",
                 device.name(), base.raw, other.device->name(), other.base.raw);
  };
  if (after != regions_.end() && after->base < base + size.raw) return clash(*after);
  if (after != regions_.begin()) {
    const Region& before = *(after - 1);
    if (base < before.base + before.size.raw) return clash(before);
  }
  regions_.insert(after, Region{base, size, &device});
  return {};
}

const Bus::Region* Bus::find(GuestPhys address, u32 size) const {
  if (size == 0 || size > 8 || (size & (size - 1)) != 0 || (address.raw & (size - 1)) != 0) return nullptr;
  const auto after = std::upper_bound(regions_.begin(), regions_.end(), address,
                                      [](GuestPhys at, const Region& region) { return at < region.base; });
  if (after == regions_.begin()) return nullptr;
  const Region& region = *(after - 1);
  const u64 offset = address - region.base;
  if (offset >= region.size.raw || region.size.raw - offset < size) return nullptr;
  return &region;
}

bool Bus::load(GuestPhys address, u32 size, u64& value) {
  const Region* const region = find(address, size);
  if (region == nullptr) return false;
  value = region->device->read(address - region->base, size);
  return true;
}

bool Bus::store(GuestPhys address, u32 size, u64 value) {
  const Region* const region = find(address, size);
  if (region == nullptr) return false;
  region->device->write(address - region->base, size, value);
  return true;
}

void Bus::reset() {
  for (const Region& region : regions_) region.device->reset();
}

}  // namespace cloister::device
