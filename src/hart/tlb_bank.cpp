// SPDX-License-Identifier: Apache-2.0
#include "hart/tlb_bank.h"

#include "base/check.h"

namespace cloister::hart {

void TlbBank::resize(u64 entries) {
  CHECK(entries >= 4 && (entries & (entries - 1)) == 0);
  entries_.assign(entries, kNoEntry);
  origins_.assign(entries, Origin{});
}

void TlbVictims::put(const TlbLine& line) {
  if (is_empty(line.entry)) return;
  u64 page = 0;
  (void)has_tag(line.entry, [&page](u64 tag) {
    page = tag;
    return true;
  });
  Set& home = set(page);
  home.lines[home.oldest] = line;
  home.oldest = (home.oldest + 1) % home.lines.size();
}

std::optional<TlbLine> TlbVictims::take(u64 tag, Use use) {
  for (TlbLine& line : set(tag).lines) {
    if (tag_for(line.entry, use) != tag) continue;
    const TlbLine found = line;
    line.entry = kNoEntry;
    return found;
  }
  return std::nullopt;
}

}  // namespace cloister::hart
