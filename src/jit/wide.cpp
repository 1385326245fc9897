// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "hart/core.h"
#include "jit/translator.h"

// Regions of several pages.
//
// Functions call each other from page to page, and loops call functions. Where all of that lies in one
// region, registers stay in their homes, what was looked up stays known, and no jump needs the jump cache.
// But where the further pages are, seen from the first, each address space says for itself and at any time
// anew. So before such a region runs, all of its pages are looked up: once for each address space, since
// fences, and since code may have changed. Within it nothing is looked at: whatever may map pages anew leaves
// it.
//
// Where the pages are not in place, because the program has others there or has not come to them yet, its
// code must be another. So a wide region takes nobody's place: it lies over regions of one page. Their ways
// in lead to its own; what finds the pages not in place goes on below, as if nothing lay over it. What runs
// much there is made anew too, of one page. A look that was in vain is taken again after some entries, each
// time later.
//
// But a kernel that makes room for large pages moves others, code too, and then the pages are never in place
// again: what is found to be the same code elsewhere is forgotten, and made anew of where it is now.
namespace cloister::jit {
namespace {

// Bound: how often a region is entered, after a look that was in vain, until the next.
constexpr i32 kMostRefusals = 4096;
// What was entered a quarter as often as what is very hot is worth its place in a wide region.
constexpr i64 kWarm = 4;
// One of so many blocks must be in no such region yet, or no longer made anew, for another to be made: the
// others would be there several times. Without a bound, a program of many functions waits for its code longer
// than it gains by it; with 12 mprotect took 8 % less, pipe 10 % more, and a cell has twice as many of these.
constexpr std::size_t kMostOfAll = 4;
// Bound: so few may be there several times in any case: a small loop may call what others called before. Of
// one with 14 blocks, 11 of them old, a sort took 0.32 s where it was left out, and 0.26 s where not.
constexpr std::size_t kFew = 16;
// Bound: pages that are looked at to find a way round.
constexpr std::size_t kMostSeen = 8;

u64 tags_of(const hart::State& s) { return u64{s.epoch} << 32 | s.jump_tag; }

}  // namespace

// -- Which pages ------------------------------------------------------------------------------------------

// Follows the region's ways on to what is warm in other pages. Where that comes to none, or to little that is
// not in such a region already, the order is one for a region of one page.
void Translator::look_around(hart::Core& core, Order& order) {
  Order::Page& own = order.pages[0];
  const Offsets executed = own.wanted;
  own.wanted = known_blocks(own.number);
  const auto in_memory = hart::look_for_code(core.state, order.pc);
  if (in_memory && *in_memory == own.number && is_worth_while(choose_pages(core, order), order)) return;
  order.tier = Tier::kFinal;
  order.pages.resize(1);
  order.pages[0].wanted = executed;
}

// The region that will be made of the order, which gets the pages that it comes to first. Where it is no
// cycle for want of pages, those of the shortest way round come before others.
ir::Region Translator::choose_pages(hart::Core& core, Order& order) {
  const std::size_t most = options_.pages;
  ir::Region region = follow(core, order, most);
  if (order.pages.size() < most || !ir::find_way_round(region).empty()) return region;
  const ir::Region further = follow(core, order, kMostSeen);
  std::vector<i32> way{0};
  for (const u32 block : ir::find_way_round(further)) {
    const i32 distance = ir::page_distance(further.blocks[block].begin);
    if (std::find(way.begin(), way.end(), distance) == way.end()) way.push_back(distance);
  }
  const bool fits = way.size() > 1 && way.size() <= most;
  if (fits) {
    std::stable_partition(order.pages.begin(), order.pages.end(), [&way](const Order::Page& page) {
      return std::find(way.begin(), way.end(), page.distance) != way.end();
    });
  }
  order.pages.resize(most);
  return fits ? follow(core, order, most) : region;
}

ir::Region Translator::follow(hart::Core& core, Order& order, std::size_t most) {
  order.pages.reserve(most);
  const auto wanted = [&](i32 offset) {
    const Order::Page* const page = order.page_at(ir::page_distance(offset));
    if (page == nullptr) return order.pages.size() < most && add_page(core, order, offset);
    return page->wanted.test((static_cast<u32>(offset) & kPageMask) / 2);
  };
  const auto bytes = [&](i32 distance) {
    const Order::Page* const page = order.page_at(distance);
    return page == nullptr ? nullptr : page->bytes.data();
  };
  return ir::build(bytes, order.offset, ir::kHotLimits, wanted);
}

bool Translator::is_worth_while(const ir::Region& region, const Order& order) {
  if (order.pages.size() == 1) return false;
  const auto others = std::count_if(region.blocks.begin(), region.blocks.end(), [&](const ir::Block& block) {
    const GuestPhys page = order.page_at(ir::page_distance(block.begin))->number.address();
    const Place* const place = place_of(page.raw + (static_cast<u64>(block.begin) & kPageMask));
    return place == nullptr || !place->may_lie_below();
  });
  const std::size_t all = region.blocks.size(), old = static_cast<std::size_t>(others);
  return old < all && (old <= kFew || (all - old) * kMostOfAll >= all);
}

// Of all that have code: in what is cold the wide region has no use for room.
Offsets Translator::known_blocks(Gpn page) {
  Offsets result;
  Page* const known = page_of(page.address().raw);
  if (known == nullptr) return result;
  known->places.for_each([&](const Place& each) { result.set(static_cast<u32>(each.entry->offset) / 2); });
  return result;
}

// The page that has the offset, if what begins there is warm.
bool Translator::add_page(hart::Core& core, Order& order, i32 offset) {
  const u64 va = (order.pc & ~kPageMask) + static_cast<u64>(i64{offset});
  const auto number = hart::look_for_code(core.state, va);
  Page* const known = number ? page_of(number->address().raw) : nullptr;
  if (known == nullptr) return false;
  validate(core, *known);
  drop_moved(core, *known, va & ~kPageMask);
  const Place* const place = known->places.find(va & kPageMask);
  if (place == nullptr || !is_warm(*place)) return false;
  Order::Page page{{*number, ir::page_distance(offset)}, {}, {}, {}};
  if (!read_page(core, *number, page.bytes)) return false;
  known->places.for_each([&](const Place& each) {
    if (is_warm(each)) page.wanted.set(static_cast<u32>(each.entry->offset) / 2);
  });
  order.pages.push_back(page);
  return true;
}

bool Translator::is_warm(const Place& place) const {
  const Region& region = *place.region;
  if (region.is_final || region.is_hot || place.wide != nullptr) return true;
  const i64 all = i64{options_.very_hot} * x64::kEntryWeight, left = region.code.header->heat;
  return left == std::numeric_limits<i64>::max() || (all - left) * kWarm >= all;
}

// -- Over others ------------------------------------------------------------------------------------------

// What is final already stays as it is.
void Translator::publish_wide(hart::Core& core, Region& region) {
  ++statistics_.wide;
  region.code.header->is_in_place = is_in_place;
  for (const x64::Code::Entry& entry : region.code.entries) {
    Place* const place = place_of(entry);
    if (place == nullptr) continue;
    lead(x64::jump_below(entry.code), place->entry->code + x64::kWayInSize);
    if (!place->may_lie_below()) continue;
    place->wide = &region;
    place->wide_entry = &entry;
    lay_over(*place);
    heat_up(*place->region);
    if (hart::Block* block = block_of(core, entry)) block->translated = &entry;
  }
}

void Translator::lay_over(const Place& place) {
  lead(x64::jump_below(place.wide_entry->code), place.entry->code + x64::kWayInSize);
  lead(place.entry->code, place.wide_entry->code);
}

// What leads to it goes on below.
void Translator::lift(hart::Core& core, Region& wide) {
  for (const x64::Code::Entry& entry : wide.code.entries) {
    Place* const place = place_of(entry);
    if (place == nullptr || place->wide != &wide) continue;
    place->wide = nullptr;
    place->wide_entry = nullptr;
    restore(*place->entry);
    lead(entry.code, place->entry->code);
    hart::Block* const block = block_of(core, entry);
    if (block != nullptr && block->translated == &entry) block->translated = place->entry;
  }
  wide.code.header->page = x64::Header::kNowhere;
}

// What lies over places of the page, which is at `at`.
void Translator::drop_moved(hart::Core& core, const Page& page, u64 at) {
  const Region* last = nullptr;
  page.places.for_each([&](const Place& place) {
    if (place.wide == nullptr || place.wide == last) return;
    last = place.wide;
    const u64 first = at - static_cast<u64>(i64{ir::page_distance(place.wide_entry->offset)});
    if (has_moved(core, *place.wide, first)) retire(core, *place.wide);
  });
}

// Whether its code is what it was, with its first page at `at`, but not all of it where it was. What the
// program has not come to yet says nothing.
bool Translator::has_moved(hart::Core& core, const Region& wide, u64 at) const {
  bool moved = false;
  for (const Part& part : wide.parts) {
    const auto page = hart::look_for_code(core.state, at + static_cast<u64>(i64{part.distance}));
    if (!page || page == part.page->number) continue;
    const auto frame = core.memory.frame(core.holder, *page, memory::Access::kRead);
    if (!frame || !is_of(part, frame->host)) return false;
    moved = true;
  }
  return moved;
}

bool Translator::lies_below(const Region& region) {
  return std::any_of(region.code.entries.begin(), region.code.entries.end(), [&](const auto& entry) {
    const Place* const place = place_of(entry);
    return place != nullptr && place->region == &region && place->wide != nullptr;
  });
}

// -- In place ---------------------------------------------------------------------------------------------

bool Translator::is_in_place(hart::State& state, x64::Header& header) {
  auto* const region = static_cast<Region*>(header.owner);
  if (region == nullptr) return false;
  return static_cast<Translator*>(state.core->translator)->find_in_place(*state.core, *region, header);
}

// The region may be dropped meanwhile; its header is there as long as its code.
bool Translator::find_in_place(hart::Core& core, Region& region, x64::Header& header) {
  const u64 tags = tags_of(core.state), at = core.state.page;
  bool found = true;
  for (std::size_t i = 0; found && i < region.parts.size(); ++i) {
    Page& page = *region.parts[i].page;
    const u64 va = at + static_cast<u64>(i64{region.parts[i].distance});
    found = hart::look_for_code(core.state, va) == page.number;
    validate(core, page);
    if (header.owner == nullptr) return false;
    core.tlb.note_jump(va);
  }
  found = found && tags_of(core.state) == tags;
  if (found) {
    header.page = at;
    header.tags = tags;
    header.patience = x64::Header::kFewestRefusals;
    header.refusals = 0;
  } else {
    header.refusals = header.patience;
    header.patience = std::min(2 * header.patience, kMostRefusals);
  }
  return found;
}

}  // namespace cloister::jit
