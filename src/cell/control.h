// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/units.h"
#include "policy/memory/states.h"

// What a cell and the daemon say to each other: one message a packet (SOCK_SEQPACKET), a header and one of
// the structures below, in the host's byte order, for both run on one host. decode() takes nothing but whole
// messages of the right size, so a reader sees either what its partner meant to say or that it talks
// nonsense. Whether what was said is *true* is another question: the daemon holds every figure of a cell
// against its own books and the host kernel's (host/cell.h), and the cell bounds every order by what it has.
namespace cloister::cell::control {

// Raised when a message changes its meaning. The two sides refuse each other when theirs differ.
inline constexpr u32 kVersion = 4;
inline constexpr u32 kMagic = 0x74736c63;
inline constexpr std::size_t kMostHashes = 512;  // pages in one message
inline constexpr std::size_t kMostOffers = 256;
inline constexpr std::size_t kMostFrames = 128;  // that are given back in one
inline constexpr std::size_t kReasonBytes = 160;
inline constexpr std::size_t kBuckets = 16;  // of a miss-ratio curve

// The ways to take a frame are the policy's, as bits.
using Way = policy::memory::Way;
inline constexpr std::size_t kWays = 6;
inline constexpr std::size_t kGuestFigures = 10;  // of virtio's balloon (virtio 1.2, 5.5.6.4)
constexpr u32 bit(Way way) { return 1u << static_cast<u32>(way); }
inline constexpr u32 kEveryWay = (1u << kWays) - 1;

// -- From the cell --------------------------------------------------------------------------------------

// First of all, also after the daemon was away: what the cell is and what it holds.
struct Hello {
  u32 version = kVersion;
  u32 paused = 0;
  u64 configured_pages = 0;
  u64 held_pages = 0;    // the allowance that it believes to have
  u64 has_vault = 0;     // 1: it has an earlier daemon's, and takes no other
  u64 shared_pages = 0;  // pages that are frames of that one
};

// It needs frames beyond its allowance. Said again when more is needed; `pages` replaces what was asked
// before and is still open.
struct Want {
  u64 pages = 0;
  u32 waiting = 0;  // a hart stands still for it
  u32 pad = 0;
};

// The allowance shrinks by so much. Never more than it holds.
struct Back {
  u64 order = 0;  // the Reclaim that it answers; 0: of its own accord
  u64 pages = 0;
};

// No more comes of that order: it is fulfilled, or the rest cannot be had.
struct Done {
  u64 order = 0;
  u64 by_way[kWays] = {};  // pages
};

// How much a guest would miss with less memory than it was made with: `misses[i]` is the part, in millionths,
// of all references that would miss with (i + 1) / kBuckets of it. Nothing is known when there are no
// references.
struct Curve {
  u64 references = 0;  // to all of its memory, in 1,000 seconds
  u32 misses[kBuckets] = {};
};

// Once a second; seldom while the guest hardly runs.
struct Report {
  u64 sequence = 0;
  u64 used_pages = 0;   // frames behind guest pages now
  u64 spare_pages = 0;  // of the allowance, not used
  u64 zero_pages = 0;
  u64 shared_pages = 0;
  u64 compressed_pages = 0;
  u64 compressed_bytes = 0;  // held for them: counted in used_pages
  u64 swapped_pages = 0;
  u64 reported_free_pages = 0;  // given up by the guest's kernel itself, as free, since the start
  u64 pages_in = 0;             // brought back from swap or compression, since the start
  u64 pages_out = 0;            // swapped or compressed, since the start
  u64 run_nanos = 0;            // of all harts together, since the start
  u64 next_nanos = 0;           // the next report comes so much later at the latest
  u64 period = 0;               // sampling periods ended so far
  u32 sampled = 0;              // pages of the running period
  u32 touched = 0;              // of those
  u32 last_sampled = 0;         // of the period that ended last
  u32 last_touched = 0;
  u64 swap_failed = 0;  // 1: the swap file takes no more
  Curve curve;

  // The guest's cooperation. Applications, what they hold and the pressure are the guest's word.
  u64 balloon_pages = 0;          // in the state of that name
  u64 balloon_target_pages = 0;   // what the guest is asked to hold in its balloon
  u64 balloon_told_pages = 0;     // what it says it holds
  u64 balloon_written_pages = 0;  // of the value, that it wrote to its disks, since the start
  u64 balloon_elided_pages = 0;   // of those, that take no space there
  u64 page_out_rate = 0;          // of those, a second
  u32 applications = 0;
  u32 level = 0;                    // CLOISTER_AMPLE and so on
  u32 pressure = 0;                 // in hundredths of a per cent
  u32 yields = 0;                   // 1: its pressure keeps the balloon below what the host wishes
  u64 told = 0;                     // which of those below there are: a bit each
  u64 figures[kGuestFigures] = {};  // what its kernel told virtio's balloon, by virtio's numbers
};

struct Ended {
  u32 status = 0;  // cell::ExitStatus
  char reason[kReasonBytes] = {};
};

// Some pages of the guest, drawn at random, and hashes of what they hold: hints, for the guest may write to
// them at any time. Pages are counted from the first one of the guest's memory.
struct PageHash {
  u64 page = 0;
  u64 hash = 0;
};
struct Hashes {
  u64 order = 0;
  u32 count = 0;
  u32 micros = 0;  // of a CPU, that sharing took the cell since it said so last
  PageHash pages[kMostHashes] = {};
};
// What a page holds now.
struct Content {
  u64 order = 0;
  u64 page = 0;
  u32 known = 0;  // 0: it cannot be read now
  u32 pad = 0;
  std::byte bytes[kPageSize] = {};
};
// References that are given back: of offers that were not taken, of pages that were written to or given up. A
// frame may be there twice.
struct Unshared {
  u32 count = 0;
  u32 frames[kMostFrames] = {};
};
struct Pong {
  u64 serial = 0;
};

// -- From the daemon ------------------------------------------------------------------------------------

struct Welcome {
  u32 version = kVersion;
  u32 pad = 0;
  u64 held_pages = 0;  // by the daemon's books: never more than the cell told
};

struct Settings {
  u32 samples = 100;         // pages a sampling period
  u32 curve_samples = 0;     // pages watched for the miss-ratio curve; 0: there is none
  u64 period_nanos = 0;      // of run time
  u64 period_ceiling = 0;    // the same in wall time
  u64 swap_limit_pages = 0;  // the most that may lie in the swap file
};

struct Grant {
  u64 pages = 0;
};

// Make room, by these ways. Without `keep` the frames come back (Back, then Done). With it they stay in the
// allowance: the cell wants more than it may have, and has to find it in what it holds.
struct Reclaim {
  u64 order = 0;
  u64 pages = 0;
  u32 ways = 0;  // bits of Way
  u32 keep = 0;
  u64 deadline_nanos = 0;  // from now
  u64 least_pages = 0;     // the allowance that is left to it at any rate: it may have shrunk meanwhile
  u64 ask_guest = 0;  // 1: with Way::kBalloon, the guest is asked first, and only the rest is taken otherwise
};

// How the host stands, and what part of its memory is this machine's: for what the guest is told. Said when
// it changes.
struct Standing {
  u32 state = 0;  // policy::memory::HostState
  u32 pad = 0;
  u64 entitlement_pages = 0;  // its target if all used all
  u64 target_pages = 0;
};

enum class PowerOrder : u32 { kPause, kResume, kStop };
struct Power {
  PowerOrder what = PowerOrder::kStop;
  u32 pad = 0;
};

// The harts stand still, or go on: the host is short of memory and the guest holds more than its part.
struct Still {
  u64 on = 0;
};

// The vault of the cell's trust group; its descriptor travels with the message, for reading only.
struct VaultIs {
  u64 frames = 0;
};
// Hash so many pages more.
struct HashPages {
  u64 order = 0;
  u64 count = 0;
};
struct ReadPage {
  u64 order = 0;
  u64 page = 0;
};
// Make each page the vault's frame, if their contents are the same byte for byte. Comes with a reference
// each.
struct SharedFrame {
  u64 page = 0;
  u32 frame = 0;
  u32 pad = 0;
};
struct Share {
  u64 count = 0;
  SharedFrame offers[kMostOffers] = {};
};
struct Ping {
  u64 serial = 0;
};

using Message =
    std::variant<Hello, Want, Back, Done, Report, Ended, Hashes, Content, Unshared, Pong, Welcome, Settings,
                 Grant, Reclaim, Power, Still, VaultIs, HashPages, ReadPage, Share, Ping, Standing>;

// Bound: no message is longer.
inline constexpr std::size_t kMostBytes = 8448;

std::vector<std::byte> encode(const Message& message);
// Nothing: it is no message of this version.
std::optional<Message> decode(std::span<const std::byte> packet);

// The text of a fixed field up to its first zero, or the whole; what is not printable is '?'.
std::string text_of(const char (&field)[kReasonBytes]);
void set_text(char (&field)[kReasonBytes], std::string_view text);

}  // namespace cloister::cell::control
