// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "base/units.h"

// Control and status registers: numbers, and the bits of those that have any.
namespace cloister::isa {

// Named as in the manual: Csr::sstatus. hpmcounter3 to hpmcounter31 are kFirstHpmCounter and on.
enum class Csr : u16 {
#define CSR(name, number) name = number,
#include "isa/csr.inc"
#undef CSR
};

inline constexpr u32 kFirstHpmCounter = 0xc03;
inline constexpr u32 kLastHpmCounter = 0xc1f;

// "sstatus"; nothing for a number that isa/csr.inc has not.
std::optional<std::string_view> csr_name(u32 number);

// The manual's convention: the top two bits set mean read only, the next two the lowest mode that may use it.
constexpr bool csr_is_read_only(u32 number) { return number >> 10 == 3; }
constexpr bool csr_needs_supervisor(u32 number) { return (number >> 8 & 3) != 0; }

namespace sstatus {
inline constexpr u64 kSie = u64{1} << 1;
inline constexpr u64 kSpie = u64{1} << 5;
inline constexpr u64 kUbe = u64{1} << 6;
inline constexpr u64 kSpp = u64{1} << 8;
inline constexpr u64 kVs = u64{3} << 9;
inline constexpr u64 kFs = u64{3} << 13;
inline constexpr u64 kFsInitial = u64{1} << 13;
inline constexpr u64 kFsClean = u64{2} << 13;
inline constexpr u64 kFsDirty = u64{3} << 13;
inline constexpr u64 kXs = u64{3} << 15;
inline constexpr u64 kSum = u64{1} << 18;
inline constexpr u64 kMxr = u64{1} << 19;
inline constexpr u64 kUxl = u64{3} << 32;
inline constexpr u64 kUxl64 = u64{2} << 32;
inline constexpr u64 kSd = u64{1} << 63;
}  // namespace sstatus

namespace senvcfg {
inline constexpr u64 kFiom = u64{1} << 0;
inline constexpr u64 kCbie = u64{3} << 4;  // cbo.inval in U-mode: 0 illegal, 1 flushes, 3 invalidates
inline constexpr u64 kCbcfe = u64{1} << 6;
inline constexpr u64 kCbze = u64{1} << 7;
}  // namespace senvcfg

namespace stvec {
inline constexpr u64 kMode = 3;
inline constexpr u64 kDirect = 0;
inline constexpr u64 kVectored = 1;
}  // namespace stvec

// scounteren's bits; counter n is bit n.
namespace scounteren {
inline constexpr u64 kCycle = 1;
inline constexpr u64 kTime = 2;
inline constexpr u64 kInstret = 4;
}  // namespace scounteren

// fcsr: the accrued exceptions in bits 0..4, the rounding mode in 5..7.
namespace fcsr {
inline constexpr u32 kInexact = 1;
inline constexpr u32 kUnderflow = 2;
inline constexpr u32 kOverflow = 4;
inline constexpr u32 kDivideByZero = 8;
inline constexpr u32 kInvalid = 16;
inline constexpr u32 kFlags = 31;
inline constexpr u32 kFrmShift = 5;
inline constexpr u32 kFrm = 7 << kFrmShift;
}  // namespace fcsr

enum class Rounding : u8 {
  kNearestEven = 0,
  kTowardsZero = 1,
  kDown = 2,
  kUp = 3,
  kNearestMaxMagnitude = 4,
  kDynamic = 7
};

}  // namespace cloister::isa
