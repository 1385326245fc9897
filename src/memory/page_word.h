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
  kCondition,     // reads as the condition page, live; holds no frame
};
inline constexpr int kPageStates = 7;

// The last: a write of all of the page, so that nobody wants what it holds.
enum class Access : u8 { kRead, kWrite, kOverwrite };

// What an access does to a page in each state. A state gets its row together with the code that brings a page
// into it; until then no page can be in it, because a page only ever moves to a state that has a row.
enum class Source : u8 {
  kZeros,          // the read-only zero page, one for all
  kOwnFrame,       // the page's own place in the guest's mapping
  kBalloonPage,    // the read-only page with the VM's balloon value
  kVault,          // the vault's frame that the slot names
  kStore,          // packed, in the compressed store: not readable in place
  kSwap,           // in the swap file: likewise
  kConditionPage,  // the page that the host keeps writing the VM's condition to
};
struct StateRule {
  Source source;          // where a read finds the content
  PageState after_read;   // the state that a page must be in to be read in place
  PageState after_write;  // the state that a page must be in to be written
};
inline constexpr StateRule kStateRules[] = {
    {Source::kZeros, PageState::kZero, PageState::kPrivate},                // kZero
    {Source::kOwnFrame, PageState::kPrivate, PageState::kPrivate},          // kPrivate
    {Source::kBalloonPage, PageState::kBalloonValue, PageState::kPrivate},  // kBalloonValue
    {Source::kVault, PageState::kShared, PageState::kPrivate},              // kShared
    {Source::kStore, PageState::kPrivate, PageState::kPrivate},             // kCompressed
    {Source::kSwap, PageState::kPrivate, PageState::kPrivate},              // kSwapped
    {Source::kConditionPage, PageState::kCondition, PageState::kPrivate},   // kCondition
};

constexpr bool is_live(PageState state) { return static_cast<u64>(state) < std::size(kStateRules); }
constexpr const StateRule& rule_of(PageState state) { return kStateRules[static_cast<u64>(state)]; }
constexpr PageState state_for(Access access, PageState state) {
  return access == Access::kRead ? rule_of(state).after_read : rule_of(state).after_write;
}
// Whether states with this source keep something in the word's slot that must be let go of.
constexpr bool has_slot(Source source) {
  return source == Source::kVault || source == Source::kStore || source == Source::kSwap;
}
constexpr bool rules_are_closed() {
  for (const StateRule& rule : kStateRules) {
    if (!is_live(rule.after_read) || !is_live(rule.after_write)) return false;
    if (rule_of(rule.after_write).source != Source::kOwnFrame) return false;
    if (rule_of(rule.after_read).after_read != rule.after_read) return false;
  }
  return true;
}
static_assert(rules_are_closed(),
              "a read must lead to a readable state, a write to one with a frame of its own");

// All that is known of one guest page, in one word that changes by compare-and-swap:
//
//   63      32 31         12 11 10        9         8        7        6          5      4       3         2 0
//   |  slot   | pin count   | 0 | leaving | written | traced | recent | changing | held | dirty | touched |
//   state |
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
  // Like touched and dirty, one for each who asks, so that nobody takes another's marks away.
  static constexpr u64 kRecent = 1 << 7;   // touched since the Reclaimer looked
  static constexpr u64 kTraced = 1 << 8;   // touched since the ReferenceSampler looked
  static constexpr u64 kWritten = 1 << 9;  // may have changed since its last copy for the swap file
  static constexpr u64 kLeaving =
      1 << 10;  // a copy for the swap file is under way: there is only one at a time
  static constexpr u64 kReadMarks = kTouched | kRecent | kTraced;
  static constexpr u64 kWriteMarks = kReadMarks | kDirty | kWritten;
  static constexpr u64 kOnePin = 1 << 12;
  // Bound: 2^20 pins at once: a pin lasts for one operation of one thread.
  static constexpr u64 kPinMask = 0xfffff000;
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
  constexpr u32 slot() const { return static_cast<u32>(raw >> kSlotShift); }
  // No state at all: what settle() says of a page whose content cannot be had.
  static constexpr PageWord failed() { return {kStateMask}; }
  constexpr bool is_failed() const { return (raw & kStateMask) == kStateMask; }

  // Precondition: is_live(state), and a slot only for a state that has one.
  constexpr PageWord moved_to(PageState state, u32 slot = 0) const {
    CHECK(is_live(state));
    DCHECK(slot == 0 || has_slot(rule_of(state).source));
    return {(raw & 0xffffffff & ~kStateMask) | static_cast<u64>(state) | (u64{slot} << kSlotShift)};
  }
  constexpr PageWord with(u64 marks) const { return {raw | marks}; }
  constexpr PageWord without(u64 marks) const { return {raw & ~marks}; }
  // Precondition: the page has a frame to stay in.
  constexpr PageWord pinned() const {
    DCHECK(source() == Source::kOwnFrame && (raw & kPinMask) != kPinMask);
    return {raw + kOnePin};
  }
};

// What an access made of a page's word.
struct Settled {
  PageWord word;
  bool fresh = false;  // private just now, and pinned until its place, which is a hole, is filled
};

// Whether a compare-and-swap is not enough to make a page ready for an access: its content must be fetched,
// or harts may have it as something else. Not so the first write to a zero page that nobody holds.
constexpr bool needs_bringing_in(PageWord word, Access access) {
  const bool first_write = word.state() == PageState::kZero && !word.has(PageWord::kHeld);
  return state_for(access, word.state()) != word.state() && !first_write;
}

}  // namespace cloister::memory
