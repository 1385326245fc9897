// SPDX-License-Identifier: Apache-2.0
// Block requests of a hostile guest, against a small disk in memory. The disk CHECKs what the device owes it:
// ranges inside, nothing changed when read-only.
#include <algorithm>
#include <array>
#include <vector>

#include "device/virtio/block/block.h"
#include "device/virtio/testing/device_fuzz.h"

namespace cloister::device::virtio {
namespace {

class StrictDisk final : public DiskImage {
 public:
  explicit StrictDisk(bool read_only) : read_only_(read_only) {}
  Bytes size() const override { return {bytes_.size()}; }
  bool read_only() const override { return read_only_; }
  Result<void> read(u64 offset, std::span<std::byte> to) override {
    std::copy_n(range(offset, to.size()), to.size(), to.begin());
    return {};
  }
  Result<void> write(u64 offset, std::span<const std::byte> from) override {
    CHECK(!read_only_);
    std::copy(from.begin(), from.end(), range(offset, from.size()));
    return {};
  }
  void expect_value(std::span<const std::byte> page) override { value_ = page; }
  Result<void> write_value(u64 offset, std::span<const std::byte> pages) override {
    CHECK(pages.size() % kPageSize == 0);
    for (u64 at = 0; at < pages.size(); at += kPageSize)
      CHECK(std::equal(value_.begin(), value_.end(), pages.begin() + static_cast<std::ptrdiff_t>(at)));
    return write(offset, pages);
  }
  Result<void> write_zeroes(u64 offset, Bytes count, Unmap) override {
    CHECK(!read_only_);
    std::fill_n(range(offset, count.raw), count.raw, std::byte{0});
    return {};
  }
  void discard(u64 offset, Bytes count) override {
    CHECK(!read_only_);
    range(offset, count.raw);
  }
  Result<void> flush() override { return {}; }

 private:
  std::vector<std::byte>::iterator range(u64 offset, u64 count) {
    CHECK(offset <= bytes_.size() && count <= bytes_.size() - offset);
    return bytes_.begin() + static_cast<std::ptrdiff_t>(offset);
  }
  const bool read_only_;
  std::span<const std::byte> value_;
  std::vector<std::byte> bytes_ = std::vector<std::byte>(64 * kSectorSize);
};

std::unique_ptr<Block> make_disk(bool read_only) {
  // What the guest's memory is full of before anything is written there.
  static constexpr std::array<std::byte, kPageSize> kValue{};
  auto disk = Block::create(std::make_unique<StrictDisk>(read_only), "disk0", BlockExecution::kInline).take();
  disk->expect_value(kValue);
  return disk;
}

}  // namespace
}  // namespace cloister::device::virtio

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace cloister::device::virtio;
  static const auto writable = make_disk(false), fixed = make_disk(true);
  static testing::DeviceFuzz fuzz_writable(*writable), fuzz_fixed(*fixed);
  if (size == 0) return 0;
  ((data[0] & 1) != 0 ? fuzz_fixed : fuzz_writable).run({data + 1, size - 1});
  return 0;
}
