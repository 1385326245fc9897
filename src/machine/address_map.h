// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

// Where things are on the board. The device tree tells the guest; nothing else in it is fixed. The addresses
// are those of the boards that RISC-V systems are used to, so that their early consoles and habits work.
namespace cloister::machine {

inline constexpr GuestPhys kPlicBase{0x0c00'0000};
inline constexpr GuestPhys kUartBase{0x1000'0000};
inline constexpr GuestPhys kRtcBase{0x1000'1000};
inline constexpr GuestPhys kVirtioBase{0x1001'0000};
inline constexpr u64 kVirtioStride = 0x1000;
inline constexpr GuestPhys kMemoryBase{0x8000'0000};

// Interrupt sources of the PLIC.
inline constexpr u32 kUartSource = 1;
inline constexpr u32 kRtcSource = 2;
inline constexpr u32 kVirtioSource = 8;  // and one more for each slot

// Bound: one page of registers and one interrupt source each; more disks than anybody boots from.
inline constexpr u32 kVirtioSlots = 64;

}  // namespace cloister::machine
