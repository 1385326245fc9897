// SPDX-License-Identifier: Apache-2.0
// The debug console (SBI 2.0, chapter 12) and its legacy forerunners.
#include <algorithm>
#include <tuple>

#include "machine/sbi.h"

namespace cloister::machine {
namespace {

// Bound: what one call moves. The standard lets a call do less than it was asked.
constexpr u64 kPiece = 4 * kKiB;

}  // namespace

SbiResult Sbi::console_write(const SbiCall& call) {
  const auto [count, low, high] = std::tuple(call.arguments[0], call.arguments[1], call.arguments[2]);
  if (high != 0 || !platform_.is_memory(GuestPhys{low}, count))
    return SbiResult::fail(SbiError::kInvalidParam);
  std::array<std::byte, kPiece> buffer;
  const auto piece = std::span(buffer).first(std::min(count, kPiece));
  if (!platform_.read_memory(GuestPhys{low}, piece)) return SbiResult::fail(SbiError::kInvalidParam);
  platform_.console_write(piece);
  return SbiResult::ok(piece.size());
}

SbiResult Sbi::console_read(const SbiCall& call) {
  const auto [count, low, high] = std::tuple(call.arguments[0], call.arguments[1], call.arguments[2]);
  if (high != 0 || !platform_.is_memory(GuestPhys{low}, count))
    return SbiResult::fail(SbiError::kInvalidParam);
  std::array<std::byte, kPiece> buffer;
  const std::size_t taken = platform_.console_read(std::span(buffer).first(std::min(count, kPiece)));
  if (!platform_.write_memory(GuestPhys{low}, std::span(buffer).first(taken)))
    return SbiResult::fail(SbiError::kFailed);
  return SbiResult::ok(taken);
}

SbiResult Sbi::console_write_byte(const SbiCall& call) {
  const std::byte byte{static_cast<u8>(call.arguments[0])};
  platform_.console_write(std::span(&byte, 1));
  return SbiResult::ok();
}

SbiResult Sbi::legacy_putchar(const SbiCall& call) {
  (void)console_write_byte(call);
  return SbiResult::legacy(0);
}

SbiResult Sbi::legacy_getchar(const SbiCall&) {
  std::byte byte{};
  const std::size_t taken = platform_.console_read(std::span(&byte, 1));
  return SbiResult::legacy(taken == 0 ? ~u64{0} : std::to_integer<u64>(byte));
}

}  // namespace cloister::machine
