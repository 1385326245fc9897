// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/targets.h"

#include <algorithm>

// From the root down: a pool's part of what its parent divides is what it divides in turn.
//
// A pool bids as one client would that holds and uses what all within it hold and use together. Its bids do
// not depend on how its part is divided within, so each level settles by itself and the whole is the fixed
// point of the page-wise rule at every level.
namespace cloister::policy::memory {
namespace {

// What a node brings to the level above.
struct Standing {
  Units held{};
  Usage usage{};
  Units min{};
  Units cap{};
};

class Levels {
 public:
  Levels(const ClientTree& tree, std::span<const Holding> holdings) : tree_(tree), standings_(tree.bound()) {
    for (const ClientId client : tree.clients()) {
      const Units size = tree.node(client).size;
      standings_[client.raw].usage = Usage::of(size);
    }
    for (const Holding& holding : holdings) {
      CHECK(tree.contains(holding.client) && tree.node(holding.client).kind == NodeKind::kClient);
      Standing& standing = standings_[holding.client.raw];
      standing.held = holding.held;
      standing.usage = holding.activity.usage(tree.node(holding.client).size);
    }
    gather(kRoot);
  }

  const Standing& of(ClientId id) const { return standings_[id.raw]; }

  std::vector<Bidder> bidders(ClientId pool) const {
    const std::vector<ClientId>& children = tree_.node(pool).children;
    std::vector<Bidder> bidders;
    bidders.reserve(children.size());
    for (const ClientId child : children) {
      const Standing& standing = of(child);
      bidders.push_back({tree_.shares(child), standing.min, standing.cap, standing.held,
                         CostCurve(tree_.tax(child), standing.usage)});
    }
    return bidders;
  }

 private:
  void gather(ClientId id) {
    const ClientTree::Node& node = tree_.node(id);
    Standing& standing = standings_[id.raw];
    standing.min = node.settings.min;
    standing.cap = node.size;
    if (node.kind == NodeKind::kPool) add_children(node, standing);
    if (node.settings.limit) standing.cap = std::min(standing.cap, *node.settings.limit);
    standing.min = std::min(standing.min, standing.cap);
  }

  void add_children(const ClientTree::Node& pool, Standing& standing) {
    Units mins{};
    standing.cap = {};
    for (const ClientId child : pool.children) {
      gather(child);
      const Standing& part = of(child);
      standing.held += part.held;
      standing.usage += part.usage;
      standing.cap += part.cap;
      mins += part.min;
    }
    standing.min = std::max(standing.min, mins);
  }

  const ClientTree& tree_;
  std::vector<Standing> standings_;
};

Bound bound_of(const Bidder& bidder, Units target, const Division& division, bool by_worth) {
  if (target == bidder.cap) return division.unclaimed.raw > 0 ? Bound::kPlenty : Bound::kCap;
  if (target == bidder.min) return Bound::kMin;
  return by_worth ? Bound::kWorth : Bound::kPrice;
}

// What everybody's units save, for all nodes by their id; pools' from what they hold.
class SavingsByNode {
 public:
  SavingsByNode(const ClientTree& tree, const Levels& levels, std::span<const Worth> worths)
      : tree_(tree), levels_(levels), savings_(tree.bound()) {
    for (const Worth& worth : worths) {
      const Units size = tree.node(worth.client).size;
      savings_[worth.client.raw] = savings(worth.curve, worth.references_per_second, size);
    }
    gather(kRoot);
  }

  std::vector<Savings> of_children(ClientId pool) const {
    std::vector<Savings> children;
    for (const ClientId child : tree_.node(pool).children) children.push_back(savings_[child.raw]);
    return children;
  }

 private:
  void gather(ClientId pool) {
    for (const ClientId child : tree_.node(pool).children) {
      if (tree_.node(child).kind == NodeKind::kPool) gather(child);
    }
    savings_[pool.raw] = merge(of_children(pool), levels_.bidders(pool));
  }

  const ClientTree& tree_;
  const Levels& levels_;
  std::vector<Savings> savings_;
};

class Planner {
 public:
  Planner(const ClientTree& tree, std::span<const Holding> holdings) : tree_(tree), levels_(tree, holdings) {}

  void use_worth(std::span<const Worth> worths) { savings_.emplace(tree_, levels_, worths); }

  Plan run(Units total) {
    plan_.decisions.reserve(tree_.bound());
    const Standing& root = levels_.of(kRoot);
    if (root.cap < total) plan_.unclaimed = total - root.cap;
    if (root.min > total) plan_.shortfall = root.min - total;
    divide_pool(kRoot, total);
    return std::move(plan_);
  }

 private:
  void divide_pool(ClientId pool, Units total) {
    const std::vector<ClientId>& children = tree_.node(pool).children;
    const std::vector<Bidder> bidders = levels_.bidders(pool);
    const WorthDivision found = divide_level(pool, total, bidders);
    Shares siblings{};
    for (const Bidder& bidder : bidders) siblings += bidder.shares;
    for (std::size_t i = 0; i < children.size(); ++i) {
      Decision decision = describe(children[i], bidders[i], found.division.parts[i]);
      decision.siblings = siblings;
      decision.bound = bound_of(bidders[i], decision.target, found.division, savings_.has_value());
      decision.total = total;
      decision.marginal = found.division.marginal;
      decision.floor = savings_ ? found.floors[i] : decision.min;
      plan_.decisions.push_back(decision);
      if (tree_.node(children[i]).kind == NodeKind::kPool) divide_pool(children[i], decision.target);
    }
  }

  WorthDivision divide_level(ClientId pool, Units total, std::span<const Bidder> bidders) const {
    if (!savings_) return {divide(total, bidders), {}};
    std::vector<Fraction> rates;
    for (const ClientId child : tree_.node(pool).children) rates.push_back(tree_.tax(child).rate);
    return divide_by_worth(total, bidders, savings_->of_children(pool), rates);
  }

  Decision describe(ClientId id, const Bidder& bidder, Units part) const {
    Decision decision;
    decision.client = id;
    decision.held = bidder.held;
    decision.target = part;
    decision.shares = bidder.shares;
    decision.min = bidder.min;
    decision.cap = bidder.cap;
    decision.active = levels_.of(id).usage.active();
    decision.tax = tree_.tax(id);
    decision.price = {bidder.shares, bidder.curve.cost(part)};
    return decision;
  }

  const ClientTree& tree_;
  const Levels levels_;
  std::optional<SavingsByNode> savings_;
  Plan plan_;
};

// From the root to the client.
std::vector<ClientId> path_to(const ClientTree& tree, ClientId client) {
  std::vector<ClientId> path;
  for (ClientId at = client; at != kRoot; at = tree.node(at).parent) path.insert(path.begin(), at);
  return path;
}

std::size_t place_of(ClientId id, const std::vector<ClientId>& among) {
  return static_cast<std::size_t>(std::find(among.begin(), among.end(), id) - among.begin());
}

// Whoever pays least below a node.
std::optional<ClientId> least_within(const ClientTree& tree, const Levels& levels, ClientId id) {
  while (tree.node(id).kind == NodeKind::kPool) {
    const auto victim = least_funded(levels.bidders(id));
    if (!victim) return std::nullopt;
    id = tree.node(id).children[*victim];
  }
  return id;
}

}  // namespace

const Decision* Plan::find(ClientId client) const {
  for (const Decision& decision : decisions) {
    if (decision.client == client) return &decision;
  }
  return nullptr;
}

Plan targets(const ClientTree& tree, Units total, std::span<const Holding> holdings) {
  return Planner(tree, holdings).run(total);
}

Plan targets_by_worth(const ClientTree& tree, Units total, std::span<const Holding> holdings,
                      std::span<const Worth> worths) {
  Planner planner(tree, holdings);
  planner.use_worth(worths);
  return planner.run(total);
}

std::optional<ClientId> victim_for(const ClientTree& tree, std::span<const Holding> holdings,
                                   ClientId requester) {
  const Levels levels(tree, holdings);
  ClientId pool = kRoot;
  for (const ClientId step : path_to(tree, requester)) {
    const std::vector<ClientId>& children = tree.node(pool).children;
    const std::vector<Bidder> bidders = levels.bidders(pool);
    const std::size_t own = place_of(step, children);
    const auto victim = least_funded(bidders);
    if (victim && *victim != own && may_take(bidders[own], bidders[*victim]))
      return least_within(tree, levels, children[*victim]);
    pool = step;
  }
  return levels.of(requester).held > levels.of(requester).min ? std::optional(requester) : std::nullopt;
}

}  // namespace cloister::policy::memory
