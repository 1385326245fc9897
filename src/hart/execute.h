// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>

#include "hart/block.h"
#include "hart/core.h"
#include "hart/handlers.h"
#include "hart/state.h"
#include "isa/cause.h"

// How handlers are written.
//
// A handler does its instruction and goes on to the next uop's by a call at its very end, which an optimising
// compiler makes a jump: the host's branch predictor sees one indirect jump for each place in the guest's
// code, and s, u and pc stay in registers. So a handler may have no local whose address is taken, and
// what is slow is a function that does the rest of the handler's work, NEXT included, called at the end too.
//
// Without optimisation, or with sanitizers, calls nest, so there blocks end with a return to run()'s loop:
// then at most a block's handlers nest.
#if defined(NDEBUG) && defined(__OPTIMIZE__)
#define CLOISTER_TAIL_CALLS 1
#else
#define CLOISTER_TAIL_CALLS 0
#endif

#define OP(name) void name(State& s, const Uop* u, u64 pc)
#define NEXT return u[1].run(s, u + 1, pc)

namespace cloister::hart {

inline bool must_stop(const State& s) {
  return s.countdown <= 0 || s.attention.load(std::memory_order_relaxed) != 0;
}

// Back to run()'s loop, to go on at `pc`.
inline void leave(State& s, u64 pc) { s.pc = pc; }

// Goes on with `block`, whose first instruction is at `pc`.
inline void enter(State& s, Block* block, u64 pc) {
  s.countdown -= block->count;
  return block->uops()->run(s, block->uops(), pc);
}

// Goes on at `pc` by the jump cache.
inline void jump(State& s, u64 pc) {
#if CLOISTER_TAIL_CALLS
  const JumpEntry& entry = jump_entry(s, pc);
  if (entry.pc == pc && entry.tag == s.jump_tag && entry.epoch == s.epoch && !must_stop(s)) [[likely]]
    return enter(s, entry.block, pc);
#endif
  return leave(s, pc);
}

// Goes on at `to` by a link of the block that began at `from`.
inline void follow(State& s, Block*& link, u64 from, u64 to) {
#if CLOISTER_TAIL_CALLS
  Block* block = link;
  if (block != nullptr && block->epoch == s.epoch && !must_stop(s)) [[likely]]
    return enter(s, block, to);
#endif
  if ((from ^ to) >> kPageShift != 0) return jump(s, to);
  s.link = &link;
  return leave(s, to);
}

inline u64 next_pc(const Uop* u, u64 pc) { return pc + u->offset + u->length; }

// The exception `cause` at `u`: what went before in the block counts, `u` and the rest do not. The handler
// returns then.
void raise(State& s, const Uop* u, u64 pc, isa::Cause cause, u64 tval);
void raise_illegal(State& s, const Uop* u, u64 pc);  // Precondition: u->imm holds the bits

// What a CSR instruction does but for going on. False: a trap was taken.
bool access_register(State& s, const Uop* u, u64 pc, CsrWrite write, u64 operand);

// -- Memory -----------------------------------------------------------------------------------------------

// The address of a load or store.
inline u64 address_of(const State& s, const Uop* u) { return s.x[u->rs1] + static_cast<u64>(u->imm); }

// One access to guest memory at a host address: single-copy atomic when aligned, which is all that x86 and
// RISC-V promise. Other harts change memory at the same time.
template <typename T>
__attribute__((no_sanitize("alignment"))) inline T load_host(u64 address) {
  return __atomic_load_n(reinterpret_cast<const T*>(address), __ATOMIC_RELAXED);
}
template <typename T>
__attribute__((no_sanitize("alignment"))) inline void store_host(u64 address, T value) {
  __atomic_store_n(reinterpret_cast<T*>(address), value, __ATOMIC_RELAXED);
}

struct Loaded {
  u64 value;
  bool ok;  // false: a trap was taken
};

// What the soft TLB does not answer: other pages, two pages at once, devices, faults. `size` is 1, 2, 4 or 8.
Loaded load_slowly(State& s, const Uop* u, u64 pc, u32 size);
bool store_slowly(State& s, const Uop* u, u64 pc, u32 size, u64 value);

// The host address of the naturally aligned `size` bytes at `va`, for an atomic or a cache-block instruction;
// nullptr when a trap was taken.
std::byte* locate_aligned(State& s, const Uop* u, u64 pc, u32 size, Use use);

}  // namespace cloister::hart
