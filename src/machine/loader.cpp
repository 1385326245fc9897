// SPDX-License-Identifier: Apache-2.0
#include "machine/loader.h"

#include <algorithm>
#include <atomic>

#include "base/check.h"
#include "base/os/mapping.h"
#include "base/os/thread.h"
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
constexpr u64 kPieceSize = os::Mapping::kHugePage;
// Bound: stays in a CPU's cache until it is copied.
constexpr u64 kReadSize = 256 * kKiB;

// Of a file, and where it goes.
struct Piece {
  const BootFile* file;
  u64 offset;
  u64 size;
  GuestPhys to;
};

void cut(const BootFile& file, GuestPhys to, std::vector<Piece>& pieces) {
  for (u64 at = 0, size = 0; at < file.size(); at += size) {
    size = std::min(kPieceSize - (to + at).raw % kPieceSize, file.size() - at);
    pieces.push_back({&file, at, size, to + at});
  }
}

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

// Takes from `next` on what nobody else takes, until nothing is left.
Result<void> copy(const std::vector<Piece>& pieces, std::atomic<std::size_t>& next,
                  memory::GuestMemory& memory) {
  std::vector<std::byte> buffer(kReadSize);
  for (std::size_t i = next++; i < pieces.size(); i = next++) {
    const Piece& piece = pieces[i];
    for (u64 at = 0; at < piece.size; at += kReadSize) {
      const auto part = std::span(buffer).first(std::min(kReadSize, piece.size - at));
      TRY(piece.file->read(piece.offset + at, part));
      copy(part, piece.to + at, memory);
    }
  }
  return {};
}

// Two threads do it, for no hart runs yet, and the most of the time goes where memory is first touched.
Result<void> copy(const std::vector<Piece>& pieces, memory::GuestMemory& memory) {
  std::atomic<std::size_t> next{0};
  Result<void> others;
  {
    const auto helper = os::Thread::start("loader", [&] { others = copy(pieces, next, memory); });
    TRY(copy(pieces, next, memory));
  }
  return others;
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

Result<void> load(const BootContent& content, const Placement& placement, const std::vector<std::byte>& tree,
                  memory::GuestMemory& memory) {
  CHECK(tree.size() <= kMaxDeviceTree.raw);
  copy(tree, placement.tree, memory);
  std::vector<Piece> pieces;
  cut(content.kernel.content, placement.kernel, pieces);
  cut(content.initrd, placement.initrd, pieces);
  return copy(pieces, memory);
}

}  // namespace cloister::machine
