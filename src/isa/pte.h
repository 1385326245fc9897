// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "base/units.h"

// Page tables: Sv39, Sv48 and Sv57, Svnapot, Svpbmt.
namespace cloister::isa {

namespace pte {
inline constexpr u64 kValid = 1;
inline constexpr u64 kRead = 2;
inline constexpr u64 kWrite = 4;
inline constexpr u64 kExecute = 8;
inline constexpr u64 kUser = 16;
inline constexpr u64 kGlobal = 32;
inline constexpr u64 kAccessed = 64;
inline constexpr u64 kDirty = 128;
inline constexpr u64 kPpnShift = 10;
inline constexpr u64 kPpn = ((u64{1} << 44) - 1) << kPpnShift;
inline constexpr u64 kReserved = u64{0x7f} << 54;  // must be zero
inline constexpr u64 kMemoryTypeShift = 61;
inline constexpr u64 kMemoryType = u64{3}
                                   << kMemoryTypeShift;  // Svpbmt: 0 as the memory is, 1 NC, 2 IO, 3 reserved
inline constexpr u64 kNapot = u64{1} << 63;              // Svnapot

inline constexpr u64 kEntrySize = 8;
inline constexpr u64 kIndexBits = 9;

constexpr u64 ppn(u64 entry) { return (entry & kPpn) >> kPpnShift; }
constexpr bool is_leaf(u64 entry) { return (entry & (kRead | kWrite | kExecute)) != 0; }

// Svnapot defines one size, 64 KiB: sixteen neighbouring pages, the low bits of the entry's PPN being 1000.
inline constexpr u64 kNapotPages = 16;
constexpr bool is_napot_64k(u64 entry) { return (ppn(entry) & (kNapotPages - 1)) == kNapotPages / 2; }
}  // namespace pte

namespace satp {
inline constexpr u64 kPpn = (u64{1} << 44) - 1;
inline constexpr u64 kAsidShift = 44;
inline constexpr u64 kAsid = u64{0xffff} << kAsidShift;
inline constexpr u64 kModeShift = 60;
inline constexpr u64 kBare = 0;

constexpr u64 mode(u64 value) { return value >> kModeShift; }
constexpr u64 asid(u64 value) { return (value & kAsid) >> kAsidShift; }
constexpr GuestPhys root(u64 value) { return {(value & kPpn) << kPageShift}; }
}  // namespace satp

// How a virtual address is cut up.
struct PagingShape {
  u32 satp_mode;
  u32 levels;

  constexpr u32 address_bits() const { return static_cast<u32>(kPageShift + levels * pte::kIndexBits); }
  // Bits above the shape's must repeat its top bit.
  constexpr bool is_canonical(u64 address) const {
    const u32 unused = 64 - address_bits();
    return static_cast<u64>(static_cast<i64>(address << unused) >> unused) == address;
  }
  // Which entry of the table of `level`; the root has level levels - 1.
  static constexpr u64 index(u64 address, u32 level) {
    return address >> (kPageShift + level * pte::kIndexBits) & ((u64{1} << pte::kIndexBits) - 1);
  }
  // Pages under a leaf of `level`.
  static constexpr u64 leaf_pages(u32 level) { return u64{1} << (level * pte::kIndexBits); }
};

inline constexpr PagingShape kSv39 = {8, 3};
inline constexpr PagingShape kSv48 = {9, 4};
inline constexpr PagingShape kSv57 = {10, 5};

// Nothing for kBare and for modes that the machine lacks.
constexpr std::optional<PagingShape> paging_shape(u64 satp_mode) {
  for (const PagingShape& shape : {kSv39, kSv48, kSv57}) {
    if (shape.satp_mode == satp_mode) return shape;
  }
  return std::nullopt;
}

}  // namespace cloister::isa
