// SPDX-License-Identifier: Apache-2.0
#include "jit/translator.h"

#include <algorithm>
#include <cstring>

#include "hart/core.h"
#include "hart/execute.h"
#include "jit/ir/region.h"
#include "jit/passes/passes.h"

// From hot blocks to regions, and from one region to the next.
//
// A jump out of a region to a known place of the same page goes through a slot, which at first leads back
// here. Then pc's block is looked up as the interpreter does; when it has a translation the slot is pointed
// there, and from then on the jump is direct. Slots need no undoing: the code that they lead to checks the
// epoch at its entry, and is forgotten only together with all other code.
namespace cloister::jit {

namespace {

using PageCopy = std::array<std::byte, kPageSize>;

// The page as it is now, or false where it is no memory. A safe point.
bool read_page(hart::Core& core, Gpn page, PageCopy& copy) {
  const auto frame = core.memory.frame(core.holder, page, memory::Access::kRead);
  if (!frame) return false;
  std::memcpy(copy.data(), frame->host, kPageSize);
  return true;
}

}  // namespace

const void* Translator::Region::entry(u64 offset) const {
  for (const x64::Code::Entry& each : code.entries) {
    if (each.offset == offset) return each.code;
  }
  return nullptr;
}

u64 Translator::Region::runs(u64 offset) const {
  if (code.runs->empty()) return 0;
  for (const x64::Code::Entry& each : code.entries) {
    if (each.offset == offset) return (*code.runs)[each.block];
  }
  return 0;
}

Result<std::unique_ptr<Translator>> Translator::create(const TranslatorOptions& options) {
  auto cache = TRY(CodeCache::create(options.code_cache));
  return std::unique_ptr<Translator>(new Translator(options, std::move(cache)));
}

Translator::Translator(const TranslatorOptions& options, std::unique_ptr<CodeCache> cache)
    : options_(options),
      cache_(std::move(cache)),
      thunks_(x64::make_thunks(*cache_)),
      kept_(cache_->used()) {}

void Translator::translate(hart::Core& core, hart::Block& block) {
  if (block.straddles()) return;
  const u64 address = block.address;
  const void* known = find_valid(core, address);
  const bool better = known != nullptr && places_.at(address).region->is_hot;
  if (known != nullptr && !better) {
    block.translated = known;
    return;
  }
  const u64 clears = statistics_.clears;
  const void* made = make(core, address, better ? Tier::kFinal : Tier::kFirst);
  if (clears == statistics_.clears) block.translated = made;
}

// -- Validity ---------------------------------------------------------------------------------------------

// The code for the block at `address`, if its guest code is what it was; else it is forgotten.
const void* Translator::find_valid(hart::Core& core, u64 address) {
  const auto found = places_.find(address);
  if (found == places_.end()) return nullptr;
  const Place place = found->second;
  return validate(core, *place.region) ? place.code : nullptr;
}

// The same for the region with this header, left at `pc`. One that was dropped before has no owner.
const void* Translator::find_valid(hart::Core& core, x64::Header* header, u64 pc) {
  auto* region = static_cast<Region*>(header->owner);
  if (region == nullptr || !validate(core, *region)) return nullptr;
  return region->entry(pc & kPageMask);
}

// Whether the region is right in the present epoch. Drops it when it is not.
bool Translator::validate(hart::Core& core, Region& region) {
  const u32 epoch = core.state.epoch;
  if (region.code.header->epoch == epoch) return true;
  const auto frame = core.memory.frame(core.holder, region.page, memory::Access::kRead);
  bool same = frame.has_value();
  const std::byte* bytes = region.bytes.data();
  for (const Region::Span& span : region.spans) {
    const std::size_t size = span.end - span.begin;
    same = same && std::memcmp(frame->host + span.begin, bytes, size) == 0;
    bytes += size;
  }
  if (same) {
    region.code.header->epoch = epoch;
  } else {
    drop(core, region);
  }
  return same;
}

void Translator::drop(hart::Core& core, Region& region) {
  ++statistics_.changed;
  retire(core, region);
}

// The code stays where slots may lead to it, and leaves at once: epochs have 32 bits, so none is kNever.
void Translator::retire(hart::Core& core, Region& region) {
  constexpr u64 kNever = ~u64{0};
  region.code.header->epoch = kNever;
  region.code.header->owner = nullptr;
  for (const x64::Code::Entry& entry : region.code.entries) {
    const u64 address = region.page.address().raw + entry.offset;
    const auto found = places_.find(address);
    if (found == places_.end() || found->second.region != &region) continue;
    places_.erase(found);
    hart::Block* block = core.blocks.find(address);
    if (block == nullptr || block->translated != entry.code) continue;
    block->translated = nullptr;
    block->heat = 0;
  }
  retired_.push_back(std::move(region.code.header));
  const std::size_t index = region.index;
  std::swap(regions_[index], regions_.back());
  regions_[index]->index = index;
  regions_.pop_back();
}

// -- Making -----------------------------------------------------------------------------------------------

// What was never executed would only take room and time. What has code already is reached by a slot, but from
// a region that runs much a slot costs too much.
ir::Region Translator::read(hart::Core& core, u64 address, std::span<const std::byte, kPageSize> page,
                            Tier tier) {
  const u64 base = address & ~kPageMask;
  const bool first = tier == Tier::kFirst;
  const auto wanted = [&](u16 offset) {
    return core.blocks.find(base + offset) != nullptr && !(first && places_.contains(base + offset));
  };
  std::vector<u16> executed;
  for (u16 offset = 0; offset < kPageSize && !first; offset = static_cast<u16>(offset + 2)) {
    if (core.blocks.find(base + offset) != nullptr) executed.push_back(offset);
  }
  ir::Region region = ir::build(page, static_cast<u16>(address & kPageMask),
                                first ? ir::kFirstLimits : ir::kHotLimits, wanted, executed);
  region.counts_entries = first;
  for (ir::Block& block : region.blocks) {
    const auto known = places_.find(base + block.begin);
    if (!first && known != places_.end()) block.runs = known->second.region->runs(block.begin);
  }
  return region;
}

const void* Translator::make(hart::Core& core, u64 address, Tier tier) {
  PageCopy page;
  if (!read_page(core, gpn_of({address}), page)) return nullptr;
  ir::Region region = read(core, address, page, tier);
  if (region.blocks.front().steps.empty()) return nullptr;
  passes::fuse(region);
  passes::find_constants(region);
  passes::find_dead(region);
  passes::group_accesses(region);
  if (tier == Tier::kFinal) passes::find_loops(region);
  auto code = x64::compile(region, *cache_, thunks_);
  if (!code) {
    clear(core);
    code = x64::compile(region, *cache_, thunks_);
  }
  if (!code) return nullptr;
  Region& made = *regions_.emplace_back(std::make_unique<Region>());
  made.code = std::move(*code);
  made.page = gpn_of({address});
  made.index = regions_.size() - 1;
  made.is_final = tier == Tier::kFinal;
  note_sources(made, region, page);
  publish(core, made);
  return made.code.entries.front().code;
}

// The blocks' bytes, each once.
void Translator::note_sources(Region& region, const ir::Region& made_of, std::span<const std::byte> page) {
  ++statistics_.regions;
  statistics_.bytes += region.code.size;
  std::vector<Region::Span>& spans = region.spans;
  for (const ir::Block& block : made_of.blocks) {
    statistics_.steps += block.steps.size();
    spans.push_back({block.begin, block.end});
  }
  std::sort(spans.begin(), spans.end(), [](auto a, auto b) { return a.begin < b.begin; });
  std::size_t last = 0;
  for (const Region::Span& span : spans) {
    if (span.begin > spans[last].end) {
      spans[++last] = span;
    } else {
      spans[last].end = std::max(spans[last].end, span.end);
    }
  }
  spans.resize(last + 1);
  for (const Region::Span& span : spans)
    region.bytes.insert(region.bytes.end(), page.begin() + span.begin, page.begin() + span.end);
}

// From now on blocks and slots lead there, also from what it takes the place of.
void Translator::publish(hart::Core& core, Region& region) {
  *region.code.header = {core.state.epoch, &region, i64{options_.very_hot} * x64::kEntryWeight};
  for (const x64::Code::Entry& entry : region.code.entries) {
    const u64 address = region.page.address().raw + entry.offset;
    const auto found = places_.find(address);
    if (found != places_.end()) {
      if (found->second.region->is_final || !region.is_final) continue;
      supersede(*found->second.region, region);
      retire(core, *found->second.region);
    }
    places_.insert_or_assign(address, Place{&region, entry.code});
    if (hart::Block* block = core.blocks.find(address)) block->translated = entry.code;
  }
}

// What enters the old region goes on in the better one, where that has the block.
void Translator::supersede(Region& old, const Region& better) {
  ++statistics_.remade;
  for (const x64::Code::Entry& entry : old.code.entries) {
    if (const void* code = better.entry(entry.offset)) lead(entry.code, code);
  }
}

// The region was entered very often: at the next opportunity it is made anew.
void Translator::want_better(hart::Core& core, x64::Header* header) {
  auto& region = *static_cast<Region*>(header->owner);
  region.code.header->heat = i64{options_.very_hot} * x64::kEntryWeight;
  region.is_hot = true;
  core.wanted = core.blocks.find(region.page.address().raw + (core.state.pc & kPageMask));
}

// All code goes, and with it all that leads there: blocks, jump entries and slots.
void Translator::clear(hart::Core& core) {
  ++statistics_.clears;
  places_.clear();
  regions_.clear();
  retired_.clear();
  open_slot_ = nullptr;
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

std::vector<hart::Translator::Figure> Translator::figures() const {
  return {{"regions translated", statistics_.regions},
          {"guest instructions translated", statistics_.steps},
          {"bytes of translated code made", statistics_.bytes},
          {"bytes of translated code now", cache_->used()},
          {"times that the code cache was full", statistics_.clears},
          {"regions dropped for changed code", statistics_.changed}};
}

// -- Running ----------------------------------------------------------------------------------------------

namespace {

// What the jump cache knows of the translation at `pc`.
void note_jump(hart::State& s, u64 pc, const void* translated) {
  hart::JumpEntry& entry = hart::jump_entry(s, pc);
  if (entry.pc == pc && entry.tag == s.jump_tag) entry.translated = translated;
}

}  // namespace

Translator::Outcome Translator::execute(hart::Core& core, hart::Block& block) {
  hart::State& s = core.state;
  const u64 pc = s.pc;
  if (open_slot_ != nullptr && open_pc_ == pc) lead(open_slot_, block.translated);
  open_slot_ = nullptr;
  note_jump(s, pc, block.translated);
  s.page = pc & ~kPageMask;
  x64::Exit exit = thunks_.enter(&s, block.translated);
  while (exit.kind == x64::kExitStale) {
    const void* code = find_valid(core, reinterpret_cast<x64::Header*>(exit.place), s.pc);
    if (code == nullptr) {
      if (s.pc == pc) block.translated = nullptr;
      note_jump(s, s.pc, nullptr);
      return Outcome::kInterpret;
    }
    exit = thunks_.enter(&s, code);
  }
  if (exit.kind == x64::kExitInterpret) return hart::must_stop(s) ? Outcome::kLeft : Outcome::kInterpret;
  if (exit.kind == x64::kExitHot) want_better(core, reinterpret_cast<x64::Header*>(exit.place));
  if (exit.kind == x64::kExitSlot) {
    open_slot_ = reinterpret_cast<const std::byte*>(exit.place);
    open_pc_ = s.pc;
  }
  return Outcome::kLeft;
}

}  // namespace cloister::jit
