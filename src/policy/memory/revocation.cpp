// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/divide.h"

// Revocation by least funding, as the paper tells it: one unit at a time. It is the definition that the
// closed form in divide.cpp is held against, and what decides about a single unit.
namespace cloister::policy::memory {

std::optional<std::size_t> least_funded(std::span<const Bidder> bidders) {
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < bidders.size(); ++i) {
    const Bidder& one = bidders[i];
    if (one.held <= one.min) continue;
    if (!found || one.price(one.held) <= bidders[*found].price(bidders[*found].held)) found = i;
  }
  return found;
}

std::optional<std::size_t> best_funded(std::span<const Bidder> bidders) {
  const auto bid = [&](std::size_t i) { return bidders[i].price(bidders[i].held + Units{1}); };
  std::optional<std::size_t> found;
  for (std::size_t i = 0; i < bidders.size(); ++i) {
    if (bidders[i].held >= bidders[i].cap) continue;
    if (!found || bid(i) > bid(*found)) found = i;
  }
  return found;
}

bool may_take(const Bidder& requester, const Bidder& victim) {
  return requester.held < requester.cap && victim.held > victim.min &&
         victim.price(victim.held) < requester.price(requester.held + Units{1});
}

namespace {

// What is free, or what is lacking, before anything moves.
struct Balance {
  u64 free = 0;
  u64 lacking = 0;
};

Balance balance_of(Units total, std::span<Bidder> bidders) {
  Units held{};
  for (Bidder& bidder : bidders) {
    bidder.held = std::min(bidder.held, bidder.cap);
    held += bidder.held;
  }
  return total >= held ? Balance{(total - held).raw, 0} : Balance{0, (held - total).raw};
}

}  // namespace

std::vector<Units> settle(Units total, std::vector<Bidder> bidders) {
  auto [free, lacking] = balance_of(total, bidders);
  for (; lacking > 0; --lacking) {
    const auto victim = least_funded(bidders);
    CHECK(victim.has_value());
    bidders[*victim].held -= Units{1};
  }
  while (const auto requester = best_funded(bidders)) {
    if (free > 0) {
      --free;
    } else {
      const auto victim = least_funded(bidders);
      if (!victim || !may_take(bidders[*requester], bidders[*victim])) break;
      bidders[*victim].held -= Units{1};
    }
    bidders[*requester].held += Units{1};
  }
  std::vector<Units> parts;
  for (const Bidder& bidder : bidders) parts.push_back(bidder.held);
  return parts;
}

}  // namespace cloister::policy::memory
