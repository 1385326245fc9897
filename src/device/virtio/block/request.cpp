// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/block/request.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/check.h"
#include "base/log.h"

namespace cloister::device::virtio {
namespace {

constexpr u32 kStatusBytes = 1;
constexpr std::size_t kIdBytes = 20;
constexpr u32 kUnmapFlag = 1;  // of WRITE_ZEROES

template <typename T>
bool read_object(Chain& chain, T& object) {
  return chain.read(std::as_writable_bytes(std::span(&object, 1)));
}

// What a request may write beside its status.
u32 data_room(const Chain& chain) { return chain.writable() - kStatusBytes; }

}  // namespace

bool RequestServer::serve(Chain& chain) {
  if (chain.writable() < kStatusBytes) return false;
  const BlockStatus status = perform(chain);
  chain.skip_writable(data_room(chain));
  return chain.write(std::as_bytes(std::span(&status, 1)));
}

BlockStatus RequestServer::perform(Chain& chain) {
  Header header{};
  if (!read_object(chain, header)) return BlockStatus::kIoError;
  switch (Kind{header.kind}) {
    case Kind::kIn:
      return read(chain, header.sector);
    case Kind::kOut:
      return write(chain, header.sector);
    case Kind::kFlush:
      return flush();
    case Kind::kGetId:
      return tell_id(chain);
    case Kind::kDiscard:
    case Kind::kWriteZeroes:
      return release_all(chain, Kind{header.kind});
  }
  return BlockStatus::kUnsupported;
}

bool RequestServer::in_disk(u64 sector, u64 bytes) const {
  const u64 sectors = image_->size().raw >> kSectorShift;
  return bytes % kSectorSize == 0 && sector <= sectors && (bytes >> kSectorShift) <= sectors - sector;
}

BlockStatus RequestServer::status_of(const Result<void>& result) {
  if (result.ok()) return BlockStatus::kOk;
  if (!told_.exchange(true)) {
    log(LogLevel::kError, "disk {}: {}; its guest gets input/output errors (said once)", serial_,
        result.failure().message);
  }
  return BlockStatus::kIoError;
}

BlockStatus RequestServer::read(Chain& chain, u64 sector) {
  if (!in_disk(sector, data_room(chain))) return BlockStatus::kIoError;
  Result<void> result;
  u64 offset = sector << kSectorShift;
  const bool whole = chain.write_in_place(data_room(chain), [&](std::span<std::byte> run) {
    result = image_->read(offset, run);
    offset += run.size();
    return result.ok();
  });
  return whole ? BlockStatus::kOk : status_of(result);
}

BlockStatus RequestServer::write(Chain& chain, u64 sector) {
  if (image_->read_only() || !in_disk(sector, chain.readable())) return BlockStatus::kIoError;
  Result<void> result;
  u64 offset = sector << kSectorShift;
  const bool whole = chain.read_in_place(chain.readable(), [&](std::span<const std::byte> run) {
    result = store(offset, run);
    offset += run.size();
    return result.ok();
  });
  if (!whole) return status_of(result);
  return write_through_ ? flush() : BlockStatus::kOk;
}

// The head tells nearly all other pages apart.
bool RequestServer::begins_with_value(std::span<const std::byte> bytes) const {
  constexpr std::size_t kHead = 32;
  return !value_.empty() && bytes.size() >= kPageSize &&
         std::memcmp(bytes.data(), value_.data(), kHead) == 0 &&
         std::memcmp(bytes.data(), value_.data(), kPageSize) == 0;
}

// A guest that swaps its balloon out writes whole pages.
Result<void> RequestServer::store(u64 offset, std::span<const std::byte> run) {
  while (!run.empty()) {
    const bool is_value = begins_with_value(run);
    std::size_t size = 0;
    do {
      size += std::min<std::size_t>(kPageSize, run.size() - size);
    } while (size < run.size() && begins_with_value(run.subspan(size)) == is_value);
    if (is_value) values_.fetch_add(size >> kPageShift, std::memory_order_relaxed);
    TRY(is_value ? image_->write_value(offset, run.first(size)) : image_->write(offset, run.first(size)));
    offset += size;
    run = run.subspan(size);
  }
  return {};
}

BlockStatus RequestServer::flush() {
  if (flush_failed_) return BlockStatus::kIoError;
  const auto status = status_of(image_->flush());
  if (status != BlockStatus::kOk) flush_failed_ = true;
  return status;
}

BlockStatus RequestServer::tell_id(Chain& chain) {
  std::array<std::byte, kIdBytes> id{};
  const auto text = std::as_bytes(std::span(serial_));
  std::copy_n(text.begin(), std::min(text.size(), id.size()), id.begin());
  const bool told = chain.write(std::span(id).first(std::min<std::size_t>(id.size(), data_room(chain))));
  return told ? BlockStatus::kOk : BlockStatus::kIoError;
}

BlockStatus RequestServer::release_all(Chain& chain, Kind kind) {
  const u32 count = chain.readable() / u32{sizeof(Range)};
  if (image_->read_only() || chain.readable() % sizeof(Range) != 0) return BlockStatus::kIoError;
  if (count == 0 || count > kMaxDiscardSegments) return BlockStatus::kIoError;
  for (u32 i = 0; i < count; ++i) {
    Range range{};
    if (!read_object(chain, range)) return BlockStatus::kIoError;
    const BlockStatus status = release(range, kind);
    if (status != BlockStatus::kOk) return status;
  }
  return write_through_ ? flush() : BlockStatus::kOk;
}

BlockStatus RequestServer::release(const Range& range, Kind kind) {
  const u32 known_flags = kind == Kind::kWriteZeroes ? kUnmapFlag : 0;
  if ((range.flags & ~known_flags) != 0) return BlockStatus::kUnsupported;
  const Bytes size{u64{range.count} << kSectorShift};
  if (range.count > kMaxDiscardSectors || !in_disk(range.sector, size.raw)) return BlockStatus::kIoError;
  if (range.count == 0) return BlockStatus::kOk;
  const u64 offset = range.sector << kSectorShift;
  if (kind == Kind::kDiscard) return image_->discard(offset, size), BlockStatus::kOk;
  const bool unmap = (range.flags & kUnmapFlag) != 0;
  return status_of(
      image_->write_zeroes(offset, size, unmap ? DiskImage::Unmap::kYes : DiskImage::Unmap::kNo));
}

}  // namespace cloister::device::virtio
