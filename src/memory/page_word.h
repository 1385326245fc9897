// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iterator>

#include "base/check.h"
#include "base/units.h"

namespace cloister::memory {

enum class PageState : u8 {
  kZero,          // never written, or given up: reads as zeros, holds no frame
  kPrivate,       // a frame of this guest's own
  kBalloonValue,  // given up by the balloon application: reads as the VM's balloon value, holds no frame
  kShared,        // a read-only frame that others hold too
  kCompressed,    // in the compressed store
  kSwapped,       // in the swap file
};
inline constexpr int kPageStates = 6;

enum class Access : u8 { kRead, kWrite };

// What an access does to a page in each state. A state gets its row together with the code that brings a page
// into it; until then no page can be in it, because a page only ever moves to a state that has a row.
enum class Source : u8 {
  kZeros,     // the read-only zero page, one for all
  kOwnFrame,  // the page's own place in the guest's memory file
};
struct StateRule {
  Source source;          // where a read finds the content
  PageState after_write;  // the state that a page must be in to be written
};
inline constexpr StateRule kStateRules[] = {
    {Source::kZeros, PageState::kPrivate},     // kZero
    {Source::kOwnFrame, PageState::kPrivate},  // kPrivate
};

constexpr bool is_live(PageState state) { return static_cast<u64>(state) < std::size(kStateRules); }
constexpr const StateRule& rule_of(PageState state) { return kStateRules[static_cast<u64>(state)]; }
constexpr bool rules_are_closed() {
  for (const StateRule& rule : kStateRules) {
    if (!is_live(rule.after_write) || rule_of(rule.after_write).source != Source::kOwnFrame) return false;
  }
  return true;
}
static_assert(rules_are_closed(), "a write must lead to a live state that has a frame of its own");

// All that is known of one guest page, in one word that changes by compare-and-swap:
//
//   63           32 31             8 7    6         5      4       3         2      0
//   |     slot     |   pin count    | 0 | changing | held | dirty | touched |  state |
//
// A word of 0 is an untouched zero page, so a table of words fresh from the host is right as it is.
struct PageWord {
  u64 raw = 0;

  static constexpr u64 kStateMask = 7;
  static constexpr u64 kTouched = 1 << 3;  // read or written since the last take_touched()
  static constexpr u64 kDirty = 1 << 4;    // its content may have changed since the last take_dirty()
  static constexpr u64 kHeld = 1 << 5;  // a holder may have a translation to it: a change needs a shootdown
  static constexpr u64 kChanging =
      1 << 6;  // somebody changes it now: all others wait, and may only clear marks
  static constexpr u64 kOnePin = 1 << 8;
  // Bound: 2^24 pins at once: a pin lasts for one operation of one thread.
  static constexpr u64 kPinMask = 0xffffff00;
  // Where the content lies in states that keep it elsewhere (a shared frame, a place in the compressed
  // store or the swap file). 2^32 slots of a page each: 16 TiB. 0 in the states without.
  static constexpr int kSlotShift = 32;

  constexpr auto operator<=>(const PageWord&) const = default;

  constexpr PageState state() const { return static_cast<PageState>(raw & kStateMask); }
  constexpr Source source() const { return rule_of(state()).source; }
  // A private page that nobody changes and that has the marks already: the one question of the hot paths.
  constexpr bool is_settled_private(u64 marks) const {
    return (raw & (kStateMask | kChanging | marks)) == (static_cast<u64>(PageState::kPrivate) | marks);
  }
  constexpr bool has(u64 marks) const { return (raw & marks) == marks; }
  constexpr u64 pins() const { return (raw & kPinMask) / kOnePin; }
  constexpr u64 slot() const { return raw >> kSlotShift; }

  // Precondition: is_live(state).
  constexpr PageWord moved_to(PageState state) const {
    CHECK(is_live(state));
    return {(raw & ~kStateMask) | static_cast<u64>(state)};
  }
  constexpr PageWord with(u64 marks) const { return {raw | marks}; }
  constexpr PageWord without(u64 marks) const { return {raw & ~marks}; }
  // Precondition: the page has a frame to stay in.
  constexpr PageWord pinned() const {
    DCHECK(source() == Source::kOwnFrame && (raw & kPinMask) != kPinMask);
    return {raw + kOnePin};
  }
};

}  // namespace cloister::memory
