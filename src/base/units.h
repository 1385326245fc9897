// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>

// Quantities are types, so that a page count is never taken for a byte count nor a guest-virtual
// address for a guest-physical one. `.raw` is the way out, at the border to arithmetic of another kind.
namespace cloister {

using i8 = std::int8_t;
using i16 = std::int16_t;
using i32 = std::int32_t;
using i64 = std::int64_t;
using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;
__extension__ using i128 = __int128;
__extension__ using u128 = unsigned __int128;

inline constexpr u64 kPageShift = 12;
inline constexpr u64 kPageSize = u64{1} << kPageShift;
inline constexpr u64 kPageMask = kPageSize - 1;

constexpr u64 round_up(u64 value, u64 to) { return (value + to - 1) / to * to; }

inline constexpr u64 kKiB = 1024;
inline constexpr u64 kMiB = 1024 * kKiB;
inline constexpr u64 kGiB = 1024 * kMiB;

// A count: amounts add, subtract and compare among themselves.
template <typename Tag>
struct Amount {
  u64 raw = 0;

  constexpr auto operator<=>(const Amount&) const = default;
  constexpr Amount operator+(Amount other) const { return {raw + other.raw}; }
  constexpr Amount operator-(Amount other) const { return {raw - other.raw}; }
  constexpr Amount& operator+=(Amount other) { return *this = *this + other; }
  constexpr Amount& operator-=(Amount other) { return *this = *this - other; }
};

// A place: an address plus a distance in bytes is an address, address less address a distance.
template <typename Tag>
struct Address {
  u64 raw = 0;

  constexpr auto operator<=>(const Address&) const = default;
  constexpr Address operator+(u64 bytes) const { return {raw + bytes}; }
  constexpr Address operator-(u64 bytes) const { return {raw - bytes}; }
  constexpr u64 operator-(Address other) const { return raw - other.raw; }
  constexpr u64 page() const { return raw >> kPageShift; }
  constexpr u64 page_offset() const { return raw & kPageMask; }
};

using Bytes = Amount<struct BytesTag>;
using Pages = Amount<struct PagesTag>;
using Nanos = Amount<struct NanosTag>;

using GuestVirt = Address<struct GuestVirtTag>;  // GVA
using GuestPhys = Address<struct GuestPhysTag>;  // GPA

// Guest page number: GPA >> 12.
struct Gpn {
  u64 raw = 0;

  constexpr auto operator<=>(const Gpn&) const = default;
  constexpr GuestPhys address() const { return {raw << kPageShift}; }
};

constexpr Gpn gpn_of(GuestPhys address) { return {address.page()}; }
constexpr Bytes bytes_of(Pages pages) { return {pages.raw << kPageShift}; }

}  // namespace cloister
