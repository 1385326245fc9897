// SPDX-License-Identifier: Apache-2.0
#include "machine/kernel_image.h"

#include <cstring>
#include <string_view>

#include "machine/gzip.h"

namespace cloister::machine {
namespace {

constexpr u64 kLoadAlign = 2 * kMiB;  // the kernel maps itself by pages of 2 MiB
constexpr u32 kMagic2 = 0x05435352;   // "RSC\x05"
constexpr u64 kFlagBigEndian = 1;

// boot-image-header.rst. Little-endian, as is the host.
struct Header {
  u32 code[2];
  u64 text_offset;
  u64 image_size;
  u64 flags;
  u32 version;
  u32 reserved1;
  u64 reserved2;
  u64 magic;
  u32 magic2;
  u32 reserved3;
};
static_assert(sizeof(Header) == 64);

// What people hand over by mistake, told by the bytes at a place.
struct Foreigner {
  std::size_t offset;
  std::string_view magic;
  std::string_view what;
};
constexpr Foreigner kForeigners[] = {
    {0x202, "HdrS", "an x86 kernel (bzImage)"},
    {0x38, "ARM\x64", "an arm64 kernel"},
    {4, "zimg", "an EFI compressed kernel (vmlinuz.efi)"},
    {0,
     "\x7f"
     "ELF",
     "an ELF file"},
    {0, "\x28\xb5\x2f\xfd", "compressed by zstd"},
    {0,
     std::string_view("\xfd"
                      "7zXZ\0",
                      6),
     "compressed by xz"},
    {0, "BZh", "compressed by bzip2"},
    {0, "\x02\x21\x4c\x18", "compressed by lz4"},
    {0, "\x89LZO", "compressed by lzop"},
    {0, "!<arch>", "a package, not the kernel in it"},
    {0, "070701", "a cpio archive, maybe the initrd"},
    {0, "\x27\x05\x19\x56", "a U-Boot image"},
    {0, "MZ", "an EFI program for another kind of machine"},
};

bool has_at(BootFile& file, u64 offset, std::string_view magic) {
  const auto found = file.at(offset, magic.size());
  return found.size() == magic.size() && std::memcmp(found.data(), magic.data(), magic.size()) == 0;
}

Error foreign(BootFile& file, const std::string& name) {
  for (const Foreigner& foreigner : kForeigners) {
    if (has_at(file, foreigner.offset, foreigner.magic))
      return error("kernel {} is {}: give the Image of a riscv64 kernel, plain or in gzip", name,
                   foreigner.what);
  }
  return error("kernel {} is no RISC-V Linux Image: give the Image of a riscv64 kernel, plain or in gzip",
               name);
}

Result<void> check(const Header& header, u64 file_size, const std::string& name) {
  if ((header.flags & kFlagBigEndian) != 0)
    return error("kernel {} is big-endian: give a little-endian one", name);
  if (header.text_offset % kLoadAlign != 0)
    return error("kernel {} wants to be loaded at offset {:#x}, no multiple of 2 MiB: its header is damaged",
                 name, header.text_offset);
  if (header.image_size > kMaxKernel.raw || header.text_offset > kMaxKernel.raw)
    return error(
        "kernel {} says that it takes {:#x} bytes at offset {:#x}, more than {} MiB: its header is damaged",
        name, header.image_size, header.text_offset, kMaxKernel.raw / kMiB);
  if (header.image_size < file_size)
    return error("kernel {} has {} bytes, but its header says {}: its header is damaged", name, file_size,
                 header.image_size);
  return {};
}

// Zero past the end: a truncated header names nothing.
template <typename T>
T number_at(BootFile& file, u64 offset) {
  T value = 0;
  const auto found = file.at(offset, sizeof(value));
  if (found.size() == sizeof(value)) std::memcpy(&value, found.data(), sizeof(value));
  return value;
}

// Where the file should end. The Image's own header tells only its size in memory, with BSS; but kernels are
// EFI programs too, and the section table in their PE header tells what lies in the file (Microsoft's PE
// format, "COFF file header" and "Section table"). 0: no such header.
u64 end_by_sections(BootFile& file, u32 pe) {
  constexpr std::size_t kSections = 6;
  constexpr std::size_t kOptionalSize = 20;
  constexpr std::size_t kHeader = 24;
  constexpr std::size_t kSectionSize = 40;
  if (!has_at(file, pe, std::string_view("PE\0\0", 4))) return 0;
  const std::size_t table = std::size_t{pe} + kHeader + number_at<u16>(file, pe + kOptionalSize);
  u64 end = 0;
  for (std::size_t i = 0; i < number_at<u16>(file, pe + kSections); ++i) {
    const std::size_t section = table + i * kSectionSize;
    end = std::max(end, u64{number_at<u32>(file, section + 16)} + number_at<u32>(file, section + 20));
  }
  return end;
}

}  // namespace

Result<KernelImage> parse_kernel(BootFile file, const std::string& name) {
  if (is_gzip(file.at(0, 3))) file = BootFile(TRY(gunzip(file, kMaxKernel, "kernel " + name)));
  Header header;
  const auto head = file.at(0, sizeof(header));
  if (file.failure()) return *file.failure();
  if (file.size() <= sizeof(header))
    return error("kernel {} has only {} bytes: it is truncated, copy it again", name, file.size());
  std::memcpy(&header, head.data(), sizeof(header));
  if (header.magic2 != kMagic2) return foreign(file, name);
  TRY(check(header, file.size(), name));
  if (header.reserved3 >= file.size())
    return error(
        "kernel {} has only {} bytes, and its PE header should be at {}: it is truncated, copy it again",
        name, file.size(), header.reserved3);
  const u64 end = end_by_sections(file, header.reserved3);
  if (file.failure()) return *file.failure();
  if (file.size() < end)
    return error("kernel {} has {} bytes of {}: it is truncated, copy it again", name, file.size(), end);
  return KernelImage{std::move(file), header.text_offset, header.image_size};
}

}  // namespace cloister::machine
