// SPDX-License-Identifier: Apache-2.0
#include "memory/codec.h"

#include <lz4.h>
#include <zstd.h>

#include <memory>

#include "base/check.h"

namespace cloister::memory {
namespace {

constexpr int kZstdLevel = 3;

struct Free {
  void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
};

// Working memory, one for each thread that packs: making it anew costs more than packing a page.
ZSTD_CCtx* compressor() {
  thread_local const std::unique_ptr<ZSTD_CCtx, Free> context(ZSTD_createCCtx());
  CHECK(context != nullptr);
  return context.get();
}
ZSTD_DCtx* decompressor() {
  thread_local const std::unique_ptr<ZSTD_DCtx, Free> context(ZSTD_createDCtx());
  CHECK(context != nullptr);
  return context.get();
}

const char* chars(const std::byte* bytes) { return reinterpret_cast<const char*>(bytes); }

std::size_t pack_lz4(std::span<const std::byte, kPageSize> page, std::span<std::byte, kMostPacked> to) {
  const int size = LZ4_compress_default(chars(page.data()), reinterpret_cast<char*>(to.data()),
                                        static_cast<int>(kPageSize), static_cast<int>(kMostPacked));
  return size > 0 ? static_cast<std::size_t>(size) : 0;
}

std::size_t pack_zstd(std::span<const std::byte, kPageSize> page, std::span<std::byte, kMostPacked> to) {
  const std::size_t size =
      ZSTD_compressCCtx(compressor(), to.data(), kMostPacked, page.data(), kPageSize, kZstdLevel);
  return ZSTD_isError(size) != 0 ? 0 : size;
}

}  // namespace

std::size_t pack(Codec codec, std::span<const std::byte, kPageSize> page,
                 std::span<std::byte, kMostPacked> to) {
  return codec == Codec::kLz4 ? pack_lz4(page, to) : pack_zstd(page, to);
}

void unpack(Codec codec, std::span<const std::byte> packed, std::span<std::byte, kPageSize> page) {
  if (codec == Codec::kLz4) {
    const int size = LZ4_decompress_safe(chars(packed.data()), reinterpret_cast<char*>(page.data()),
                                         static_cast<int>(packed.size()), static_cast<int>(kPageSize));
    CHECK(size == static_cast<int>(kPageSize));
  } else {
    CHECK(ZSTD_decompressDCtx(decompressor(), page.data(), kPageSize, packed.data(), packed.size()) ==
          kPageSize);
  }
}

}  // namespace cloister::memory
