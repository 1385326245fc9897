// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/block/image.h"

#include "device/virtio/block/overlay_image.h"
#include "device/virtio/block/raw_image.h"

namespace cloister::device::virtio {

Result<std::unique_ptr<DiskImage>> open_disk(const DiskPlace& place) {
  if (place.overlay.empty()) return RawImage::open(place.path, place.read_only);
  if (place.read_only) {
    return error("disk '{}' is read-only and has the overlay '{}' for writes; leave one of them out",
                 place.path, place.overlay);
  }
  return OverlayImage::open(place.path, place.overlay);
}

}  // namespace cloister::device::virtio
