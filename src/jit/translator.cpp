// SPDX-License-Identifier: Apache-2.0
#include "jit/translator.h"

#include <cstring>

#include "hart/core.h"
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

bool is_unchanged(const PageCopy& page, u16 offset, const std::vector<std::byte>& bytes) {
  return std::memcmp(page.data() + offset, bytes.data(), bytes.size()) == 0;
}

}  // namespace

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
  if (Translation* known = find_valid(core, address)) {
    block.translated = known->code.entry;
    return;
  }
  const u64 clears = statistics_.clears;
  Translation* made = make(core, address);
  if (made != nullptr && clears == statistics_.clears) block.translated = made->code.entry;
}

// The translation that begins at `address`, if its guest code is what it was; else it is forgotten.
Translator::Translation* Translator::find_valid(hart::Core& core, u64 address) {
  const auto found = translations_.find(address);
  if (found == translations_.end()) return nullptr;
  Translation& translation = found->second;
  if (*translation.code.epoch == core.state.epoch) return &translation;
  PageCopy page;
  bool same = read_page(core, gpn_of({address}), page);
  for (const Span& span : translation.made_of) same = same && is_unchanged(page, span.offset, span.bytes);
  if (same) {
    *translation.code.epoch = core.state.epoch;
    return &translation;
  }
  ++statistics_.changed;
  *translation.code.epoch =
      ~core.state.epoch;  // its code stays where slots may lead to it, and leaves at once
  translations_.erase(found);
  return nullptr;
}

Translator::Translation* Translator::make(hart::Core& core, u64 address) {
  PageCopy page;
  if (!read_page(core, gpn_of({address}), page)) return nullptr;
  ir::Region region = ir::build(page, static_cast<u16>(address & kPageMask), {});
  if (region.blocks.front().steps.empty()) return nullptr;
  passes::find_constants(region);
  passes::find_dead(region);
  passes::group_accesses(region);
  auto code = x64::compile(region, *cache_, thunks_);
  if (!code) {
    clear(core);
    code = x64::compile(region, *cache_, thunks_);
  }
  if (!code) return nullptr;
  *code->epoch = core.state.epoch;
  Translation translation{std::move(*code), {}};
  ++statistics_.regions;
  statistics_.bytes += translation.code.size;
  for (const ir::Block& block : region.blocks) {
    statistics_.steps += block.steps.size();
    translation.made_of.push_back({block.begin, {page.begin() + block.begin, page.begin() + block.end}});
  }
  return &translations_.insert_or_assign(address, std::move(translation)).first->second;
}

// All code goes, and with it all that leads there: blocks, jump entries and slots.
void Translator::clear(hart::Core& core) {
  ++statistics_.clears;
  translations_.clear();
  open_slot_ = 0;
  cache_->clear(kept_);
  hart::drop_blocks(core);
}

void Translator::link(const void* code) {
  const u64 target = reinterpret_cast<u64>(code);
  std::memcpy(cache_->writable(reinterpret_cast<const void*>(open_slot_)), &target, sizeof(target));
  open_slot_ = 0;
}

Translator::Outcome Translator::execute(hart::Core& core, hart::Block& block) {
  hart::State& s = core.state;
  const Translation* translation = find_valid(core, block.address);
  if (translation == nullptr || translation->code.entry != block.translated) {
    block.translated = nullptr;
    block.heat = 0;
    return Outcome::kInterpret;
  }
  if (open_slot_ != 0 && open_pc_ == s.pc) link(block.translated);
  open_slot_ = 0;
  s.page = s.pc & ~kPageMask;
  const u64 exit = thunks_.enter(&s, block.translated);
  if (exit == x64::kExitInterpret) return Outcome::kInterpret;
  if (exit != x64::kExitPlain) {
    open_slot_ = exit;
    open_pc_ = s.pc;
  }
  return Outcome::kLeft;
}

}  // namespace cloister::jit
