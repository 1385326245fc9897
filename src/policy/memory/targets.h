// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "policy/memory/activity.h"
#include "policy/memory/client_tree.h"
#include "policy/memory/divide.h"
#include "policy/memory/worth.h"

// Who is to hold how much: the closed form at each level of the tree, from the root down.
namespace cloister::policy::memory {

// What one client holds now, and how much of its configured size it uses.
struct Holding {
  ClientId client;
  Units held{};
  Activity activity{};  // as ActivityEstimator says; fully active when nothing is known
};

// What set a target.
enum class Bound : u8 {
  kPlenty,  // nobody lacks anything: it may have all it can hold
  kMin,     // reserved: it would be less by its price
  kCap,     // its size or limit: it would be more by its price
  kPrice,   // the price that all pay here
  kWorth,   // the misses that its units save
};

// One target, with the numbers that led to it.
struct Decision {
  ClientId client;
  Units held{};
  Units target{};
  Bound bound = Bound::kPlenty;
  Shares shares{};
  Shares siblings{};  // the shares of all that divide the same pool, its own with them
  Units min{};
  Units cap{};
  Units active{};
  Tax tax;
  Units total{};                  // what all at this level divide
  Price price{};                  // that it pays at its target
  std::optional<Price> marginal;  // the lowest that anybody pays at this level
  Units floor{};                  // by worth: what others' needs could not take from it
};

struct Plan {
  std::vector<Decision> decisions;  // pools before what they hold; not the root
  Units unclaimed{};                // more than all clients can hold
  Units shortfall{};  // by which the minimums exceed the total: admission should not have let it come

  const Decision* find(ClientId client) const;
};

// A client without a holding counts as holding nothing and being fully active. Precondition: each holding's
// client is in the tree, and named once. 10,000 clients: under 10 ms (bench/memory).
Plan targets(const ClientTree& tree, Units total, std::span<const Holding> holdings);

// What a miss-ratio curve says of one client.
struct Worth {
  ClientId client;
  MissRatioCurve curve;
  u64 references_per_second = 0;
};

// The same by the misses that units save (worth.h), for those whose worth is known; by price for what is then
// left.
Plan targets_by_worth(const ClientTree& tree, Units total, std::span<const Holding> holdings,
                      std::span<const Worth> worths);

// Whose unit goes next when `requester` needs one: at each level from the root the least funded, and the
// requester's own pool when that pays least; then its own unit, or none where nothing may move.
std::optional<ClientId> victim_for(const ClientTree& tree, std::span<const Holding> holdings,
                                   ClientId requester);

}  // namespace cloister::policy::memory
