// SPDX-License-Identifier: Apache-2.0
#include "machine/sbi.h"

#include <algorithm>
#include <optional>

#include "base/check.h"

namespace cloister::machine {
namespace {

// Extension IDs: up to four letters.
enum Extension : u64 {
  kLegacySetTimer = 0x00,
  kLegacyPutchar = 0x01,
  kLegacyGetchar = 0x02,
  kLegacyClearIpi = 0x03,
  kLegacyShutdown = 0x08,
  kBase = 0x10,
  kTime = 0x54494d45,
  kIpi = 0x735049,
  kRfence = 0x52464e43,
  kHsm = 0x48534d,
  kSrst = 0x53525354,
  kDbcn = 0x4442434e,
  kPmu = 0x504d55,
};
constexpr u64 kLastLegacy = 0x0f;

constexpr u64 kVersion2 = u64{2} << 24;
constexpr u64 kImplementation = 0x436c6f69;  // "Cloi": in no registry
constexpr u64 kImplementationVersion = 1;

constexpr u32 kSuspendRetentive = 0;
constexpr u32 kSuspendNonRetentive = 0x8000'0000;
constexpr u32 kSuspendPlatform = 0x1000'0000;  // from here on, in either half: a platform's own

std::optional<HartMask> decode_mask(u64 mask, u64 base, u32 harts) {
  const HartMask all = harts == 64 ? ~HartMask{0} : (HartMask{1} << harts) - 1;
  if (base == ~u64{0}) return all;
  if (mask == 0) return 0;
  if (base >= harts) return std::nullopt;
  const u128 wide = u128{mask} << base;
  return (wide & ~u128{all}) == 0 ? std::optional(static_cast<HartMask>(wide)) : std::nullopt;
}

}  // namespace

// Most frequent first, for the look-up is a walk.
constexpr Sbi::Entry Sbi::kTable[] = {
    {kIpi, 0, &Sbi::send_ipi},
    {kRfence, 0, &Sbi::fence_i},
    {kRfence, 1, &Sbi::sfence_vma},
    {kRfence, 2, &Sbi::sfence_vma_asid},
    {kTime, 0, &Sbi::set_timer},
    {kHsm, 0, &Sbi::hart_start},
    {kHsm, 1, &Sbi::hart_stop},
    {kHsm, 2, &Sbi::hart_status},
    {kHsm, 3, &Sbi::hart_suspend},
    {kDbcn, 0, &Sbi::console_write},
    {kDbcn, 1, &Sbi::console_read},
    {kDbcn, 2, &Sbi::console_write_byte},
    {kBase, 0, &Sbi::spec_version},
    {kBase, 1, &Sbi::implementation_id},
    {kBase, 2, &Sbi::implementation_version},
    {kBase, 3, &Sbi::probe_extension},
    {kBase, 4, &Sbi::zero},  // mvendorid
    {kBase, 5, &Sbi::zero},  // marchid
    {kBase, 6, &Sbi::zero},  // mimpid
    {kSrst, 0, &Sbi::system_reset},
    {kPmu, 0, &Sbi::counter_count},
    {kPmu, 1, &Sbi::counter_info},
    {kPmu, 2, &Sbi::counter_configure},
    {kPmu, 3, &Sbi::counter_start},
    {kPmu, 4, &Sbi::counter_stop},
    {kLegacySetTimer, 0, &Sbi::legacy_set_timer},
    {kLegacyPutchar, 0, &Sbi::legacy_putchar},
    {kLegacyGetchar, 0, &Sbi::legacy_getchar},
    {kLegacyClearIpi, 0, &Sbi::legacy_clear_ipi},
    {kLegacyShutdown, 0, &Sbi::legacy_shutdown},
};

SbiResult Sbi::call(const SbiCall& call) {
  CHECK(call.hart < platform_.hart_count());
  const u64 function = call.extension <= kLastLegacy ? 0 : call.function;  // legacy calls have none
  for (const Entry& entry : kTable) {
    if (entry.extension == call.extension && entry.function == function) return (this->*entry.handler)(call);
  }
  return SbiResult::fail(SbiError::kNotSupported);
}

void Sbi::reset() { std::fill(counters_.begin(), counters_.end(), CounterState{}); }

bool Sbi::has_extension(u64 extension) {
  return std::any_of(std::begin(kTable), std::end(kTable),
                     [&](const Entry& entry) { return entry.extension == extension; });
}

SbiResult Sbi::spec_version(const SbiCall&) { return SbiResult::ok(kVersion2); }
SbiResult Sbi::implementation_id(const SbiCall&) { return SbiResult::ok(kImplementation); }
SbiResult Sbi::implementation_version(const SbiCall&) { return SbiResult::ok(kImplementationVersion); }
SbiResult Sbi::zero(const SbiCall&) { return SbiResult::ok(); }

SbiResult Sbi::probe_extension(const SbiCall& call) {
  return SbiResult::ok(has_extension(call.arguments[0]) ? 1 : 0);
}

SbiResult Sbi::set_timer(const SbiCall& call) {
  platform_.set_timer(call.hart, call.arguments[0]);
  return SbiResult::ok();
}

SbiResult Sbi::send_ipi(const SbiCall& call) {
  const auto harts = decode_mask(call.arguments[0], call.arguments[1], platform_.hart_count());
  if (!harts) return SbiResult::fail(SbiError::kInvalidParam);
  platform_.set_software_interrupt(*harts, true);
  return SbiResult::ok();
}

SbiResult Sbi::fence(const SbiCall& call, const RemoteFence& what) {
  const auto harts = decode_mask(call.arguments[0], call.arguments[1], platform_.hart_count());
  if (!harts) return SbiResult::fail(SbiError::kInvalidParam);
  platform_.remote_fence(call.hart, *harts, what);
  return SbiResult::ok();
}

SbiResult Sbi::fence_i(const SbiCall& call) { return fence(call, RemoteFence{}); }

SbiResult Sbi::sfence_vma(const SbiCall& call) {
  return fence(call, {FenceKind::kTranslations, GuestVirt{call.arguments[2]}, call.arguments[3], 0});
}

SbiResult Sbi::sfence_vma_asid(const SbiCall& call) {
  return fence(call, {FenceKind::kTranslationsOfAsid, GuestVirt{call.arguments[2]}, call.arguments[3],
                      call.arguments[4]});
}

SbiResult Sbi::hart_start(const SbiCall& call) {
  const u64 hart = call.arguments[0];
  const GuestPhys pc{call.arguments[1]};
  if (hart >= platform_.hart_count()) return SbiResult::fail(SbiError::kInvalidParam);
  if (pc.raw % 2 != 0 || !platform_.is_memory(pc, 2)) return SbiResult::fail(SbiError::kInvalidAddress);
  if (!platform_.start_hart(static_cast<u32>(hart), pc, call.arguments[2]))
    return SbiResult::fail(SbiError::kAlreadyAvailable);
  return SbiResult::ok();
}

// Does not return to the caller: the hart is stopped before its next instruction.
SbiResult Sbi::hart_stop(const SbiCall& call) {
  platform_.stop_hart(call.hart);
  return SbiResult::ok();
}

SbiResult Sbi::hart_status(const SbiCall& call) {
  if (call.arguments[0] >= platform_.hart_count()) return SbiResult::fail(SbiError::kInvalidParam);
  return SbiResult::ok(static_cast<u64>(platform_.hart_state(static_cast<u32>(call.arguments[0]))));
}

SbiResult Sbi::hart_suspend(const SbiCall& call) {
  const u32 type = static_cast<u32>(call.arguments[0]);
  if (call.arguments[0] != type) return SbiResult::fail(SbiError::kInvalidParam);
  if (type == kSuspendNonRetentive || (type & ~kSuspendNonRetentive) >= kSuspendPlatform)
    return SbiResult::fail(SbiError::kNotSupported);
  if (type != kSuspendRetentive) return SbiResult::fail(SbiError::kInvalidParam);
  platform_.suspend_hart(call.hart);
  return SbiResult::ok();
}

SbiResult Sbi::system_reset(const SbiCall& call) {
  constexpr u64 kShutdown = 0;
  constexpr u64 kWarmReboot = 2;
  constexpr u64 kSystemFailure = 1;
  const u64 type = call.arguments[0];
  const u64 reason = call.arguments[1];
  if (type > kWarmReboot || reason > kSystemFailure) return SbiResult::fail(SbiError::kInvalidParam);
  platform_.reset_system(call.hart, type == kShutdown ? ResetType::kShutdown : ResetType::kReboot,
                         reason == kSystemFailure ? ResetReason::kSystemFailure : ResetReason::kNone);
  return SbiResult::ok();
}

SbiResult Sbi::legacy_set_timer(const SbiCall& call) {
  platform_.set_timer(call.hart, call.arguments[0]);
  return SbiResult::legacy(0);
}

SbiResult Sbi::legacy_clear_ipi(const SbiCall& call) {
  platform_.set_software_interrupt(HartMask{1} << call.hart, false);
  return SbiResult::legacy(0);
}

SbiResult Sbi::legacy_shutdown(const SbiCall& call) {
  platform_.reset_system(call.hart, ResetType::kShutdown, ResetReason::kNone);
  return SbiResult::legacy(0);
}

}  // namespace cloister::machine
