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

u64 least_memory(const BootContent& content) {
  const u64 kernel_end = content.kernel.text_offset + content.kernel.image_size;
  return round_up(kernel_end + kWorkingRoom + kMaxDeviceTree.raw + round_up(content.initrd.size(), kPageSize),
                  kMiB);
}

// The host's huge page: memory is made so much at a time, which costs it a tenth of what single pages do.
constexpr u64 kPiece = os::Mapping::kHugePage;

// But for pages of zeros.
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

Result<void> copy(BootFile& file, GuestPhys to, memory::GuestMemory& memory) {
  for (u64 at = 0; at < file.size();) {
    const auto piece = file.at(at, kPiece - (to + at).raw % kPiece);
    if (file.failure()) return *file.failure();
    copy(piece, to + at, memory);
    at += piece.size();
  }
  return {};
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
  content.kernel = TRY(parse_kernel(TRY(BootFile::of(kernel_, kMaxKernel)), kernel_.path()));
  if (!initrd_) return content;
  content.initrd = TRY(BootFile::of(*initrd_, kMaxInitrd));
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

Result<void> load(BootContent& content, const Placement& placement, const std::vector<std::byte>& tree,
                  memory::GuestMemory& memory) {
  CHECK(tree.size() <= kMaxDeviceTree.raw);
  TRY(copy(content.kernel.content, placement.kernel, memory));
  copy(tree, placement.tree, memory);
  return copy(content.initrd, placement.initrd, memory);
}

}  // namespace cloister::machine
