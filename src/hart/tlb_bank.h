// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "base/units.h"
#include "hart/state.h"

namespace cloister::hart {

// Where a cached translation comes from: for forget(), and for fences that hit one address of a larger page.
struct Origin {
  Gpn page;
  u8 page_shift = kPageShift;  // log2 of the guest's page size
  bool global = false;         // mapped so in every address space
};

struct TlbLine {
  TlbEntry entry = kNoEntry;
  Origin origin;
};

inline bool is_empty(const TlbEntry& entry) {
  return entry.read_tag == kNoTag && entry.write_tag == kNoTag && entry.exec_tag == kNoTag;
}
// Whether a tag of the entry fulfils this.
template <typename Condition>
bool has_tag(const TlbEntry& entry, Condition&& condition) {
  for (const u64 tag : {entry.read_tag, entry.write_tag, entry.exec_tag}) {
    if (tag != kNoTag && condition(tag)) return true;
  }
  return false;
}
inline bool is_of_page(const TlbEntry& entry, u64 va) {
  return has_tag(entry, [va](u64 tag) { return (tag ^ va) >> kPageShift == 0; });
}

// What accesses look at: direct-mapped by page.
class TlbBank {
 public:
  explicit TlbBank(u64 entries) { resize(entries); }

  // Empties it. `entries` is a power of two.
  void resize(u64 entries);
  u64 size() const { return entries_.size(); }
  u64 mask() const { return (entries_.size() - 1) << kTlbEntryShift; }
  TlbEntry* data() { return entries_.data(); }

  TlbEntry& entry(u64 va) { return tlb_entry(entries_.data(), mask(), va); }
  Origin& origin(u64 va) { return origins_[static_cast<u64>(&entry(va) - entries_.data())]; }

  void drop_page(u64 va) {
    if (is_of_page(entry(va), va)) entry(va) = kNoEntry;
  }
  template <typename Condition>
  void drop_if(Condition&& condition) {
    drop_if(0, entries_.size(), condition);
  }
  // The same for entries of the `pages` pages from `first` on only (and some others).
  template <typename Condition>
  void drop_if(u64 first, u64 pages, Condition&& condition) {
    for (u64 i = first; i < first + std::min<u64>(pages, entries_.size()); ++i) {
      const u64 at = i & (entries_.size() - 1);
      if (!is_empty(entries_[at]) && condition(entries_[at], origins_[at])) entries_[at] = kNoEntry;
    }
  }

 private:
  std::vector<TlbEntry> entries_;
  std::vector<Origin> origins_;
};

// Entries that lost their place in a bank to another page: four places for each index.
class TlbVictims {
 public:
  // Bound: `sets` is a power of two.
  explicit TlbVictims(u64 sets) : sets_(sets) {}

  void put(const TlbLine& line);
  // Takes out the line that has `tag` for `use`.
  std::optional<TlbLine> take(u64 tag, Use use);

  void drop_page(u64 va) {
    for (TlbLine& line : set(va).lines) {
      if (is_of_page(line.entry, va)) line.entry = kNoEntry;
    }
  }
  template <typename Condition>
  void drop_if(Condition&& condition) {
    drop_if(0, sets_.size(), condition);
  }
  // As the bank's.
  template <typename Condition>
  void drop_if(u64 first, u64 pages, Condition&& condition) {
    for (u64 i = first; i < first + std::min<u64>(pages, sets_.size()); ++i) {
      for (TlbLine& line : sets_[i & (sets_.size() - 1)].lines) {
        if (!is_empty(line.entry) && condition(line.entry, line.origin)) line.entry = kNoEntry;
      }
    }
  }
  void clear() { std::fill(sets_.begin(), sets_.end(), Set{}); }

 private:
  struct Set {
    std::array<TlbLine, 4> lines;
    u64 oldest = 0;
  };
  Set& set(u64 va) { return sets_[(va >> kPageShift) & (sets_.size() - 1)]; }

  std::vector<Set> sets_;
};

}  // namespace cloister::hart
