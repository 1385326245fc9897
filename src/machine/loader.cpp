// SPDX-License-Identifier: Apache-2.0
#include "machine/loader.h"

#include <algorithm>

#include "base/check.h"
#include "base/os/mapping.h"
#include "base/size.h"
#include "machine/address_map.h"
#include "machine/initrd.h"

namespace cloister::machine {
namespace {

// Room that Linux needs beside its image and the initrd before it can free either: its page array, early page
// tables and an unpacked initramfs' first files.
constexpr u64 kWorkingRoom = 16 * kMiB;
// Bound: an initrd that unpacks must fit in memory twice anyway.
constexpr Bytes kMaxInitrd{2 * kGiB};

constexpr u64 round_down(u64 value, u64 to) { return value / to * to; }

Result<std::vector<std::byte>> read_file(const os::File& file, Bytes limit) {
  const Bytes size = TRY(file.size());
  if (size > limit)
    return error("{} has {}, over the limit of {}: is it the right file?", file.path(), format_size(size),
                 format_size(limit));
  std::vector<std::byte> content;
  content.reserve(size.raw);
  os::allow_huge_pages({content.data(), size.raw});
  content.resize(size.raw);
  TRY(file.read_at(0, content));
  return content;
}

u64 least_memory(const BootContent& content) {
  const u64 kernel_end = content.kernel.text_offset + content.kernel.image_size;
  return round_up(kernel_end + kWorkingRoom + kMaxDeviceTree.raw + round_up(content.initrd.size(), kPageSize),
                  kMiB);
}

// Many pages at once, for the first write to a run of pages costs the host less than to each of them.
void copy(std::span<const std::byte> bytes, GuestPhys to, memory::GuestMemory& memory) {
  const auto is_zero = [bytes](u64 at) {
    const auto page = bytes.subspan(at, std::min<u64>(kPageSize, bytes.size() - at));
    return std::all_of(page.begin(), page.end(), [](std::byte b) { return b == std::byte{0}; });
  };
  for (u64 at = 0, end = 0; at < bytes.size(); at = end + kPageSize) {
    for (end = at; end < bytes.size() && !is_zero(end);) end += kPageSize;
    const u64 size = std::min<u64>(end, bytes.size()) - at;
    CHECK(size == 0 || memory.write(to + at, bytes.subspan(at, size)));
  }
}

}  // namespace

Result<BootFiles> BootFiles::open(const std::string& kernel, const std::string& initrd) {
  if (kernel.empty()) return error("no kernel is named: give one with --kernel");
  os::File kernel_file = TRY(os::File::open(kernel, os::Open::kRead));
  std::optional<os::File> initrd_file;
  if (!initrd.empty()) initrd_file = TRY(os::File::open(initrd, os::Open::kRead));
  return BootFiles(std::move(kernel_file), std::move(initrd_file));
}

Result<BootContent> BootFiles::read() const {
  BootContent content;
  content.kernel = TRY(parse_kernel(TRY(read_file(kernel_, kMaxKernel)), kernel_.path()));
  if (!initrd_) return content;
  content.initrd = TRY(read_file(*initrd_, kMaxInitrd));
  TRY(check_initrd(content.initrd, initrd_->path()));
  return content;
}

Result<Placement> place(const BootContent& content, Bytes memory) {
  const u64 least = least_memory(content);
  if (memory.raw < least)
    return error("{} of memory is too small: this kernel{} needs at least {}", format_size(memory),
                 content.initrd.empty() ? "" : " with this initrd", format_size(Bytes{least}));
  const GuestPhys end = kMemoryBase + memory.raw;
  const GuestPhys initrd{round_down(end.raw - content.initrd.size(), kPageSize)};
  const GuestPhys tree{round_down(initrd.raw - kMaxDeviceTree.raw, kPageSize)};
  const GuestPhys kernel = kMemoryBase + content.kernel.text_offset;
  CHECK(kernel.raw + content.kernel.image_size <= tree.raw);
  return Placement{kernel, tree, initrd};
}

void load(const BootContent& content, const Placement& placement, const std::vector<std::byte>& tree,
          memory::GuestMemory& memory) {
  CHECK(tree.size() <= kMaxDeviceTree.raw);
  copy(content.kernel.content, placement.kernel, memory);
  copy(tree, placement.tree, memory);
  copy(content.initrd, placement.initrd, memory);
}

}  // namespace cloister::machine
