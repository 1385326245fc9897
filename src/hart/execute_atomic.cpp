// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <atomic>

#include "hart/execute.h"

// Atomic memory operations and the fences. A host's locked instruction is the AMO, with all the order that aq
// and rl can ask for.
//
// LR remembers address and value; SC is a compare-and-swap of that value. A word that others changed and
// changed back in between is not noticed, unlike on most hardware;
// docs/decisions/lr-sc-by-compare-and-swap.md says why that is good enough. A trap, a return from one, and
// another SC end the reservation.
//
// RVWMO on x86: loads and stores of x86 keep all orders but that of a store before a later load. So only
// fences that order writes before reads need an instruction, and an LR with rl (stores before it must not
// pass it).
namespace cloister::hart {

namespace {

template <typename T>
u64 extended(T value) {
  return static_cast<u64>(i64{static_cast<std::make_signed_t<T>>(value)});
}

// The T at the address in rs1, ready for `use`, or nullptr when a trap was taken.
template <typename T>
inline T* place_of(State& s, const Uop* u, u64 pc, Use use) {
  const u64 va = s.x[u->rs1];
  const TlbEntry& entry = tlb_entry(s, va);
  const u64 tag = use == Use::kLoad ? entry.read_tag : entry.write_tag;
  if (tag == tlb_tag(s, va) && va % sizeof(T) == 0) [[likely]]
    return reinterpret_cast<T*>(va + entry.addend);
  return reinterpret_cast<T*>(locate_aligned(s, u, pc, sizeof(T), use));
}

template <typename T, typename Operation>
inline T fetch_and_update(T* place, Operation operation) {
  T old = __atomic_load_n(place, __ATOMIC_RELAXED);
  while (
      !__atomic_compare_exchange_n(place, &old, operation(old), true, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED)) {
  }
  return old;
}

enum class Amo { kSwap, kAdd, kXor, kAnd, kOr, kMin, kMax };

template <Amo kAmo, typename T>
inline T perform(T* place, T operand) {
  if constexpr (kAmo == Amo::kSwap) return __atomic_exchange_n(place, operand, __ATOMIC_SEQ_CST);
  if constexpr (kAmo == Amo::kAdd) return __atomic_fetch_add(place, operand, __ATOMIC_SEQ_CST);
  if constexpr (kAmo == Amo::kXor) return __atomic_fetch_xor(place, operand, __ATOMIC_SEQ_CST);
  if constexpr (kAmo == Amo::kAnd) return __atomic_fetch_and(place, operand, __ATOMIC_SEQ_CST);
  if constexpr (kAmo == Amo::kOr) return __atomic_fetch_or(place, operand, __ATOMIC_SEQ_CST);
  if constexpr (kAmo == Amo::kMin)
    return fetch_and_update(place, [operand](T old) { return std::min(old, operand); });
  if constexpr (kAmo == Amo::kMax)
    return fetch_and_update(place, [operand](T old) { return std::max(old, operand); });
}

// The update in a function of its own: its locals' addresses must not keep amo()'s last call from being a
// jump.
template <Amo kAmo, typename T>
[[gnu::noinline]] bool update(State& s, const Uop* u, u64 pc) {
  T* place = place_of<T>(s, u, pc, Use::kStore);
  if (place == nullptr) return false;
  s.x[u->rd] = extended(perform<kAmo, T>(place, static_cast<T>(s.x[u->rs2])));
  return true;
}

template <Amo kAmo, typename T>
inline void amo(State& s, const Uop* u, u64 pc) {
  if (!update<kAmo, T>(s, u, pc)) return;
  NEXT;
}

void fence_all() { std::atomic_thread_fence(std::memory_order_seq_cst); }

template <typename T>
inline void load_reserved(State& s, const Uop* u, u64 pc) {
  constexpr u8 kRelease = 1;
  if ((u->rm & kRelease) != 0) fence_all();
  const T* place = place_of<T>(s, u, pc, Use::kLoad);
  if (place == nullptr) return;
  const T value = __atomic_load_n(place, __ATOMIC_ACQUIRE);
  s.reserved_address = s.x[u->rs1];
  s.reserved_value = value;
  s.reserved_size = sizeof(T);
  s.x[u->rd] = extended(value);
  NEXT;
}

template <typename T>
[[gnu::noinline]] bool store_conditional(State& s, const Uop* u, u64 pc) {
  T* place = place_of<T>(s, u, pc, Use::kStore);
  if (place == nullptr) return false;
  const bool reserved = s.reserved_size == sizeof(T) && s.reserved_address == s.x[u->rs1];
  s.reserved_size = 0;
  T expected = static_cast<T>(s.reserved_value);
  const T value = static_cast<T>(s.x[u->rs2]);
  const bool stored = reserved && __atomic_compare_exchange_n(place, &expected, value, false,
                                                              __ATOMIC_SEQ_CST, __ATOMIC_RELAXED);
  s.x[u->rd] = stored ? 0 : 1;
  return true;
}

}  // namespace

namespace op {

// clang-format off
#define AMO(name, operation, T, U) \
  OP(name##_w) { return amo<Amo::operation, T>(s, u, pc); } \
  OP(name##_d) { return amo<Amo::operation, U>(s, u, pc); }
AMO(amoswap, kSwap, u32, u64)
AMO(amoadd,  kAdd,  u32, u64)
AMO(amoxor,  kXor,  u32, u64)
AMO(amoand,  kAnd,  u32, u64)
AMO(amoor,   kOr,   u32, u64)
AMO(amomin,  kMin,  i32, i64)
AMO(amomax,  kMax,  i32, i64)
AMO(amominu, kMin,  u32, u64)
AMO(amomaxu, kMax,  u32, u64)
// clang-format on

OP(lr_w) { return load_reserved<u32>(s, u, pc); }
OP(lr_d) { return load_reserved<u64>(s, u, pc); }

OP(sc_w) {
  if (!store_conditional<u32>(s, u, pc)) return;
  NEXT;
}
OP(sc_d) {
  if (!store_conditional<u64>(s, u, pc)) return;
  NEXT;
}

OP(fence) {
  constexpr i64 kWriteBefore = 0x50;  // predecessor's O and W
  constexpr i64 kReadAfter = 0x0a;    // successor's I and R
  constexpr i64 kTso = 0x833;         // fence.tso leaves out just what x86 lacks
  if ((u->imm & kWriteBefore) != 0 && (u->imm & kReadAfter) != 0 && u->imm != kTso) fence_all();
  NEXT;
}

}  // namespace op
}  // namespace cloister::hart
