// SPDX-License-Identifier: Apache-2.0
#include "hart/block.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.h"

// Blocks are made one behind the other and never freed one by one: a block that is no longer what
// memory holds is only taken out of its bucket, and its place is lost until all are dropped. Links and jump
// entries may still lead to it, but its epoch is old, and whoever follows them looks at that.
namespace cloister::hart {

BlockCache::BlockCache(u64 most_bytes, bool entrances) : entrances_(entrances), buckets_(kBuckets, nullptr) {
  auto memory = os::Mapping::anonymous({round_up(most_bytes, kAhead)}, os::Protection::kReadWrite);
  CHECK(memory.ok());
  memory_ = memory.take();
}

Block* BlockCache::find(u64 address) const {
  Block* block = buckets_[bucket(address)];
  while (block != nullptr && block->address != address) block = block->chain;
  return block;
}

void BlockCache::remove(Block* block) {
  Block** place = &buckets_[bucket(block->address)];
  while (*place != block) place = &(*place)->chain;
  *place = block->chain;
  block->translated = nullptr;
  mark(block->address, false);
}

const BlockCache::Starts* BlockCache::starts(Gpn page) const {
  const auto found = starts_.find(page.raw);
  return found == starts_.end() ? nullptr : &found->second;
}

void BlockCache::mark(u64 address, bool begins) {
  if (entrances_) starts_[address >> kPageShift].set((address & kPageMask) / 2, begins);
}

void BlockCache::insert(Block* block) {
  Block*& first = buckets_[bucket(block->address)];
  block->chain = first;
  first = block;
  mark(block->address, true);
}

Block* BlockCache::allocate(u32 uops, u32 code_bytes) {
  const u64 size = sizeof(Block) + uops * sizeof(Uop) + sizeof(Links) + (code_bytes + 7) / 8 * 8;
  if (used_ + size > memory_.size().raw) return nullptr;
  for (; used_ + size > populated_; populated_ += kAhead) memory_.populate(populated_, {kAhead});
  std::byte* place = memory_.data() + std::exchange(used_, used_ + size);
  auto* block = new (place) Block{};
  block->uops_count = uops;
  block->bytes = static_cast<u16>(code_bytes);
  block->links() = {nullptr, nullptr, 0};
  return block;
}

void BlockCache::drop_all() {
  std::fill(buckets_.begin(), buckets_.end(), nullptr);
  starts_.clear();
  used_ = 0;
  ++drops_;
}

bool is_unchanged(Block& block, const u16* code) {
  for (const u16& saved : block.code()) {
    if (saved != __atomic_load_n(code++, __ATOMIC_RELAXED)) return false;
  }
  return true;
}

}  // namespace cloister::hart
