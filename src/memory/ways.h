// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::memory {

// How a frame is taken from a guest without its help, cheapest first. What the guest gives (free pages, the
// balloon) and sharing are not ordered: they come by themselves.
enum class Way : u8 {
  kZero,          // it holds zeros
  kBalloonValue,  // it holds the VM's balloon value
  kCompress,      // packed into the compressed store (lz4)
  kCondense,      // what is packed and has grown cold, packed more tightly (zstd)
  kSwap,          // written to the swap file
};
inline constexpr int kWays = 5;

class Ways {
 public:
  constexpr Ways() = default;
  static constexpr Ways all() { return Ways((1 << kWays) - 1); }
  constexpr Ways with(Way way) const { return Ways(bits_ | bit(way)); }
  constexpr Ways without(Way way) const { return Ways(bits_ & ~bit(way)); }
  constexpr bool allow(Way way) const { return (bits_ & bit(way)) != 0; }

 private:
  explicit constexpr Ways(u32 bits) : bits_(bits) {}
  static constexpr u32 bit(Way way) { return u32{1} << static_cast<u32>(way); }
  u32 bits_ = 0;
};

// What became of a page that was to be taken for it holds the balloon value.
enum class BalloonAnswer : u8 {
  kTaken,  // also: it was before
  kOther,  // it holds something else
  kBusy,   // a device uses it, or somebody changes it just now
  kNoMemory,
};

// Frames by the way they were got.
struct ByWay {
  Pages pages[kWays];

  constexpr Pages& operator[](Way way) { return pages[static_cast<int>(way)]; }
  constexpr Pages operator[](Way way) const { return pages[static_cast<int>(way)]; }
  constexpr Pages total() const {
    Pages sum;
    for (const Pages& one : pages) sum += one;
    return sum;
  }
  constexpr ByWay& operator+=(const ByWay& other) {
    for (int i = 0; i < kWays; ++i) pages[i] += other.pages[i];
    return *this;
  }
};

}  // namespace cloister::memory
