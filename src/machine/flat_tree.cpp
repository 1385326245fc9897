// SPDX-License-Identifier: Apache-2.0
#include "machine/flat_tree.h"

#include <libfdt.h>

#include "base/check.h"

namespace cloister::machine {
namespace {

void append_big_endian(std::vector<std::byte>& to, u64 value, u32 bytes) {
  for (u32 shift = bytes * 8; shift != 0; shift -= 8)
    to.push_back(static_cast<std::byte>(value >> (shift - 8)));
}

}  // namespace

FlatTree::FlatTree(Bytes limit) : blob_(limit.raw) {
  note(fdt_create(blob_.data(), static_cast<int>(limit.raw)));
  note(fdt_finish_reservemap(blob_.data()));
}

void FlatTree::note(int status) {
  if (failure_ == 0) failure_ = status;
}

void FlatTree::begin(const std::string& node) { note(fdt_begin_node(blob_.data(), node.c_str())); }
void FlatTree::end() { note(fdt_end_node(blob_.data())); }
void FlatTree::flag(const char* name) { bytes(name, {}); }

void FlatTree::cells(const char* name, std::span<const u32> values) {
  std::vector<std::byte> raw;
  for (const u32 value : values) append_big_endian(raw, value, 4);
  bytes(name, raw);
}

void FlatTree::wide(const char* name, std::initializer_list<u64> values) {
  std::vector<std::byte> raw;
  for (const u64 value : values) append_big_endian(raw, value, 8);
  bytes(name, raw);
}

void FlatTree::text(const char* name, const std::string& value) {
  bytes(name, std::as_bytes(std::span(value.c_str(), value.size() + 1)));
}

void FlatTree::texts(const char* name, std::span<const std::string_view> values) {
  std::string joined;
  for (const std::string_view value : values) {
    joined += value;
    joined += '\0';
  }
  bytes(name, std::as_bytes(std::span(joined)));
}

void FlatTree::bytes(const char* name, std::span<const std::byte> value) {
  note(fdt_property(blob_.data(), name, value.data(), static_cast<int>(value.size())));
}

Result<std::vector<std::byte>> FlatTree::finish() {
  note(fdt_finish(blob_.data()));
  if (failure_ == -FDT_ERR_NOSPACE)
    return error("the device tree does not fit {} bytes: configure fewer devices or harts", blob_.size());
  if (failure_ != 0) return error("the device tree cannot be made: {}", fdt_strerror(failure_));
  const std::size_t size = fdt_totalsize(blob_.data());
  CHECK(size <= blob_.size());
  blob_.resize(size);
  return std::move(blob_);
}

}  // namespace cloister::machine
