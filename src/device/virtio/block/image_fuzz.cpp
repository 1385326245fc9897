// SPDX-License-Identifier: Apache-2.0
// Overlay files of any content: opened, or refused with a reason; and an opened one is a disk that works.
#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>

#include "base/os/file.h"
#include "device/virtio/block/image.h"
#include "device/virtio/block/overlay_format.h"

namespace cloister::device::virtio {
namespace {

constexpr u64 kDiskSize = 3 * kClusterSize + 512;

struct Files {
  Files()
      : folder(std::filesystem::temp_directory_path() /
               ("image_fuzz" + std::to_string(std::random_device()()))) {
    std::filesystem::create_directories(folder);
    CHECK(os::File::open(base, os::Open::kCreate).take().resize(Bytes{kDiskSize}).ok());
    modified = os::File::open(base, os::Open::kRead).take().modified().value();
  }
  ~Files() { std::filesystem::remove_all(folder); }

  const std::filesystem::path folder;
  const std::string base = folder / "base", overlay = folder / "overlay";
  Nanos modified;
};

// A whole overlay for the base, with `input` over its beginning, or over its tables of values, and the length
// that it asks for.
void make_overlay(const Files& files, std::span<const unsigned char> input) {
  const u8 how = input.empty() ? 0 : input[0];
  const bool values = (how & 8) != 0;
  const OverlayLayout layout{{kDiskSize}, files.modified, values ? kOverlayWithValues : kPlainOverlay};
  auto page = encode_overlay(layout);
  const std::size_t at = (how & 1) != 0 ? sizeof(OverlayHeader) : 0;
  const std::size_t count = std::min(input.size(), page.size() - at);
  std::memcpy(page.data() + at, input.data(), count);
  std::filesystem::remove(files.overlay);
  auto file = os::File::open(files.overlay, os::Open::kCreate).take();
  CHECK(file.write_at(0, page).ok());
  if ((how & 2) != 0) CHECK(file.write_at(kPageSize, std::as_bytes(input)).ok());
  const u64 cut = (how & 4) != 0 ? how * u64{1000} : 0;
  const Bytes whole = values ? layout.size_with_values() : layout.plain_size();
  if (values) {
    const std::size_t some = std::min(input.size() - 1, whole.raw - layout.values_offset());
    CHECK(file.write_at(layout.values_offset(), std::as_bytes(input.subspan(1, some))).ok());
  }
  CHECK(file.resize(Bytes{whole.raw - cut}).ok());
}

void use(DiskImage& disk) {
  static constexpr std::array<std::byte, kPageSize> kValue{std::byte{1}, std::byte{2}};
  disk.expect_value(kValue);
  std::array<std::byte, 3000> bytes{};
  const u64 size = disk.size().raw;
  CHECK(size == kDiskSize);
  for (u64 at = 0; at + bytes.size() <= size; at += size / 5) {
    CHECK(disk.read(at, bytes).ok());
    CHECK(disk.write(at, bytes).ok());
  }
  std::array<std::byte, kPageSize> page{};
  CHECK(disk.write_value(kClusterSize, kValue).ok());
  CHECK(disk.flush().ok());
  CHECK(disk.read(kClusterSize, page).ok());
  CHECK(page == kValue);
  disk.discard(0, disk.size());
}

}  // namespace
}  // namespace cloister::device::virtio

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace cloister::device::virtio;
  static const Files files;
  const auto header = decode_overlay(std::as_bytes(std::span(data, size)), "input");
  CHECK(header.ok() || !header.failure().message.empty());
  make_overlay(files, {data, size});
  const auto disk = open_disk({files.base, files.overlay});
  if (disk.ok()) use(**disk);
  return 0;
}
