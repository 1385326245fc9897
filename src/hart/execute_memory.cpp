// SPDX-License-Identifier: Apache-2.0
#include <span>

#include "hart/execute.h"

// Loads and stores, and what they do when the soft TLB has no answer.
//
// The tag that an access compares with is that of its last byte, the entry that of its first: so an access
// that crosses into another page never matches, and misaligned ones within a page cost nothing extra.
namespace cloister::hart {

namespace {

using isa::Cause;

// A load or store that takes the long way.
struct Access {
  State& s;
  const Uop* u;
  u64 pc;
  u64 va;
  u32 size;

  bool crosses_page() const { return (va & kPageMask) + size > kPageSize; }
  bool is_aligned() const { return (va & (size - 1)) == 0; }
  u64 second_page() const { return (va | kPageMask) + 1; }
  void trap(Cause cause, u64 tval) const { raise(s, u, pc, cause, tval); }
};

Access access_of(State& s, const Uop* u, u64 pc, u32 size) { return {s, u, pc, address_of(s, u), size}; }

u64 load_sized(u64 address, u32 size) {
  switch (size) {
    case 1:
      return load_host<u8>(address);
    case 2:
      return load_host<u16>(address);
    case 4:
      return load_host<u32>(address);
    default:
      return load_host<u64>(address);
  }
}

void store_sized(u64 address, u32 size, u64 value) {
  switch (size) {
    case 1:
      return store_host(address, static_cast<u8>(value));
    case 2:
      return store_host(address, static_cast<u16>(value));
    case 4:
      return store_host(address, static_cast<u32>(value));
    default:
      return store_host(address, value);
  }
}

u64 host_address(const Place& place) { return reinterpret_cast<u64>(place.host); }

// -- Devices: aligned accesses only -----------------------------------------------------------------------

Loaded load_device(const Access& a, GuestPhys address) {
  Core& core = *a.s.core;
  ++core.tally.device_accesses;
  const Outside outside(core);
  u64 value = 0;
  if (!a.is_aligned()) {
    a.trap(Cause::kLoadMisaligned, a.va);
  } else if (!core.environment.device_load(address, a.size, value)) {
    a.trap(Cause::kLoadAccess, a.va);
  } else {
    return {value, true};
  }
  return {0, false};
}

bool store_device(const Access& a, GuestPhys address, u64 value) {
  Core& core = *a.s.core;
  ++core.tally.device_accesses;
  const Outside outside(core);
  if (!a.is_aligned()) {
    a.trap(Cause::kStoreMisaligned, a.va);
  } else if (!core.environment.device_store(address, a.size, value)) {
    a.trap(Cause::kStoreAccess, a.va);
  } else {
    return true;
  }
  return false;
}

// -- Two pages: byte by byte, for such an access promises no atomicity; memory only -----------------------

// The host address of the part at `va`; 0 when a trap was taken.
u64 locate_part(const Access& a, u64 va, Use use) {
  const Place place = locate(a.s, va, use);
  if (place.kind == Place::Kind::kMemory) return host_address(place);
  const Cause on_device = use == Use::kLoad ? Cause::kLoadAccess : Cause::kStoreAccess;
  a.trap(place.kind == Place::Kind::kDevice ? on_device : place.fault, va);
  return 0;
}

bool load_part(const Access& a, u64 va, std::span<u8> bytes) {
  u64 from = locate_part(a, va, Use::kLoad);
  if (from == 0) return false;
  for (u8& byte : bytes) byte = load_host<u8>(from++);
  return true;
}

Loaded load_two_pages(const Access& a) {
  u8 bytes[8] = {};
  const u64 first = a.second_page() - a.va;
  if (!load_part(a, a.va, {bytes, first})) return {0, false};
  if (!load_part(a, a.second_page(), {bytes + first, a.size - first})) return {0, false};
  return {load_host<u64>(reinterpret_cast<u64>(bytes)), true};
}

bool store_part(const Access& a, u64 va, std::span<const u8> bytes) {
  u64 to = locate_part(a, va, Use::kStore);
  if (to == 0) return false;
  for (const u8 byte : bytes) store_host(to++, byte);
  return true;
}

// Both pages are asked for before either is written. The first is asked for again then, for the second's
// safe point may have taken it.
bool store_two_pages(const Access& a, u64 value) {
  u8 bytes[8];
  store_host(reinterpret_cast<u64>(bytes), value);
  const u64 first = a.second_page() - a.va;
  if (locate_part(a, a.va, Use::kStore) == 0) return false;
  return store_part(a, a.second_page(), {bytes + first, a.size - first}) &&
         store_part(a, a.va, {bytes, first});
}

}  // namespace

Loaded load_slowly(State& s, const Uop* u, u64 pc, u32 size) {
  const Access a = access_of(s, u, pc, size);
  if (a.crosses_page()) return load_two_pages(a);
  const Place place = locate(s, a.va, Use::kLoad);
  if (place.kind == Place::Kind::kMemory) return {load_sized(host_address(place), size), true};
  if (place.kind == Place::Kind::kDevice) return load_device(a, place.address);
  a.trap(place.fault, a.va);
  return {0, false};
}

bool store_slowly(State& s, const Uop* u, u64 pc, u32 size, u64 value) {
  const Access a = access_of(s, u, pc, size);
  if (a.crosses_page()) return store_two_pages(a, value);
  const Place place = locate(s, a.va, Use::kStore);
  if (place.kind == Place::Kind::kDevice) return store_device(a, place.address, value);
  if (place.kind == Place::Kind::kMemory) {
    store_sized(host_address(place), size, value);
    return true;
  }
  a.trap(place.fault, a.va);
  return false;
}

std::byte* locate_aligned(State& s, const Uop* u, u64 pc, u32 size, Use use) {
  const Access a{s, u, pc, s.x[u->rs1], size};
  const bool load = use == Use::kLoad;
  if (!a.is_aligned()) {
    a.trap(load ? Cause::kLoadMisaligned : Cause::kStoreMisaligned, a.va);
    return nullptr;
  }
  const Place place = locate(s, a.va, use);
  if (place.kind == Place::Kind::kMemory) return place.host;
  const Cause on_device = load ? Cause::kLoadAccess : Cause::kStoreAccess;
  a.trap(place.kind == Place::Kind::kDevice ? on_device : place.fault, a.va);
  return nullptr;
}

namespace {

// What a loaded T is in a register: sign- or zero-extended, as T says; a single in an f register NaN-boxed.
template <typename T>
u64 widened(u64 value) {
  return static_cast<u64>(static_cast<i64>(static_cast<T>(value)));
}
constexpr u64 boxed(u64 single) { return single | 0xffffffff'00000000; }

template <typename T>
[[gnu::noinline]] void load_missed(State& s, const Uop* u, u64 pc) {
  const Loaded loaded = load_slowly(s, u, pc, sizeof(T));
  if (!loaded.ok) return;
  s.x[u->rd] = widened<T>(loaded.value);
  NEXT;
}

template <typename T>
inline void load(State& s, const Uop* u, u64 pc) {
  const u64 va = address_of(s, u);
  const TlbEntry& entry = tlb_entry(s, va);
  if (entry.read_tag != tlb_tag(s, va + sizeof(T) - 1)) [[unlikely]]
    return load_missed<T>(s, u, pc);
  s.x[u->rd] = widened<T>(load_host<std::make_unsigned_t<T>>(va + entry.addend));
  NEXT;
}

template <typename T>
[[gnu::noinline]] void load_float_missed(State& s, const Uop* u, u64 pc) {
  const Loaded loaded = load_slowly(s, u, pc, sizeof(T));
  if (!loaded.ok) return;
  s.f[u->rd] = sizeof(T) == 4 ? boxed(loaded.value) : loaded.value;
  NEXT;
}

template <typename T>
inline void load_float(State& s, const Uop* u, u64 pc) {
  const u64 va = address_of(s, u);
  const TlbEntry& entry = tlb_entry(s, va);
  if (entry.read_tag != tlb_tag(s, va + sizeof(T) - 1)) [[unlikely]]
    return load_float_missed<T>(s, u, pc);
  const u64 value = load_host<T>(va + entry.addend);
  s.f[u->rd] = sizeof(T) == 4 ? boxed(value) : value;
  NEXT;
}

template <typename T, bool kFloat>
[[gnu::noinline]] void store_missed(State& s, const Uop* u, u64 pc) {
  const u64 value = kFloat ? s.f[u->rs2] : s.x[u->rs2];
  if (!store_slowly(s, u, pc, sizeof(T), value)) return;
  NEXT;
}

template <typename T, bool kFloat = false>
inline void store(State& s, const Uop* u, u64 pc) {
  const u64 va = address_of(s, u);
  const TlbEntry& entry = tlb_entry(s, va);
  if (entry.write_tag != tlb_tag(s, va + sizeof(T) - 1)) [[unlikely]]
    return store_missed<T, kFloat>(s, u, pc);
  store_host(va + entry.addend, static_cast<T>(kFloat ? s.f[u->rs2] : s.x[u->rs2]));
  NEXT;
}

}  // namespace

namespace op {

OP(lb) { return load<i8>(s, u, pc); }
OP(lh) { return load<i16>(s, u, pc); }
OP(lw) { return load<i32>(s, u, pc); }
OP(ld) { return load<i64>(s, u, pc); }
OP(lbu) { return load<u8>(s, u, pc); }
OP(lhu) { return load<u16>(s, u, pc); }
OP(lwu) { return load<u32>(s, u, pc); }
OP(sb) { return store<u8>(s, u, pc); }
OP(sh) { return store<u16>(s, u, pc); }
OP(sw) { return store<u32>(s, u, pc); }
OP(sd) { return store<u64>(s, u, pc); }
OP(flw) { return load_float<u32>(s, u, pc); }
OP(fld) { return load_float<u64>(s, u, pc); }
OP(fsw) { return store<u32, true>(s, u, pc); }
OP(fsd) { return store<u64, true>(s, u, pc); }

}  // namespace op
}  // namespace cloister::hart
