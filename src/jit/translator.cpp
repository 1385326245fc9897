// SPDX-License-Identifier: Apache-2.0
#include "jit/translator.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/os/heap.h"
#include "hart/core.h"
#include "hart/execute.h"

// From hot blocks to regions, and from one region to the next.
//
// A jump out of a region to a known place of the same page goes through a slot, which at first leads back
// here. Then pc's block is looked up as the interpreter does; when it has a translation the slot is pointed
// there, and from then on the jump is direct. Slots need no undoing: the code that they lead to is of the
// same page, so it is right when theirs is; when it is dropped, its entries leave at once, and are
// slots themselves from then on; and it is forgotten only together with all other code.
namespace cloister::jit {

namespace {

// The hart's heap grows by so much at once, each time that it has got so many regions.
constexpr u64 kPrepareEach = 128;
constexpr Bytes kPrepared{256 * kKiB};

}  // namespace

// The page as it is now, or false where it is no memory. A safe point.
bool Translator::read_page(hart::Core& core, Gpn page, std::span<std::byte, kPageSize> copy) {
  const auto frame = core.memory.frame(core.holder, page, memory::Access::kRead);
  if (!frame) return false;
  std::memcpy(copy.data(), frame->host, kPageSize);
  return true;
}

u64 Translator::Region::runs(i32 offset) const {
  if (code.runs->empty()) return 0;
  for (const x64::Code::Entry& each : code.entries) {
    if (each.offset == offset) return (*code.runs)[each.block];
  }
  return 0;
}

bool Translator::Region::is_short_loop(i32 head) const {
  return std::find(short_loops.begin(), short_loops.end(), head) != short_loops.end();
}

Result<std::unique_ptr<Translator>> Translator::create(const TranslatorOptions& options,
                                                       std::shared_ptr<Workshop> workshop) {
  auto cache = TRY(CodeCache::create(options.code_cache, options.more_code));
  return std::unique_ptr<Translator>(new Translator(options, std::move(cache), std::move(workshop)));
}

Translator::Translator(const TranslatorOptions& options, std::unique_ptr<CodeCache> cache,
                       std::shared_ptr<Workshop> workshop)
    : options_(options),
      cache_(std::move(cache)),
      thunks_(x64::make_thunks(*cache_)),
      kept_(cache_->used()),
      workshop_(std::move(workshop)) {}

Translator::~Translator() { hart_ends(); }

void Translator::hart_ends() {
  if (workshop_ != nullptr) workshop_->forget(client_);
}

Translator::Page* Translator::page_of(u64 address) {
  const Gpn number = gpn_of({address});
  if (last_page_ != nullptr && last_page_->number == number) return last_page_;
  const auto found = pages_.find(number.raw);
  return found == pages_.end() ? nullptr : last_page_ = &found->second;
}

Translator::Place* Translator::place_of(u64 address) {
  Page* const page = page_of(address);
  return page == nullptr ? nullptr : page->places.find(address & kPageMask);
}

Translator::Place* Translator::place_of(const x64::Code::Entry& entry) {
  return static_cast<Page*>(entry.home)->places.find(static_cast<u64>(entry.offset) & kPageMask);
}

hart::Block* Translator::block_of(hart::Core& core, const x64::Code::Entry& entry) const {
  const GuestPhys page = static_cast<const Page*>(entry.home)->number.address();
  return core.blocks.find(page.raw + (static_cast<u64>(entry.offset) & kPageMask));
}

const void* Translator::find(const hart::Block& block) {
  const Place* const place = block.straddles() ? nullptr : place_of(block.address);
  return place == nullptr ? nullptr : place->best();
}

void Translator::translate(hart::Core& core, hart::Block& block) {
  if (block.straddles()) return;
  const u64 address = block.address;
  if (Page* const page = page_of(address)) validate(core, *page);
  const Place* const known = place_of(address);
  const bool better = known != nullptr && known->region->is_hot;
  if (known != nullptr && !better) {
    block.translated = known->best();
    return;
  }
  if (better) drop_moved(core, *page_of(address), core.state.pc & ~kPageMask);
  const bool may_be_wide = better && options_.pages > 1 && known->wide == nullptr;
  const Tier tier = may_be_wide ? Tier::kWide : better ? Tier::kFinal : Tier::kFirst;
  if (workshop_ != nullptr && !may_be_wide && take_from_shelf(core, address, tier)) return;
  std::unique_ptr<Order> wanted = order(core, address, tier);
  if (wanted == nullptr) return;
  if (workshop_ != nullptr && may_be_wide && take_from_shelf(core, *wanted)) return;
  const bool taken = workshop_ != nullptr && workshop_->take(client_, wanted, core.state.attention);
  old_order_ = std::move(wanted);
  if (taken) return;
  const auto product = make(*old_order_);
  if (workshop_ != nullptr) workshop_->keep(product);
  deliver(core, *product);
}

// Whether it was made for another hart before.
bool Translator::take_from_shelf(hart::Core& core, u64 address, Tier tier) {
  const auto frame = core.memory.frame(core.holder, gpn_of({address}), memory::Access::kRead);
  if (!frame) return false;
  const auto product = workshop_->find({address}, tier);
  if (product == nullptr || !product->materials[0].is_in(frame->host)) return false;
  deliver(core, *product);
  return true;
}

bool Translator::take_from_shelf(hart::Core& core, const Order& order) {
  const auto product = workshop_->find(order.address(), order.tier);
  if (product == nullptr || !product->is_of(order)) return false;
  deliver(core, *product);
  return true;
}

void Translator::take_up(hart::Core& core) {
  for (const auto& product : workshop_->collect(client_)) deliver(core, *product);
}

// -- Validity ---------------------------------------------------------------------------------------------

// Drops the regions that are not right in the present epoch. Mostly nothing has changed, and that is seen by
// one comparison for all of a page's regions.
void Translator::validate(hart::Core& core, Page& page) {
  if (page.epoch == core.state.epoch) return;
  const auto frame = core.memory.frame(core.holder, page.number, memory::Access::kRead);
  page.epoch = core.state.epoch;
  if (!frame) return drop_changed(core, page, nullptr);
  const std::size_t size = page.end - page.begin;
  if (std::memcmp(page.bytes->data() + page.begin, frame->host + page.begin, size) == 0) return;
  PageCopy now;  // others may write meanwhile
  std::memcpy(now.data(), frame->host, kPageSize);
  drop_changed(core, page, &now);
}

// Whether the page at `now` has what it was made of.
bool Translator::is_of(const Part& part, const std::byte* now) {
  return std::all_of(part.spans.begin(), part.spans.end(), [&](const Material::Span& span) {
    return std::memcmp(part.page->bytes->data() + span.begin, now + span.begin, span.end - span.begin) == 0;
  });
}

// `now` is null where the page is no memory.
void Translator::drop_changed(hart::Core& core, Page& page, const PageCopy* now) {
  const auto is_right = [&](const Region& region) {
    return std::all_of(region.parts.begin(), region.parts.end(),
                       [&](const Part& part) { return part.page != &page || is_of(part, now->data()); });
  };
  const std::vector<Region*> regions = page.regions;
  for (Region* region : regions) {
    const bool is_gone =  // with one below
        std::find(page.regions.begin(), page.regions.end(), region) == page.regions.end();
    if (is_gone || (now != nullptr && is_right(*region))) continue;
    ++statistics_.changed;
    retire(core, *region);
  }
  if (now != nullptr) *page.bytes = *now;
}

// The code stays where slots may lead to it, and leaves at once.
void Translator::retire(hart::Core& core, Region& region) {
  if (region.is_wide()) {
    lift(core, region);
  } else {
    lead(region.code.enter, region.code.stale);
  }
  region.code.header->owner = nullptr;
  for (const x64::Code::Entry& entry : region.code.entries) {
    const Place* found = place_of(entry);
    if (found == nullptr || found->region != &region) continue;
    if (found->wide != nullptr) retire(core, *found->wide);
    static_cast<Page*>(entry.home)->places.erase(static_cast<u64>(entry.offset));
    hart::Block* const block = block_of(core, entry);
    if (block == nullptr || block->translated != &entry) continue;
    block->translated = nullptr;
    block->heat = 0;
  }
  for (const Part& part : region.parts) std::erase(part.page->regions, &region);
  retired_.push_back(std::move(region.code.header));
  const std::size_t index = region.index;
  std::swap(regions_[index], regions_.back());
  regions_[index]->index = index;
  regions_.pop_back();
}

// -- Making -----------------------------------------------------------------------------------------------

// What was never executed would only take room and time. What has code already is reached by a slot, but from
// a region that runs much a slot costs too much. While the order is out, a region that is to be made anew
// does not count.
std::unique_ptr<Order> Translator::order(hart::Core& core, u64 address, Tier tier) {
  auto order = old_order_ ? std::move(old_order_) : std::make_unique<Order>();
  order->clear();
  Order::Page& own = order->pages[0];
  own.number = gpn_of({address});
  order->offset = static_cast<u16>(address & kPageMask);
  order->tier = tier;
  order->is_alone = options_.is_alone;
  order->features = options_.features;
  order->supervisor = core.state.supervisor;
  const u64 pc = core.state.pc;
  order->pc = ((pc ^ address) & kPageMask) == 0 ? pc : address;
  if (!read_page(core, own.number, own.bytes)) return nullptr;
  if (const auto* starts = core.blocks.starts(own.number)) own.wanted = *starts;
  if (tier != Tier::kFirst) own.wanted |= known_blocks(own.number);
  if (tier == Tier::kWide) look_around(core, *order);
  for (Order::Page& page : order->pages) {
    Page* const known = page_of(page.number.address().raw);
    if (known == nullptr) continue;
    known->places.for_each([&](const Place& place) {
      const i32 offset = place.entry->offset;
      const u32 bit = static_cast<u32>(offset) / 2;
      if (tier == Tier::kFirst) return (void)page.wanted.reset(bit);
      page.ways_in[bit] = place.may_lie_below();
      if (const u64 runs = place.region->runs(offset)) order->runs.push_back({page.distance + offset, runs});
      if (place.region->is_short_loop(offset)) order->short_loops.push_back(page.distance + offset);
    });
  }
  if (Place* const old = place_of(address)) old->region->code.header->heat = std::numeric_limits<i64>::max();
  return order;
}

// Code for what stands in the page now gets its place. All others who came to want it meanwhile find it.
void Translator::deliver(hart::Core& core, const Product& product) {
  if (product.image.entries.empty()) return;
  const auto now = [&core](Gpn page) {
    const auto frame = core.memory.frame(core.holder, page, memory::Access::kRead);
    return frame ? frame->host : nullptr;
  };
  if (!product.is_of(now)) return refuse(core, product);
  for (const Material& material : product.materials) make_room(core, material);
  if (!is_news(product)) return;
  auto code = x64::place(product.image, *cache_, thunks_);
  if (!code) {
    clear(core);
    code = x64::place(product.image, *cache_, thunks_);
  }
  if (code) add_region(core, product, std::move(*code));
}

// Whether it has a block that has no code, or none of its tier.
bool Translator::is_news(const Product& product) {
  return std::any_of(product.image.entries.begin(), product.image.entries.end(), [&](const auto& entry) {
    const Place* const place = place_of(product.address_of(entry.offset).raw);
    return place == nullptr ? product.tier != Tier::kWide : is_better(product, *place);
  });
}

bool Translator::is_better(const Product& product, const Place& place) {
  return product.tier != Tier::kFirst && !place.region->is_final &&
         (product.tier == Tier::kFinal || place.wide == nullptr);
}

// Among the bytes that the page's regions are made of: the material, which is memory's now. Where they were
// others, regions may have changed.
void Translator::make_room(hart::Core& core, const Material& material) {
  Page* const page = page_of(material.number.address().raw);
  if (page == nullptr) return;
  validate(core, *page);
  if (material.is_in(page->bytes->data())) return;
  PageCopy now = *page->bytes;
  material.copy_to(now);
  drop_changed(core, *page, &now);
}

// The guest's code has changed meanwhile. It may be ordered again.
void Translator::refuse(hart::Core& core, const Product& product) {
  for (const x64::Image::Entry& entry : product.image.entries) {
    hart::Block* const block = core.blocks.find(product.address_of(entry.offset).raw);
    if (block != nullptr && block->translated == nullptr) block->heat = 0;
  }
  Place* const old = place_of(product.address().raw);
  if (old != nullptr && !old->region->is_final) heat_up(*old->region);
}

void Translator::add_region(hart::Core& core, const Product& product, x64::Code code) {
  if (statistics_.regions % kPrepareEach == 0) os::prepare_heap(kPrepared);
  Region& made = *regions_.emplace_back(std::make_unique<Region>());
  made.code = std::move(code);
  made.index = regions_.size() - 1;
  made.is_final = product.tier != Tier::kFirst;
  made.pc = product.pc;
  made.supervisor = product.supervisor;
  made.short_loops = product.short_loops;
  for (const Material& material : product.materials) {
    Page& page = add_part(core, material);
    page.regions.push_back(&made);
    made.parts.push_back({&page, material.distance, material.spans});
  }
  for (x64::Code::Entry& entry : made.code.entries) {
    const i32 distance = ir::page_distance(entry.offset);
    entry.home = std::find_if(made.parts.begin(), made.parts.end(), [=](const Part& part) {
                   return part.distance == distance;
                 })->page;
  }
  ++statistics_.regions;
  statistics_.bytes += made.code.size;
  statistics_.steps += product.steps;
  heat_up(made);
  made.is_wide() ? publish_wide(core, made) : publish(core, made);
}

Translator::Page& Translator::add_part(hart::Core& core, const Material& material) {
  Page& page = pages_.try_emplace(material.number.raw).first->second;
  if (page.bytes == nullptr) {
    page.number = material.number;
    page.epoch = core.state.epoch;
    page.bytes = std::make_unique<PageCopy>();
    (void)read_page(core, page.number, *page.bytes);
    material.copy_to(*page.bytes);
  }
  page.begin = std::min(page.begin, material.spans.front().begin);
  page.end = std::max(page.end, material.spans.back().end);
  return page;
}

// Its code has so much to do before it is hot.
void Translator::heat_up(Region& region) const {
  region.code.header->owner = &region;
  region.code.header->heat = i64{options_.very_hot} * x64::kEntryWeight;
  region.is_hot = false;
}

// From now on blocks and slots lead there, also from what it takes the place of.
void Translator::publish(hart::Core& core, Region& region) {
  std::vector<Region*> old;
  for (const x64::Code::Entry& entry : region.code.entries) {
    Place* const found = place_of(entry);
    if (found == nullptr) {
      static_cast<Page*>(entry.home)->places.put(static_cast<u64>(entry.offset), {&region, &entry});
    } else {
      if (found->region->is_final || !region.is_final) continue;
      if (std::find(old.begin(), old.end(), found->region) == old.end()) old.push_back(found->region);
      supersede(*found, region, entry);
    }
    if (hart::Block* block = block_of(core, entry)) block->translated = place_of(entry)->best();
  }
  for (Region* const each : old) {
    ++statistics_.remade;
    lies_below(*each) ? heat_up(*each) : retire(core, *each);
  }
}

// What enters the old region there goes on in the better one.
void Translator::supersede(Place& place, Region& better, const x64::Code::Entry& entry) {
  if (place.wide == nullptr) lead(place.entry->code, entry.code);
  place.region = &better;
  place.entry = &entry;
  if (place.wide != nullptr) lay_over(place);
}

// The region was entered very often: at the next opportunity it is made anew.
void Translator::want_better(hart::Core& core, x64::Header* header) {
  auto& region = *static_cast<Region*>(header->owner);
  heat_up(region);
  region.is_hot = true;
  core.wanted = core.blocks.find(region.parts[0].page->number.address().raw + (core.state.pc & kPageMask));
}

// All code goes, and with it all that leads there: blocks, jump entries and slots.
void Translator::clear(hart::Core& core) {
  ++statistics_.clears;
  pages_.clear();
  last_page_ = nullptr;
  regions_.clear();
  retired_.clear();
  open_slot_ = nullptr;
  core.wanted = nullptr;
  cache_->clear(kept_);
  hart::drop_blocks(core);
}

// A jump in the place of an instruction of five bytes: of a slot, or of a way in.
void Translator::lead(const std::byte* from, const void* to) {
  constexpr std::byte kJump{0xe9};
  const i32 distance = static_cast<i32>(static_cast<const std::byte*>(to) - (from + 5));
  std::byte* place = cache_->writable(from);
  place[0] = kJump;
  std::memcpy(place + 1, &distance, sizeof(distance));
}

// The instruction that stood there first.
void Translator::restore(const x64::Code::Entry& way_in) {
  constexpr std::byte kMovEax{0xb8};
  std::byte* place = cache_->writable(way_in.code);
  place[0] = kMovEax;
  std::memcpy(place + 1, &way_in.offset, sizeof(way_in.offset));
}

std::vector<hart::Translator::Figure> Translator::figures() const {
  return {{"regions translated", statistics_.regions},
          {"regions of several pages", statistics_.wide},
          {"guest instructions translated", statistics_.steps},
          {"bytes of translated code made", statistics_.bytes},
          {"bytes of translated code now", cache_->used()},
          {"times that the code cache was full", statistics_.clears},
          {"jumps within a page to where no code was", statistics_.unlinked},
          {"regions dropped for changed code", statistics_.changed}};
}

std::vector<hart::Translator::Piece> Translator::pieces() const {
  std::vector<Piece> result;
  for (const auto& region : regions_) {
    for (const auto& part : region->code.parts) result.push_back({part, region->pc});
  }
  return result;
}

std::vector<hart::Translator::Footprint> Translator::footprints() const {
  std::vector<Footprint> result;
  for (const auto& region : regions_) {
    const std::size_t first = result.size();
    u64 all = 0;
    for (const Part& part : region->parts) {
      const u64 page = (region->pc & ~kPageMask) + static_cast<u64>(i64{part.distance});
      for (const Material::Span& span : part.spans) {
        result.push_back({page + span.begin, page + span.end, region->supervisor, 0});
        all += span.end - span.begin;
      }
    }
    for (std::size_t i = first; i < result.size(); ++i)
      result[i].bytes = region->code.size * (result[i].end - result[i].begin) / all;
  }
  return result;
}

// -- Running ----------------------------------------------------------------------------------------------

namespace {

// What the jump cache knows of the translation at `pc`.
void note_jump(hart::State& s, u64 pc, const void* translated) {
  hart::JumpEntry& entry = hart::jump_entry(s, pc);
  if (entry.pc == pc && entry.tag == s.jump_tag && entry.epoch == s.epoch) entry.translated = translated;
}

}  // namespace

// The block's machine code, if it is right in the present epoch. The page is looked at first, so that a
// region is dropped before it is entered.
const x64::Code::Entry* Translator::right_entry(hart::Core& core, const hart::Block& block) {
  if (block.translated == nullptr) return nullptr;
  validate(core, *static_cast<Page*>(static_cast<const x64::Code::Entry*>(block.translated)->home));
  return static_cast<const x64::Code::Entry*>(block.translated);
}

const void* Translator::enter(hart::Core& core, hart::Block& block) {
  const x64::Code::Entry* entry = right_entry(core, block);
  if (entry == nullptr) return nullptr;
  hart::State& s = core.state;
  note_jump(s, s.pc, entry->code);
  core.tlb.note_jump(s.pc);
  s.page = s.pc & ~kPageMask;
  return entry->code;
}

// The block was right when the code was. While its code is the same, which never changes, it is right again
// when that is.
bool Translator::renew(hart::Core& core, hart::JumpEntry& jump) {
  const hart::State& s = core.state;
  const u32 tag = s.jump_tag;
  const x64::Code::Entry* entry = right_entry(core, *jump.block);
  if (entry == nullptr || entry->code != jump.translated) return false;
  if (static_cast<Page*>(entry->home)->epoch != s.epoch || s.jump_tag != tag) return false;
  jump.epoch = jump.block->epoch = s.epoch;
  return true;
}

Translator::Outcome Translator::execute(hart::Core& core, hart::Block& block) {
  hart::State& s = core.state;
  const void* code = enter(core, block);
  if (code == nullptr) return Outcome::kInterpret;
  if (open_slot_ != nullptr && open_pc_ == s.pc && open_page_ == gpn_of({block.address}))
    lead(open_slot_, code);
  open_slot_ = nullptr;
  const x64::Exit exit = thunks_.enter(&s, code);
  switch (exit.kind & ((u64{1} << x64::kExitKindBits) - 1)) {
    case x64::kExitInterpret:
      return hart::must_stop(s) ? Outcome::kLeft : Outcome::kInterpret;
    case x64::kExitHot:
      want_better(core, reinterpret_cast<x64::Header*>(exit.place));
      break;
    case x64::kExitStale:
      note_jump(s, s.pc, nullptr);
      [[fallthrough]];
    case x64::kExitSlot:
      ++statistics_.unlinked;
      open_slot_ = reinterpret_cast<const std::byte*>(exit.place);
      open_pc_ = s.pc;
      open_page_ = Gpn{exit.kind >> x64::kExitKindBits};
      break;
    default:
      break;
  }
  return Outcome::kLeft;
}

}  // namespace cloister::jit
