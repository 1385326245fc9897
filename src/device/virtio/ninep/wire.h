// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/units.h"

// The bytes of 9P messages: little-endian numbers, strings with a 16-bit length before them.
namespace cloister::device::virtio::ninep {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they lie");

// Takes a message apart. What is not there reads as zero and spoils the reader for good, so a message is
// read whole and checked once, with complete().
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}

  u8 byte() { return number<u8>(); }
  u16 half() { return number<u16>(); }
  u32 word() { return number<u32>(); }
  u64 quad() { return number<u64>(); }
  std::string text() {
    const auto bytes = take(half());
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::span<const std::byte> take(u64 count) {
    if (count > rest_.size()) {
      whole_ = false;
      rest_ = {};
      return {};
    }
    const auto bytes = rest_.first(count);
    rest_ = rest_.subspan(count);
    return bytes;
  }
  // Everything asked for was there, and nothing is left over.
  bool complete() const { return whole_ && rest_.empty(); }

 private:
  template <typename T>
  T number() {
    T value = 0;
    const auto bytes = take(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), sizeof value);
    return value;
  }

  std::span<const std::byte> rest_;
  bool whole_ = true;
};

// Puts a message together at the end of a vector, of at most `room` bytes. What does not fit is left out and
// makes the message too long for good.
class Writer {
 public:
  Writer(std::vector<std::byte>& bytes, u64 room) : bytes_(bytes), room_(room) {}

  Writer& byte(u8 value) { return number(value); }
  Writer& half(u16 value) { return number(value); }
  Writer& word(u32 value) { return number(value); }
  Writer& quad(u64 value) { return number(value); }
  Writer& text(std::string_view value) {
    CHECK(value.size() <= UINT16_MAX);
    half(static_cast<u16>(value.size()));
    return append(std::as_bytes(std::span(value)));
  }

  u64 size() const { return bytes_.size(); }
  u64 left() const { return room_ - std::min<u64>(room_, bytes_.size()); }
  bool fits() const { return fits_; }

  // `count` bytes to be filled in place, and the return of those at the end that were not needed.
  // Precondition: count <= left().
  std::span<std::byte> space(u64 count) {
    CHECK(count <= left());
    bytes_.resize(bytes_.size() + count);
    return std::span(bytes_).last(count);
  }
  void give_back(u64 count) {
    CHECK(count <= bytes_.size());
    bytes_.resize(bytes_.size() - count);
  }
  // Writes over what stands at `at`; nothing when the message is too long. Precondition: it stands there.
  void set_half(u64 at, u16 value) { set(at, value); }
  void set_word(u64 at, u32 value) { set(at, value); }
  void cut_to(u64 size) {
    CHECK(size <= bytes_.size());
    bytes_.resize(size);
    fits_ = true;
  }

 private:
  template <typename T>
  Writer& number(T value) {
    return append(std::as_bytes(std::span(&value, 1)));
  }
  template <typename T>
  void set(u64 at, T value) {
    if (!fits_) return;
    CHECK(at + sizeof value <= bytes_.size());
    std::memcpy(bytes_.data() + at, &value, sizeof value);
  }
  Writer& append(std::span<const std::byte> bytes) {
    if (bytes.size() > left()) {
      fits_ = false;
    } else {
      bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    }
    return *this;
  }

  std::vector<std::byte>& bytes_;
  const u64 room_;
  bool fits_ = true;
};

}  // namespace cloister::device::virtio::ninep
