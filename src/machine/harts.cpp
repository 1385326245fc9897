// SPDX-License-Identifier: Apache-2.0
//
// Remote fences
//
// When an SBI RFENCE call returns, Linux gives freed pages to others and patched code to everybody: no hart
// may then go on with a translation or an instruction from before. So the caller waits. It does not wait for
// harts that are outside the guest (asleep, stopped, in a call into the host, not scheduled between two
// slices): those do what was posted before their next instruction. A hart inside the guest comes to a block's
// end within microseconds, unless the host took its CPU away; the caller then sleeps until it is back, and
// its CPU is free for just that. All fences are posted before the first is awaited, so the waits overlap, and
// while a hart waits in its own call it counts as outside: two harts that fence each other do not wait for
// each other.
#include "machine/harts.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace cloister::machine {
namespace {

template <typename Use>
void for_each_hart(HartMask harts, Use&& use) {
  for (; harts != 0; harts &= harts - 1) use(static_cast<u32>(std::countr_zero(harts)));
}

}  // namespace

Harts::Harts(Translators translators, memory::GuestMemory& memory, hart::Environment& environment,
             hart::HartOptions options) {
  for (auto& translator : translators) {
    options.translator = translator.get();
    slots_.push_back(
        std::make_unique<HartSlot>(count(), memory, environment, options, std::move(translator)));
  }
}

bool Harts::start(u32 id, GuestPhys pc, u64 opaque) {
  const MutexLock lock(mutex_);
  HartSlot& slot = *slots_[id];
  if (slot.state != HartState::kStopped) return false;
  slot.start_pc = pc;
  slot.start_opaque = opaque;
  slot.state = HartState::kStartPending;
  slot.hart.request_exit();
  return true;
}

bool Harts::stop(u32 id) {
  const MutexLock lock(mutex_);
  HartSlot& slot = *slots_[id];
  DCHECK(slot.state == HartState::kStarted);
  slot.state = HartState::kStopped;
  slot.hart.request_exit();
  return std::all_of(slots_.begin(), slots_.end(),
                     [](const auto& other) { return other->state == HartState::kStopped; });
}

void Harts::suspend(u32 id) {
  slots_[id]->state = HartState::kSuspended;
  slots_[id]->hart.request_exit();
}

void Harts::begin(HartSlot& slot) {
  slot.hart.set_interrupt(hart::Interrupt::kSoftware, false);
  slot.hart.reset(slot.start_pc.raw, slot.start_opaque);
  slot.state = HartState::kStarted;
}

void Harts::reset() {
  for (const auto& slot : slots_) {
    slot->state = HartState::kStopped;
    slot->hart.set_interrupt(hart::Interrupt::kSoftware, false);
    slot->hart.set_interrupt(hart::Interrupt::kExternal, false);
  }
}

void Harts::request_exit() {
  for (const auto& slot : slots_) slot->hart.request_exit();
}

void Harts::set_software_interrupt(HartMask harts, bool pending) {
  for_each_hart(harts, [&](u32 id) { slots_[id]->hart.set_interrupt(hart::Interrupt::kSoftware, pending); });
}

void Harts::post(hart::Hart& hart, const RemoteFence& what) {
  switch (what.kind) {
    case FenceKind::kInstructions:
      return hart.post_fence_i(hart::Wait::kNot);
    case FenceKind::kTranslations:
      return hart.post_sfence_vma(what.start, what.size, hart::Wait::kNot);
    case FenceKind::kTranslationsOfAsid:
      return hart.post_sfence_vma_asid(what.start, what.size, what.asid, hart::Wait::kNot);
  }
}

void Harts::fence(u32 caller, HartMask harts, const RemoteFence& what) {
  for_each_hart(harts, [&](u32 id) { post(slots_[id]->hart, what); });
  const HartMask others = harts & ~(HartMask{1} << caller);
  for_each_hart(others, [&](u32 id) { slots_[id]->hart.await_fences(); });
}

}  // namespace cloister::machine
