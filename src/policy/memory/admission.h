// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "policy/memory/client_tree.h"

// Whether a client may start. Nothing is changed by asking: a dry run is the same call.
namespace cloister::policy::memory {

// What the host has. Bytes, as overheads are not whole pages.
struct Room {
  Bytes pool{};        // all that may be given to guests and their overhead
  Bytes headroom{};    // of it, what is kept free: Thresholds::goal()
  Bytes overhead{};    // of it, what the running cells take for themselves
  Bytes swap{};        // swap space in all
  Bytes swap_taken{};  // of it, what is set aside for the running clients
};

struct Candidate {
  std::string name;
  ClientId parent = kRoot;
  Units size{};
  Settings settings;
  Bytes overhead{};        // what its cell will take for itself
  Bytes certain_shared{};  // what is sure to be shared with others: needs no swap space
};

struct Verdict {
  bool admitted = false;
  Bytes memory_needed{};     // its min, as far as no pool has reserved it already, and its overhead
  Bytes memory_free{};       // unreserved
  Bytes memory_shortfall{};  // 0 when admitted
  Bytes swap_needed{};       // cap - min - certain_shared
  Bytes swap_free{};
  Bytes swap_shortfall{};
  std::string reason;  // for a person
};

// Refused besides: what ClientTree would refuse, as an Error.
Result<Verdict> admit(const ClientTree& tree, const Room& room, const Candidate& candidate);
// The same for a change of settings of one that is in the tree (its overhead and swap counted in `room`
// already).
Result<Verdict> admit_change(const ClientTree& tree, const Room& room, ClientId id, const Settings& settings);

// Swap space that a client needs: for what it may hold above its min.
Bytes swap_needed(Units cap, Units min, Bytes certain_shared);

}  // namespace cloister::policy::memory
