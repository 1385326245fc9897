// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/units.h"

// Small kernels and initrds for tests.
namespace cloister::machine::testing {

inline std::vector<std::byte> bytes(std::string_view text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

template <typename T>
void put(std::vector<std::byte>& to, std::size_t offset, T value) {
  CHECK(offset + sizeof(value) <= to.size());
  std::memcpy(to.data() + offset, &value, sizeof(value));
}

// A riscv64 Image of `size` bytes whose code begins with `code`.
inline std::vector<std::byte> image(std::size_t size, std::vector<u32> code = {}) {
  constexpr u32 kJumpOverHeader = 0x0400006f;  // j .+64
  std::vector<std::byte> content(size);
  put(content, 0, kJumpOverHeader);
  put(content, 8, u64{2 * kMiB});
  put(content, 16, u64{size});
  std::memcpy(content.data() + 48, "RISCV\0\0\0RSC\x05", 12);
  for (std::size_t i = 0; i < code.size(); ++i) put(content, 64 + 4 * i, code[i]);
  return content;
}

inline std::vector<std::byte> gzip(std::span<const std::byte> content) {
  z_stream stream{};
  CHECK(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::vector<std::byte> packed(deflateBound(&stream, content.size()));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  deflateEnd(&stream);
  return {packed.begin(), packed.end() - stream.avail_out};
}

inline std::string cpio_file(std::string_view name, std::string_view data) {
  constexpr const char* kFormat = "070701%08x%08x%08x%08x%08x%08x%08zx%08x%08x%08x%08x%08zx%08x";
  char header[111];
  std::snprintf(header, sizeof(header), kFormat, 1, 0x81a4, 0, 0, 1, 0, data.size(), 0, 0, 0, 0,
                name.size() + 1, 0);
  std::string file = header + std::string(name) + '\0';
  file.resize((file.size() + 3) / 4 * 4);
  file += data;
  file.resize((file.size() + 3) / 4 * 4);
  return file;
}

inline std::string cpio() { return cpio_file("init", "#!/bin/sh\n") + cpio_file("TRAILER!!!", ""); }

}  // namespace cloister::machine::testing
