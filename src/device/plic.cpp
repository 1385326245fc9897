// SPDX-License-Identifier: Apache-2.0
#include "device/plic.h"

#include <bit>

#include "base/check.h"

namespace cloister::device {
namespace {

constexpr u64 kPriorityBase = 0;
constexpr u64 kPendingBase = 0x1000;
constexpr u64 kEnableBase = 0x2000;
constexpr u64 kEnableStride = 0x80;
constexpr u64 kContextBase = 0x20'0000;
constexpr u64 kContextStride = 0x1000;
constexpr u64 kThreshold = 0;
constexpr u64 kClaim = 4;
constexpr u32 kMaxContexts = 64;

constexpr u32 bit_of(u32 source) { return u32{1} << (source % 32); }

}  // namespace

Plic::Plic(u32 contexts, Output output) : output_(std::move(output)), contexts_(contexts) {
  CHECK(contexts >= 1 && contexts <= kMaxContexts);
  CHECK(output_ != nullptr);
}

void Plic::set_level(u32 source, bool high) {
  CHECK(source > 0 && source < kSources);
  const MutexLock lock(mutex_);
  u32& word = level_[source / 32];
  const u32 changed = high ? word | bit_of(source) : word & ~bit_of(source);
  if (changed == word) return;
  word = changed;
  update_all();
}

// The highest priority above the threshold wins, among equals the lowest number (PLIC 1.0.0, section 5).
u32 Plic::best_source(const Context& context) const {
  u32 best = 0;
  u32 best_priority = context.threshold;
  for (u32 word = 0; word < kWords; ++word) {
    for (u32 left = pending_word(word) & context.enabled[word]; left != 0; left &= left - 1) {
      const u32 source = word * 32 + static_cast<u32>(std::countr_zero(left));
      if (priority_[source] <= best_priority) continue;
      best = source;
      best_priority = priority_[source];
    }
  }
  return best;
}

void Plic::update(u32 index) {
  Context& context = contexts_[index];
  const bool wanted = best_source(context) != 0;
  if (wanted == context.output) return;
  context.output = wanted;
  output_(index, wanted);
}

void Plic::update_all() {
  for (u32 index = 0; index < contexts_.size(); ++index) update(index);
}

u32 Plic::claim(Context& context) {
  const u32 source = best_source(context);
  if (source == 0) return 0;
  DCHECK((claimed_[source / 32] & bit_of(source)) == 0);
  claimed_[source / 32] |= bit_of(source);
  update_all();
  return source;
}

// A completion for a source that the context has not enabled is ignored (PLIC 1.0.0, section 9).
void Plic::complete(const Context& context, u32 source) {
  if (source == 0 || source >= kSources) return;
  if ((context.enabled[source / 32] & bit_of(source)) == 0) return;
  claimed_[source / 32] &= ~bit_of(source);
  update_all();
}

u32 Plic::read_context(u32 index, u64 reg) {
  if (reg == kThreshold) return contexts_[index].threshold;
  return reg == kClaim ? claim(contexts_[index]) : 0;
}

void Plic::write_context(u32 index, u64 reg, u32 value) {
  if (reg == kThreshold) {
    contexts_[index].threshold = value & kMaxPriority;
    update(index);
  } else if (reg == kClaim) {
    complete(contexts_[index], value);
  }
}

u64 Plic::read(u64 offset, u32 size) {
  if (size != 4) return 0;
  const MutexLock lock(mutex_);
  if (offset < kPendingBase) {
    const u64 source = (offset - kPriorityBase) / 4;
    return source < kSources ? priority_[source] : 0;
  }
  if (offset < kEnableBase) {
    const u64 word = (offset - kPendingBase) / 4;
    return word < kWords ? pending_word(static_cast<u32>(word)) : 0;
  }
  if (offset < kContextBase) {
    const u64 index = (offset - kEnableBase) / kEnableStride;
    const u64 word = (offset - kEnableBase) % kEnableStride / 4;
    return index < contexts_.size() && word < kWords ? contexts_[index].enabled[word] : 0;
  }
  const u64 index = (offset - kContextBase) / kContextStride;
  if (index >= contexts_.size()) return 0;
  return read_context(static_cast<u32>(index), (offset - kContextBase) % kContextStride);
}

void Plic::write(u64 offset, u32 size, u64 value) {
  if (size != 4) return;
  const u32 word_value = static_cast<u32>(value);
  const MutexLock lock(mutex_);
  if (offset < kPendingBase) {
    const u64 source = (offset - kPriorityBase) / 4;
    if (source == 0 || source >= kSources) return;
    priority_[source] = word_value & kMaxPriority;
    update_all();
  } else if (offset >= kContextBase) {
    const u64 index = (offset - kContextBase) / kContextStride;
    if (index >= contexts_.size()) return;
    write_context(static_cast<u32>(index), (offset - kContextBase) % kContextStride, word_value);
  } else if (offset >= kEnableBase) {
    const u64 index = (offset - kEnableBase) / kEnableStride;
    const u64 word = (offset - kEnableBase) % kEnableStride / 4;
    if (index >= contexts_.size() || word >= kWords) return;
    contexts_[index].enabled[word] = word == 0 ? word_value & ~u32{1} : word_value;
    update(static_cast<u32>(index));
  }
}

void Plic::reset() {
  const MutexLock lock(mutex_);
  priority_ = {};
  claimed_ = {};
  for (u32 index = 0; index < contexts_.size(); ++index) {
    contexts_[index].enabled = {};
    contexts_[index].threshold = 0;
    update(index);
  }
}

}  // namespace cloister::device
