// SPDX-License-Identifier: Apache-2.0
//
// An initrd is a sequence of parts with zeros between them
// (Documentation/driver-api/early-userspace/buffer-format.rst). Each part is a cpio archive or a compressed
// one. A part is measured by walking its format's own lengths, so that a file cut short by a failed copy is
// found before a guest starts and dies with "junk in compressed archive". The formats without lengths (bzip2,
// lzma, lzop) are taken on trust to the end of the file.
#include "machine/initrd.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "base/units.h"
#include "machine/gzip.h"

namespace cloister::machine {
namespace {

bool starts_with(std::span<const std::byte> content, std::string_view magic) {
  return content.size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), content.begin(), [](char c, std::byte b) {
           return static_cast<unsigned char>(c) == std::to_integer<u8>(b);
         });
}
bool starts_with(BootFile& file, u64 at, std::string_view magic) {
  return starts_with(file.at(at, magic.size()), magic);
}

// Little-endian; nothing when the file ends first.
std::optional<u64> number_at(BootFile& file, u64 at, u64 bytes) {
  const auto found = file.at(at, bytes);
  if (found.size() < bytes) return std::nullopt;
  u64 value = 0;
  for (std::size_t i = bytes; i-- > 0;) value = value << 8 | std::to_integer<u64>(found[i]);
  return value;
}

// The measures below return where the part that begins at `at` ends, or nothing when the file ends too early.

std::optional<u64> hex_field(std::span<const std::byte> header, std::size_t index) {
  constexpr std::size_t kMagic = 6;
  constexpr std::size_t kField = 8;
  const auto* const begin = reinterpret_cast<const char*>(header.data()) + kMagic + index * kField;
  u64 value = 0;
  const auto [end, failure] = std::from_chars(begin, begin + kField, value, 16);
  if (failure != std::errc() || end != begin + kField) return std::nullopt;
  return value;
}

// newc: a header of 110 characters, the name, the data; name and data padded to 4. The last file is
// TRAILER!!!.
std::optional<u64> end_of_cpio(BootFile& file, u64 at) {
  constexpr u64 kHeader = 110;
  constexpr std::size_t kFileSize = 6;
  constexpr std::size_t kNameSize = 11;
  constexpr std::string_view kLast = "TRAILER!!!";
  for (;;) {
    const auto header = file.at(at, kHeader + kLast.size());
    if (header.size() < kHeader || !starts_with(header, "07070")) return std::nullopt;
    const auto size = hex_field(header, kFileSize);
    const auto name_size = hex_field(header, kNameSize);
    if (!size || !name_size) return std::nullopt;
    const u64 end = at + round_up(round_up(kHeader + *name_size, 4) + *size, 4);
    if (starts_with(header.subspan(kHeader), kLast)) return std::min(end, file.size());
    if (end > file.size()) return std::nullopt;
    at = end;
  }
}

// RFC 8878, 3.1.1: a frame header, then blocks with their sizes, the last one marked, then maybe a checksum.
std::optional<u64> end_of_zstd(BootFile& file, u64 at) {
  constexpr std::size_t kMagic = 4;
  const auto descriptor = number_at(file, at + kMagic, 1);
  if (!descriptor) return std::nullopt;
  const bool single_segment = (*descriptor & 0x20) != 0;
  constexpr u64 kDictionaryBytes[] = {0, 1, 2, 4};
  const u64 size_bytes[] = {single_segment ? u64{1} : u64{0}, 2, 4, 8};
  at += kMagic + 1 + (single_segment ? 0 : 1) + kDictionaryBytes[*descriptor & 3] +
        size_bytes[*descriptor >> 6];
  for (bool last = false; !last;) {
    const auto block = number_at(file, at, 3);
    if (!block) return std::nullopt;
    last = (*block & 1) != 0;
    const bool run_length = (*block >> 1 & 3) == 1;
    at += 3 + (run_length ? 1 : *block >> 3);
  }
  if ((*descriptor & 4) != 0) at += 4;
  return at <= file.size() ? std::optional(at) : std::nullopt;
}

// The legacy frame that the kernel uses: blocks with their sizes up to the end, or to another magic number.
std::optional<u64> end_of_lz4(BootFile& file, u64 at) {
  constexpr u64 kLargestBlock = 16 * kMiB;  // 8 MiB of content cannot take more
  at += 4;
  while (at < file.size()) {
    const auto size = number_at(file, at, 4);
    if (size && (*size == 0 || *size > kLargestBlock)) return at;
    if (!size || *size > file.size() - at - 4) return std::nullopt;
    at += 4 + *size;
  }
  return at;
}

// .xz file format 1.1, 2.1.2: a stream ends with a footer, and so with "YZ"; then zeros may follow, by fours.
std::optional<u64> end_of_xz(BootFile& file, u64 at) {
  u64 end = file.size();
  while (end >= at + 4 && number_at(file, end - 4, 4) == 0) end -= 4;
  if (end < at + 12 || !starts_with(file, end - 2, "YZ")) return std::nullopt;
  return file.size();
}

std::optional<u64> end_of_gzip(BootFile& file, u64 at) {
  const auto size = measure_gzip(file, at, "");
  return size.ok() ? std::optional(at + size->raw) : std::nullopt;
}

std::optional<u64> take_all(BootFile& file, u64) { return file.size(); }

struct Format {
  std::string_view magic;
  std::optional<u64> (*end)(BootFile& file, u64 at);
};
constexpr Format kFormats[] = {
    {"070701", end_of_cpio},
    {"070702", end_of_cpio},
    {"\x1f\x8b", end_of_gzip},
    {"\x28\xb5\x2f\xfd", end_of_zstd},
    {std::string_view("\xfd"
                      "7zXZ\0",
                      6),
     end_of_xz},
    {"\x02\x21\x4c\x18", end_of_lz4},
    {"BZh", take_all},
    {std::string_view("\x5d\0\0", 3), take_all},
    {std::string_view("\x89LZO\0", 5), take_all},
};

const Format* format_at(BootFile& file, u64 at) {
  for (const Format& format : kFormats)
    if (starts_with(file, at, format.magic)) return &format;
  return nullptr;
}

}  // namespace

Result<void> check_initrd(BootFile& file, const std::string& name) {
  if (file.empty()) return error("initrd {} is empty: give an initramfs, or none", name);
  for (u64 at = 0; at < file.size();) {
    if (number_at(file, at, 1) == 0) {
      ++at;
      continue;
    }
    const Format* const format = format_at(file, at);
    const auto end = format != nullptr ? format->end(file, at) : std::nullopt;
    if (file.failure()) return *file.failure();
    if (format == nullptr)
      return error("initrd {} has neither a cpio archive nor a compressed one at byte {}: give an initramfs",
                   name, at);
    if (!end)
      return error("initrd {} is truncated or damaged in the part from byte {}: copy it again", name, at);
    at = *end;
  }
  return {};
}

}  // namespace cloister::machine
