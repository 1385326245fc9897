// SPDX-License-Identifier: Apache-2.0
// The performance monitoring unit (SBI 2.0, chapter 11): the two counters that the hart really has, each with
// its one event. They run freely: stopping one only says so, and a counter that is read after it was stopped
// has gone on by the few instructions in between. There is no overflow interrupt, and so no sampling.
#include "base/check.h"
#include "machine/sbi.h"

namespace cloister::machine {
namespace {

constexpr u64 kCsrOf[kCounters] = {0xc00, 0xc02};  // cycle, instret
constexpr u64 kEventOf[kCounters] = {1, 2};        // SBI_PMU_HW_CPU_CYCLES, SBI_PMU_HW_INSTRUCTIONS
constexpr u64 kWidthField = u64{63} << 12;

constexpr u64 kConfigureSkipMatch = 1;
constexpr u64 kConfigureClear = 2;
constexpr u64 kConfigureStart = 4;
constexpr u64 kStartSetValue = 1;
constexpr u64 kStopReset = 1;

// The counters that a call names, as bits; 0: one that is not there, or none.
u32 named_counters(const SbiCall& call) {
  const auto [base, mask] = std::pair(call.arguments[0], call.arguments[1]);
  if (base >= kCounters) return 0;
  const u128 wide = u128{mask} << base;
  return wide < u128{1} << kCounters ? static_cast<u32>(wide) : 0;
}

constexpr bool contains(u32 set, u32 counter) { return (set >> counter & 1) != 0; }

}  // namespace

SbiResult Sbi::counter_count(const SbiCall&) { return SbiResult::ok(kCounters); }

SbiResult Sbi::counter_info(const SbiCall& call) {
  if (call.arguments[0] >= kCounters) return SbiResult::fail(SbiError::kInvalidParam);
  return SbiResult::ok(kWidthField | kCsrOf[call.arguments[0]]);
}

SbiResult Sbi::counter_configure(const SbiCall& call) {
  const u32 named = named_counters(call);
  const u64 flags = call.arguments[2];
  const u64 event = call.arguments[3];
  if (named == 0) return SbiResult::fail(SbiError::kInvalidParam);
  CounterState& state = counters_[call.hart];
  for (u32 counter = 0; counter < kCounters; ++counter) {
    if (!contains(named, counter)) continue;
    if ((flags & kConfigureSkipMatch) != 0 ? !contains(state.configured, counter)
                                           : kEventOf[counter] != event)
      continue;
    state.configured |= u32{1} << counter;
    if ((flags & kConfigureClear) != 0) platform_.set_counter(call.hart, Counter{counter}, 0);
    if ((flags & kConfigureStart) != 0) state.started |= u32{1} << counter;
    return SbiResult::ok(counter);
  }
  return SbiResult::fail(SbiError::kNotSupported);
}

SbiResult Sbi::counter_start(const SbiCall& call) {
  const u32 named = named_counters(call);
  CounterState& state = counters_[call.hart];
  if (named == 0) return SbiResult::fail(SbiError::kInvalidParam);
  if ((named & state.started) != 0) return SbiResult::fail(SbiError::kAlreadyStarted);
  for (u32 counter = 0; counter < kCounters; ++counter) {
    if (contains(named, counter) && (call.arguments[2] & kStartSetValue) != 0)
      platform_.set_counter(call.hart, Counter{counter}, call.arguments[3]);
  }
  state.started |= named;
  return SbiResult::ok();
}

SbiResult Sbi::counter_stop(const SbiCall& call) {
  const u32 named = named_counters(call);
  CounterState& state = counters_[call.hart];
  if (named == 0) return SbiResult::fail(SbiError::kInvalidParam);
  const bool was_stopped = (named & ~state.started) != 0;
  state.started &= ~named;
  if ((call.arguments[2] & kStopReset) != 0) state.configured &= ~named;
  return was_stopped ? SbiResult::fail(SbiError::kAlreadyStopped) : SbiResult::ok();
}

}  // namespace cloister::machine
