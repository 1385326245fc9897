// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/block/raw_image.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"

namespace cloister::device::virtio {
namespace {

Result<void> check_size(const std::string& path, Bytes size) {
  if (size.raw == 0) return error("disk '{}' is empty; give it a size, as with 'truncate --size=4G'", path);
  if (size.raw % kSectorSize == 0) return {};
  return error(
      "disk '{}' has {} bytes, which is no multiple of a sector's {}; pad it with 'truncate --size=%{}'",
      path, size.raw, kSectorSize, kSectorSize);
}

Result<os::File> open_locked(const std::string& path, os::Open how, os::Lock lock) {
  os::File file = TRY(os::File::open(path, how));
  TRY(file.lock(lock));
  TRY(check_size(path, TRY(file.size())));
  return file;
}

}  // namespace

Result<os::File> RawImage::open_base(const std::string& path) {
  return open_locked(path, os::Open::kRead, os::Lock::kShared);
}

Result<std::unique_ptr<DiskImage>> RawImage::open(const std::string& path, bool read_only) {
  os::File file =
      read_only ? TRY(open_base(path)) : TRY(open_locked(path, os::Open::kReadWrite, os::Lock::kExclusive));
  const Bytes size = TRY(file.size());
  return std::unique_ptr<DiskImage>(new RawImage(std::move(file), size, read_only));
}

Result<void> RawImage::write_zeroes(u64 offset, Bytes count, Unmap unmap) {
  DCHECK(!read_only_);
  if (unmap == Unmap::kYes && file_.punch_hole(offset, count).ok()) return {};
  return write_zero_bytes(*this, offset, count);
}

Result<void> write_zero_bytes(DiskImage& image, u64 offset, Bytes count) {
  static constexpr std::array<std::byte, 64 * kKiB> kZeros{};
  while (count.raw > 0) {
    const u64 step = std::min<u64>(count.raw, kZeros.size());
    TRY(image.write(offset, std::span(kZeros).first(step)));
    offset += step;
    count.raw -= step;
  }
  return {};
}

}  // namespace cloister::device::virtio
