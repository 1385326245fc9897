// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/worth.h"

#include <algorithm>

// Marginal utility.
//
// Activity is one number: used or not. A miss-ratio curve tells what each further unit saves, so units can go
// where shares times misses saved is the greatest. Taken alone that would starve whoever misses little, so
// the idle tax keeps its meaning as a bound: nobody falls below (1 - tau) of his plain share, and with tau =
// 0 shares alone decide.
//
// The greedy choice is optimal only where each unit saves no more than the one before. A curve with a cliff
// is not like that, so its upper hull is taken: the units up to the cliff's edge are worth, each, the average
// over all of them. Going part of the way up a cliff saves nothing; at most one client, the last to be
// served, can be left there.
namespace cloister::policy::memory {
namespace {

constexpr u64 kMostReferences = u64{1} << 32;

// Joins the last two while the later saves more by the unit.
void make_hull(Savings& savings) {
  while (savings.size() > 1 && savings[savings.size() - 2] < savings.back()) {
    const Saving last = savings.back();
    savings.pop_back();
    savings.back().units += last.units;
    savings.back().misses += last.misses;
  }
}

// The savings beyond the first `units`, which are held already.
Savings beyond(const Savings& savings, Units units) {
  Savings rest;
  for (Saving saving : savings) {
    const Units gone = std::min(units, saving.units);
    units -= gone;
    if (gone == saving.units) continue;
    saving.misses -= static_cast<u64>(u128{saving.misses} * gone.raw / saving.units.raw);
    saving.units -= gone;
    rest.push_back(saving);
  }
  return rest;
}

struct Offer {
  std::size_t bidder;
  Shares shares;
  Saving saving;
};

// shares x misses / units. Bound: 2^32 x 2^52 x 2^36 fits 128 bits.
bool is_better(const Offer& a, const Offer& b) {
  const u128 left = u128{a.shares.raw} * a.saving.misses * b.saving.units.raw;
  const u128 right = u128{b.shares.raw} * b.saving.misses * a.saving.units.raw;
  return left != right ? left > right : a.bidder < b.bidder;
}

std::vector<Offer> sorted_offers(std::span<const Bidder> bidders, std::span<const Savings> savings) {
  std::vector<Offer> offers;
  for (std::size_t i = 0; i < bidders.size(); ++i) {
    for (const Saving& saving : savings[i]) {
      if (saving.misses > 0) offers.push_back({i, bidders[i].shares, saving});
    }
  }
  std::stable_sort(offers.begin(), offers.end(), is_better);
  return offers;
}

std::vector<Units> floors_of(Units total, std::span<const Bidder> bidders, std::span<const Savings> savings,
                             std::span<const Fraction> taxes) {
  std::vector<Bidder> plain(bidders.begin(), bidders.end());
  for (Bidder& bidder : plain) bidder.curve = CostCurve(Tax{TaxKind::kFlat, {0}}, Usage{});
  std::vector<Units> floors = divide(total, plain).parts;
  for (std::size_t i = 0; i < floors.size(); ++i) {
    if (!savings[i].empty()) floors[i] = {taxes[i].rest().of(floors[i].raw)};
    floors[i] = std::max(floors[i], bidders[i].min);
  }
  return floors;
}

}  // namespace

Savings savings(const MissRatioCurve& curve, u64 references_per_second, Units size) {
  const u64 references = std::min(references_per_second, kMostReferences);
  Savings result;
  for (std::size_t i = 1; i < curve.points.size(); ++i) {
    const auto& before = curve.points[i - 1];
    const auto& point = curve.points[i];
    if (before.size >= size) break;
    const u64 saved = u64{before.misses.raw - point.misses.raw} * references;
    result.push_back({std::min(point.size, size) - before.size, saved});
    make_hull(result);
  }
  return result;
}

Savings merge(std::span<const Savings> children, std::span<const Bidder> bidders) {
  Shares all{};
  for (const Bidder& bidder : bidders) all += bidder.shares;
  Savings merged;
  for (const Offer& offer : sorted_offers(bidders, children)) {
    const u64 weighed = static_cast<u64>(u128{offer.saving.misses} * offer.shares.raw / all.raw);
    merged.push_back({offer.saving.units, weighed});
    make_hull(merged);
  }
  return merged;
}

WorthDivision divide_by_worth(Units total, std::span<const Bidder> bidders, std::span<const Savings> savings,
                              std::span<const Fraction> taxes) {
  CHECK(savings.size() == bidders.size() && taxes.size() == bidders.size());
  WorthDivision result;
  result.floors = floors_of(total, bidders, savings, taxes);
  std::vector<Bidder> raised(bidders.begin(), bidders.end());
  std::vector<Savings> open;
  Units given{};
  for (std::size_t i = 0; i < raised.size(); ++i) {
    raised[i].min = result.floors[i];
    given += result.floors[i];
    open.push_back(beyond(savings[i], result.floors[i]));
  }
  Units left = total > given ? total - given : Units{};
  for (const Offer& offer : sorted_offers(raised, open)) {
    Bidder& bidder = raised[offer.bidder];
    const Units part = std::min({left, offer.saving.units, bidder.cap - bidder.min});
    bidder.min += part;
    left -= part;
  }
  result.division = divide(total, raised);
  return result;
}

}  // namespace cloister::policy::memory
