// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

// The numbers of 9P2000.L, the dialect that Linux mounts. Each request Tx is answered by Rx = Tx + 1 or by
// Rlerror. Names and values: the protocol's published tables; flags are Linux's, in the generic numbering
// that RISC-V uses.
namespace cloister::device::virtio::ninep {

enum class Message : u8 {
  kRlerror = 7,
  kTstatfs = 8,
  kTlopen = 12,
  kTlcreate = 14,
  kTsymlink = 16,
  kTmknod = 18,
  kTrename = 20,
  kTreadlink = 22,
  kTgetattr = 24,
  kTsetattr = 26,
  kTxattrwalk = 30,
  kTxattrcreate = 32,
  kTreaddir = 40,
  kTfsync = 50,
  kTlock = 52,
  kTgetlock = 54,
  kTlink = 70,
  kTmkdir = 72,
  kTrenameat = 74,
  kTunlinkat = 76,
  kTversion = 100,
  kTauth = 102,
  kTattach = 104,
  kTflush = 108,
  kTwalk = 110,
  kTread = 116,
  kTwrite = 118,
  kTclunk = 120,
  kTremove = 122,
};

inline constexpr u32 kHeaderSize = 7;  // size[4] type[1] tag[2]
inline constexpr u32 kNoFid = UINT32_MAX;
inline constexpr u32 kMaxWalk = 16;  // names in one Twalk

// Bound: of one message. Linux's virtio client asks for at most 128 pages.
inline constexpr u32 kMaxMessage = 512 * kKiB;
inline constexpr u32 kMinMessage = 4 * kKiB;

// A file's identity as the guest sees it.
struct Qid {
  u8 type = 0;
  u32 version = 0;
  u64 path = 0;
};
inline constexpr u8 kQidFolder = 0x80;
inline constexpr u8 kQidSymlink = 0x02;
inline constexpr u8 kQidFile = 0x00;

// Tlopen, Tlcreate.
inline constexpr u32 kAccessMode = 03;
inline constexpr u32 kWriteOnly = 01;
inline constexpr u32 kReadWrite = 02;
inline constexpr u32 kExclusive = 0200;
inline constexpr u32 kTruncate = 01000;
inline constexpr u32 kAppend = 02000;
inline constexpr u32 kDataSync = 010000;
inline constexpr u32 kFolderOnly = 0200000;
inline constexpr u32 kFullSync = 04000000;

// Tmknod: the kind in a mode.
inline constexpr u32 kKindMask = 0170000;
inline constexpr u32 kKindFifo = 0010000;
inline constexpr u32 kKindFile = 0100000;

// Tgetattr: all but birth time, generation and data version.
inline constexpr u64 kBasicAttributes = 0x7ff;

// Tsetattr: what is to change.
inline constexpr u32 kSetMode = 1;
inline constexpr u32 kSetOwner = 2;
inline constexpr u32 kSetGroup = 4;
inline constexpr u32 kSetSize = 8;
inline constexpr u32 kSetAccessed = 16;
inline constexpr u32 kSetModified = 32;
inline constexpr u32 kAccessedGiven = 128;  // else: now
inline constexpr u32 kModifiedGiven = 256;

inline constexpr u32 kRemoveFolder = 0x200;  // Tunlinkat
inline constexpr u8 kLockGranted = 0;        // Rlock
inline constexpr u8 kLockNone = 2;           // Rgetlock: nobody holds it
inline constexpr u32 kFileSystemType = 0x01021997;

}  // namespace cloister::device::virtio::ninep
