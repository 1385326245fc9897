// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/admission.h"

#include "base/size.h"

// The candidate is added to a copy of the tree, which refuses what contradicts itself; what the root then has
// to guarantee more than before is what must be unreserved. So a minimum that a pool above has reserved
// already needs nothing new, at any depth.
namespace cloister::policy::memory {
namespace {

Bytes less(Bytes from, Bytes amount) { return from > amount ? from - amount : Bytes{}; }

Bytes bytes_of_units(Units units) { return bytes_of(pages_of(units)); }

Bytes unreserved(const ClientTree& tree, const Room& room) {
  return less(room.pool, room.headroom + room.overhead + bytes_of_units(tree.reserved(kRoot)));
}

std::string reason_for(const std::string& name, const Verdict& verdict) {
  if (verdict.admitted) {
    return fmt::format("{} may start: it needs {} of memory of {} unreserved, and {} of swap space of {}",
                       name, format_size(verdict.memory_needed), format_size(verdict.memory_free),
                       format_size(verdict.swap_needed), format_size(verdict.swap_free));
  }
  std::string reason = fmt::format("{} cannot start:", name);
  if (verdict.memory_shortfall.raw > 0) {
    reason += fmt::format(
        " its minimum and overhead take {} and {} are unreserved: {} bytes of memory are lacking;",
        format_size(verdict.memory_needed), format_size(verdict.memory_free), verdict.memory_shortfall.raw);
  }
  if (verdict.swap_shortfall.raw > 0) {
    reason += fmt::format(" it needs {} of swap space and {} are left: {} bytes of swap space are lacking;",
                          format_size(verdict.swap_needed), format_size(verdict.swap_free),
                          verdict.swap_shortfall.raw);
  }
  return reason + " lower its minimum or its size, stop another machine, or give the pool more";
}

void decide(const std::string& name, Verdict& verdict) {
  verdict.memory_shortfall = less(verdict.memory_needed, verdict.memory_free);
  verdict.swap_shortfall = less(verdict.swap_needed, verdict.swap_free);
  verdict.admitted = verdict.memory_shortfall.raw == 0 && verdict.swap_shortfall.raw == 0;
  verdict.reason = reason_for(name, verdict);
}

}  // namespace

Bytes swap_needed(Units cap, Units min, Bytes certain_shared) {
  return less(bytes_of_units(cap > min ? cap - min : Units{}), certain_shared);
}

Result<Verdict> admit(const ClientTree& tree, const Room& room, const Candidate& candidate) {
  ClientTree with = tree;
  const ClientId id =
      TRY(with.add_client(candidate.parent, candidate.name, candidate.size, candidate.settings));
  Verdict verdict;
  verdict.memory_needed = bytes_of_units(with.reserved(kRoot) - tree.reserved(kRoot)) + candidate.overhead;
  verdict.memory_free = unreserved(tree, room);
  verdict.swap_needed = swap_needed(with.cap(id), candidate.settings.min, candidate.certain_shared);
  verdict.swap_free = less(room.swap, room.swap_taken);
  decide(candidate.name, verdict);
  return verdict;
}

Result<Verdict> admit_change(const ClientTree& tree, const Room& room, ClientId id,
                             const Settings& settings) {
  ClientTree with = tree;
  TRY(with.change(id, settings));
  const auto swap = [&](const ClientTree& of) {
    const bool client = of.node(id).kind == NodeKind::kClient;
    return client ? swap_needed(of.cap(id), of.node(id).settings.min, {}) : Bytes{};
  };
  Verdict verdict;
  verdict.memory_needed = less(bytes_of_units(with.reserved(kRoot)), bytes_of_units(tree.reserved(kRoot)));
  verdict.memory_free = unreserved(tree, room);
  verdict.swap_needed = less(swap(with), swap(tree));
  verdict.swap_free = less(room.swap, room.swap_taken);
  decide(tree.node(id).name, verdict);
  return verdict;
}

}  // namespace cloister::policy::memory
