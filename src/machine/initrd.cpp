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

using Content = std::span<const std::byte>;

bool starts_with(Content content, std::string_view magic) {
  return content.size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), content.begin(), [](char c, std::byte b) {
           return static_cast<unsigned char>(c) == std::to_integer<u8>(b);
         });
}

// Little-endian; nothing when the content ends first.
std::optional<u64> number_at(Content content, std::size_t offset, std::size_t bytes) {
  if (offset > content.size() || content.size() - offset < bytes) return std::nullopt;
  u64 value = 0;
  for (std::size_t i = bytes; i-- > 0;) value = value << 8 | std::to_integer<u64>(content[offset + i]);
  return value;
}

// The measures below return how many bytes the part at the start of `content` takes, or nothing when it ends
// too early.

std::optional<u64> hex_field(Content content, std::size_t index) {
  constexpr std::size_t kMagic = 6;
  constexpr std::size_t kField = 8;
  const auto* const begin = reinterpret_cast<const char*>(content.data()) + kMagic + index * kField;
  u64 value = 0;
  const auto [end, failure] = std::from_chars(begin, begin + kField, value, 16);
  if (failure != std::errc() || end != begin + kField) return std::nullopt;
  return value;
}

// newc: a header of 110 characters, the name, the data; name and data padded to 4. The last file is
// TRAILER!!!.
std::optional<u64> measure_cpio(Content content) {
  constexpr u64 kHeader = 110;
  constexpr std::size_t kFileSize = 6;
  constexpr std::size_t kNameSize = 11;
  u64 at = 0;
  while (at <= content.size() && content.size() - at >= kHeader) {
    const Content file = content.subspan(at);
    if (!starts_with(file, "07070")) return std::nullopt;
    const auto size = hex_field(file, kFileSize);
    const auto name_size = hex_field(file, kNameSize);
    if (!size || !name_size) return std::nullopt;
    const u64 total = round_up(round_up(kHeader + *name_size, 4) + *size, 4);
    const bool last = starts_with(file.subspan(kHeader), "TRAILER!!!");
    if (last) return std::min<u64>(at + total, content.size());
    if (total > file.size()) return std::nullopt;
    at += total;
  }
  return std::nullopt;
}

// RFC 8878, 3.1.1: a frame header, then blocks with their sizes, the last one marked, then maybe a checksum.
std::optional<u64> measure_zstd(Content content) {
  constexpr std::size_t kMagic = 4;
  const auto descriptor = number_at(content, kMagic, 1);
  if (!descriptor) return std::nullopt;
  const bool single_segment = (*descriptor & 0x20) != 0;
  constexpr u64 kDictionaryBytes[] = {0, 1, 2, 4};
  const u64 size_bytes[] = {single_segment ? u64{1} : u64{0}, 2, 4, 8};
  u64 at = kMagic + 1 + (single_segment ? 0 : 1) + kDictionaryBytes[*descriptor & 3] +
           size_bytes[*descriptor >> 6];
  for (bool last = false; !last;) {
    const auto block = number_at(content, at, 3);
    if (!block) return std::nullopt;
    last = (*block & 1) != 0;
    const bool run_length = (*block >> 1 & 3) == 1;
    at += 3 + (run_length ? 1 : *block >> 3);
  }
  if ((*descriptor & 4) != 0) at += 4;
  return at <= content.size() ? std::optional(at) : std::nullopt;
}

// The legacy frame that the kernel uses: blocks with their sizes up to the end, or to another magic number.
std::optional<u64> measure_lz4(Content content) {
  constexpr u64 kLargestBlock = 16 * kMiB;  // 8 MiB of content cannot take more
  u64 at = 4;
  while (at < content.size()) {
    const auto size = number_at(content, at, 4);
    if (size && (*size == 0 || *size > kLargestBlock)) return at;
    if (!size || *size > content.size() - at - 4) return std::nullopt;
    at += 4 + *size;
  }
  return at;
}

// .xz file format 1.1, 2.1.2: a stream ends with a footer, and so with "YZ"; then zeros may follow, by fours.
std::optional<u64> measure_xz(Content content) {
  std::size_t end = content.size();
  while (end >= 4 && *number_at(content, end - 4, 4) == 0) end -= 4;
  if (end < 12 || !starts_with(content.subspan(end - 2), "YZ")) return std::nullopt;
  return content.size();
}

std::optional<u64> measure_gz(Content content) {
  const auto size = measure_gzip(content, "");
  return size.ok() ? std::optional(size->raw) : std::nullopt;
}

std::optional<u64> take_all(Content content) { return content.size(); }

struct Format {
  std::string_view magic;
  std::optional<u64> (*measure)(Content);
};
constexpr Format kFormats[] = {
    {"070701", measure_cpio},
    {"070702", measure_cpio},
    {"\x1f\x8b", measure_gz},
    {"\x28\xb5\x2f\xfd", measure_zstd},
    {std::string_view("\xfd"
                      "7zXZ\0",
                      6),
     measure_xz},
    {"\x02\x21\x4c\x18", measure_lz4},
    {"BZh", take_all},
    {std::string_view("\x5d\0\0", 3), take_all},
    {std::string_view("\x89LZO\0", 5), take_all},
};

const Format* format_of(Content content) {
  for (const Format& format : kFormats)
    if (starts_with(content, format.magic)) return &format;
  return nullptr;
}

}  // namespace

Result<void> check_initrd(std::span<const std::byte> content, const std::string& name) {
  if (content.empty()) return error("initrd {} is empty: give an initramfs, or none", name);
  for (Content rest = content; !rest.empty();) {
    if (rest[0] == std::byte{0}) {
      rest = rest.subspan(1);
      continue;
    }
    const Format* const format = format_of(rest);
    const std::size_t at = content.size() - rest.size();
    if (format == nullptr)
      return error("initrd {} has neither a cpio archive nor a compressed one at byte {}: give an initramfs",
                   name, at);
    const auto size = format->measure(rest);
    if (!size)
      return error("initrd {} is truncated or damaged in the part from byte {}: copy it again", name, at);
    rest = rest.subspan(*size);
  }
  return {};
}

}  // namespace cloister::machine
