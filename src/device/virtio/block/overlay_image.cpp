// SPDX-License-Identifier: Apache-2.0
// Copy on write, by clusters of 64 KiB.
//
// Every cluster has one place in the overlay file, the same as on the disk, and the file is sparse. So there
// is nothing to allocate and no table of places, only a bit for each cluster that says whether to look here
// or in the base; the host's file system does the rest, and does it well. The price is a file whose length is
// the disk's, which must be copied by a program that keeps holes.
//
// First writes. A write of part of a cluster that is not here yet takes the rest from the base, writes the
// whole and then sets the bit. A second one to the same cluster must not do the same at the same time (each
// would undo the other's part), so first writes of a cluster exclude each other by a stripe lock. All else
// needs no lock: who sees the bit not yet set reads the base, as if it had come before the write.
//
// Crashes. Bits go to the file only in flush(), and in this order: take the changed pages of bits, put the
// clusters' bytes on the disk, write the pages, put them on the disk. Thus a bit on the disk always has
// its cluster's bytes on the disk too. After a crash before that, the cluster reads from the base again, as
// a disk whose cache lost power; stale bytes at its place are overwritten by its next first write.
//
// Values. A guest that swaps its balloon out writes thousands of pages of one content. Such a page is a bit
// in the file's table of values, and what lies at its place says nothing while the bit is set; the first
// write to the page that is anything else makes it an ordinary one (overlay_values.cpp).
#include "device/virtio/block/overlay_image.h"

#include <algorithm>
#include <filesystem>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/os/new_file.h"
#include "base/size.h"
#include "device/virtio/block/raw_image.h"

namespace cloister::device::virtio {
namespace {

Result<void> make_overlay(const std::string& path, const OverlayLayout& layout) {
  return os::create_whole(path, [&](os::File& file) -> Result<void> {
    TRY(file.resize(layout.plain_size()));
    TRY(file.reserve(0, Bytes{layout.data_offset()}));
    return file.write_at(0, encode_overlay(layout));
  });
}

Result<OverlayLayout> read_layout(const os::File& file) {
  std::vector<std::byte> header(std::min(TRY(file.size()).raw, kPageSize));
  TRY(file.read_at(0, header));
  const OverlayLayout layout = TRY(decode_overlay(header, file.path()));
  const Bytes size = TRY(file.size());
  if (layout.may_have(size)) return layout;
  const Bytes whole = layout.format == kPlainOverlay ? layout.plain_size() : layout.size_with_values();
  return error(
      "overlay '{}' has {} instead of {}: it was cut off; restore it from a copy, or delete it to start anew",
      file.path(), format_size(size), format_size(whole));
}

Result<void> check_base(const OverlayLayout& layout, const OverlayLayout& base, const std::string& base_path,
                        const std::string& path) {
  if (layout.disk_size != base.disk_size) {
    return error(
        "overlay '{}' is for a base of {}, but '{}' has {}; name the base that it was made for, or delete it",
        path, format_size(layout.disk_size), base_path, format_size(base.disk_size));
  }
  if (layout.base_modified != base.base_modified) {
    return error(
        "'{}' was changed after overlay '{}' was made for it, or is another file; name the base as it was, "
        "or "
        "delete the overlay to start anew",
        base_path, path);
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<DiskImage>> OverlayImage::open(const std::string& base_path, const std::string& path) {
  os::File base = TRY(RawImage::open_base(base_path));
  const OverlayLayout wanted{TRY(base.size()), TRY(base.modified())};
  if (wanted.disk_size > kMaxOverlayDisk) {
    return error("'{}' has {}, and a base may have at most {}; use it without an overlay", base_path,
                 format_size(wanted.disk_size), format_size(kMaxOverlayDisk));
  }
  std::error_code ignored;
  if (!std::filesystem::exists(path, ignored)) TRY(make_overlay(path, wanted));
  os::File file = TRY(os::File::open(path, os::Open::kReadWrite));
  TRY(file.lock(os::Lock::kExclusive));
  const OverlayLayout layout = TRY(read_layout(file));
  TRY(check_base(layout, wanted, base_path, path));
  std::unique_ptr<OverlayImage> image(new OverlayImage(std::move(base), std::move(file), layout));
  TRY(image->load());
  return std::unique_ptr<DiskImage>(std::move(image));
}

Result<void> OverlayImage::load() {
  TRY(map_.load(file_, layout_.map_offset()));
  if (layout_.format != kOverlayWithValues) return {};
  TRY(file_.read_at(layout_.marks_offset(), std::as_writable_bytes(std::span(marks_))));
  return values_.load(file_, layout_.values_offset());
}

OverlayImage::~OverlayImage() { (void)flush(); }

Result<void> OverlayImage::read(u64 offset, std::span<std::byte> to) {
  DCHECK(offset + to.size() <= size().raw);
  return each_cluster(offset, to.size(),
                      [&](u64 at, u64 count) { return read_in_cluster(at, to.subspan(at - offset, count)); });
}

Result<void> OverlayImage::write(u64 offset, std::span<const std::byte> from) {
  DCHECK(offset + from.size() <= size().raw);
  return each_cluster(offset, from.size(), [&](u64 at, u64 count) {
    return write_in_cluster(at, from.subspan(at - offset, count));
  });
}

Result<void> OverlayImage::write_in_cluster(u64 offset, std::span<const std::byte> from) {
  const u64 cluster = offset >> kClusterShift;
  if (!map_.has(cluster) || has_values(offset, from.size())) {
    MutexLock lock(stripe_of(cluster));
    return write_here(offset, from);
  }
  return file_.write_at(place_of(offset), from);
}

// Precondition: the cluster's stripe is held.
Result<void> OverlayImage::write_here(u64 offset, std::span<const std::byte> from) {
  if (map_.has(offset >> kClusterShift)) {
    TRY(file_.write_at(place_of(offset), from));
  } else {
    TRY(write_first(offset, from));
  }
  return has_values(offset, from.size()) ? end_values(offset, from) : Result<void>();
}

// Precondition: the cluster's stripe is held, and its bit not set.
Result<void> OverlayImage::write_first(u64 offset, std::span<const std::byte> from) {
  const u64 begin = offset & ~kInCluster;
  if (from.size() == kClusterSize) {
    TRY(file_.write_at(place_of(begin), from));
  } else {
    std::vector<std::byte> whole(kClusterSize);
    const u64 in_base =
        std::min(kClusterSize, size().raw - begin);  // the last cluster may reach past the disk
    TRY(base_.read_at(begin, std::span(whole).first(in_base)));
    std::copy(from.begin(), from.end(), whole.begin() + static_cast<std::ptrdiff_t>(offset - begin));
    TRY(file_.write_at(place_of(begin), whole));
  }
  map_.add(begin >> kClusterShift);
  values_.mark_full(begin >> kClusterShift);
  return {};
}

Result<void> OverlayImage::write_zeroes(u64 offset, Bytes count, Unmap unmap) {
  if (unmap == Unmap::kNo) return write_zero_bytes(*this, offset, count);
  return each_cluster(offset, count.raw, [&](u64 at, u64 size) {
    return size == kClusterSize ? zero_cluster(at >> kClusterShift)
                                : write_zero_bytes(*this, at, Bytes{size});
  });
}

// A hole in the overlay, whether the cluster was there or not. A first write that is under way must not bring
// the base's bytes back.
Result<void> OverlayImage::zero_cluster(u64 cluster) {
  const u64 begin = cluster << kClusterShift;
  {
    MutexLock lock(stripe_of(cluster));
    if (file_.punch_hole(place_of(begin), Bytes{kClusterSize}).ok()) {
      if (!map_.has(cluster)) map_.add(cluster);
      values_.put(cluster, {});
      return {};
    }
  }
  return write_zero_bytes(*this, begin, Bytes{kClusterSize});
}

void OverlayImage::discard(u64 offset, Bytes count) {
  (void)each_cluster(offset, count.raw, [&](u64 at, u64 size) -> Result<void> {
    if (size == kClusterSize && map_.has(at >> kClusterShift)) {
      return file_.punch_hole(place_of(at), Bytes{kClusterSize});
    }
    return {};
  });
}

// Values are taken first: the cluster of a page that is none any more is then among the bits.
Result<void> OverlayImage::flush() {
  std::vector<ValueMap::Part> values;
  u64 number = 0;
  {
    MutexLock lock(flush_mutex_);
    number = ++flushes_;
    values = values_.take_changed();
    const auto pages = map_.take_changed();
    const auto done = save(pages, values);
    if (!done.ok()) {
      map_.put_back(pages);
      values_.put_back(values);
      return done;
    }
  }
  give_space_back(values, number);
  return {};
}

Result<void> OverlayImage::save(const std::vector<ClusterMap::Page>& pages,
                                const std::vector<ValueMap::Part>& values) {
  TRY(file_.sync_data());
  if (!pages.empty()) {
    TRY(ClusterMap::save(file_, layout_.map_offset(), pages));
    TRY(file_.sync_data());
  }
  if (!values.empty()) {
    TRY(ValueMap::save(file_, layout_.values_offset(), values));
    TRY(file_.sync_data());
  }
  return {};
}

}  // namespace cloister::device::virtio
