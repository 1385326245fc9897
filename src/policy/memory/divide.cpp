// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/divide.h"

#include <algorithm>
#include <numeric>

// The common price, found by bisection.
//
// Revocation by least funding moves units one by one to whoever pays more for them, until the lowest price
// paid is no lower than the highest that a further unit would bring. As prices fall strictly with every unit,
// that is the same as giving the units to the highest bids, and there is a common price at which everybody's
// holding stops:
//
//     holding = the most units with cost / shares <= x,   then clipped to [min, cap],
//
// for a flat tax P = x S up to A, and (1 - tau) x S + tau A beyond. So x, the cost that a share carries, is
// all that must be found. It is a whole number of steps of 2^-13 millionths, found by bisection (every other
// step guesses by the line between the ends, which is mostly near) such that x leaves no unit too many and x
// + 1 step does. A step changes a client's budget by at most shares / 2^13 < 1 used unit: so between the two
// lies at most one bid of each client, and these few are sorted by their exact price.
//
// Equal prices: a unit stays with who has it (moving it would gain nobody anything), then the order of the
// tree decides. The page-wise rule ends the same way when whoever will pay most is served first, as settle()
// does.
//
// Why x and not the price itself: over the price each client's budget is a division that rounds; over x it is
// one multiplication, and exact.
namespace cloister::policy::memory {
namespace {

constexpr unsigned kStepBits = 13;
static_assert(kMaxShares.raw >> kStepBits < Fraction::kWhole);

u64 budget(Shares shares, u128 x) {
  const u128 exact = (x * shares.raw) >> kStepBits;
  return exact > ~u64{0} ? ~u64{0} : static_cast<u64>(exact);
}

Units part_at(const Bidder& bidder, u128 x) {
  return std::clamp(bidder.curve.affordable(budget(bidder.shares, x)), bidder.min, bidder.cap);
}

// The steps at which nobody wants more.
u128 steps_to_caps(std::span<const Bidder> bidders) {
  u128 most = 0;
  for (const Bidder& bidder : bidders) {
    const u128 cost = u128{bidder.curve.cost(bidder.cap)} << kStepBits;
    most = std::max(most, cost / bidder.shares.raw + 1);
  }
  return most;
}

template <typename Amount>
Units sum(std::span<const Bidder> bidders, Amount amount) {
  Units total{};
  for (const Bidder& bidder : bidders) total += amount(bidder);
  return total;
}

// Narrows the steps to [low, low + 1): at low the parts fit the total, a step on they do not. Whoever's part
// is the same at both ends is settled, and is not asked again.
class Bisection {
 public:
  Bisection(Units total, std::span<const Bidder> bidders)
      : left_(total),
        bidders_(bidders),
        low_(bidders.size()),
        high_(bidders.size()),
        middle_(bidders.size()),
        open_(bidders.size()) {
    for (u32 i = 0; i < bidders.size(); ++i) {
      low_[i] = bidders[i].min;
      high_[i] = bidders[i].cap;
    }
    std::iota(open_.begin(), open_.end(), 0);
  }

  // Precondition: sum of mins <= total < sum of caps.
  void run() {
    u128 low = 0;
    u128 high = steps_to_caps(bidders_);
    forget_settled();
    for (bool halve = false; high - low > 1; halve = !halve) {
      const u128 middle = halve ? low + (high - low) / 2 : guess(low, high);
      const bool fits = try_at(middle);
      (fits ? low : high) = middle;
      for (const u32 i : open_) (fits ? low_ : high_)[i] = middle_[i];
      forget_settled();
    }
  }

  // After run(): the parts at the lower end, and what they leave of the total.
  std::vector<Units>& parts() { return low_; }
  Units left() const { return left_ - sum_of_open(low_); }
  // Those who would take one more unit at the next step.
  std::vector<u32>& open() { return open_; }

 private:
  // Where the parts would fit if they rose evenly between the two, but for the ends.
  u128 guess(u128 low, u128 high) const {
    const u64 at_low = sum_of_open(low_).raw;
    const u64 at_high = sum_of_open(high_).raw;
    const u128 step = (high - low) * (left_.raw - at_low) / (at_high - at_low);
    return low + std::clamp(step, u128{1}, high - low - 1);
  }

  Units sum_of_open(const std::vector<Units>& parts) const {
    Units total{};
    for (const u32 i : open_) total += parts[i];
    return total;
  }

  bool try_at(u128 x) {
    Units wanted{};
    for (const u32 i : open_) wanted += middle_[i] = part_at(bidders_[i], x);
    return wanted <= left_;
  }

  void forget_settled() {
    std::erase_if(open_, [&](u32 i) {
      if (low_[i] != high_[i]) return false;
      left_ -= low_[i];
      return true;
    });
  }

  Units left_;  // for those who are open
  std::span<const Bidder> bidders_;
  std::vector<Units> low_, high_, middle_;
  std::vector<u32> open_;
};

// Gives what is left to the best of the bids between the last two steps.
void give_rest(Bisection& found, std::span<const Bidder> bidders) {
  const Units left = found.left();
  std::vector<u32>& order = found.open();
  std::vector<Units>& parts = found.parts();
  CHECK(left.raw < order.size());
  const auto comes_first = [&](u32 a, u32 b) {
    const auto by_price = bidders[a].price(parts[a] + Units{1}) <=> bidders[b].price(parts[b] + Units{1});
    if (by_price != 0) return by_price > 0;
    const bool a_holds = bidders[a].held > parts[a];
    const bool b_holds = bidders[b].held > parts[b];
    return a_holds != b_holds ? a_holds : a < b;
  };
  std::sort(order.begin(), order.end(), comes_first);
  for (u64 i = 0; i < left.raw; ++i) parts[order[i]] += Units{1};
}

std::optional<Price> lowest_price(std::span<const Bidder> bidders, std::span<const Units> parts) {
  std::optional<Price> lowest;
  for (std::size_t i = 0; i < bidders.size(); ++i) {
    if (parts[i] <= bidders[i].min) continue;
    const Price price = bidders[i].price(parts[i]);
    if (!lowest || price < *lowest) lowest = price;
  }
  return lowest;
}

}  // namespace

Division divide(Units total, std::span<const Bidder> bidders) {
  const auto min = [](const Bidder& bidder) { return bidder.min; };
  const auto cap = [](const Bidder& bidder) { return bidder.cap; };
  const Units mins = sum(bidders, min);
  const Units caps = sum(bidders, cap);
  Division result;
  if (mins >= total || caps <= total) {
    for (const Bidder& bidder : bidders) result.parts.push_back(caps <= total ? bidder.cap : bidder.min);
    if (mins > total) result.shortfall = mins - total;
    if (caps < total) result.unclaimed = total - caps;
  } else {
    Bisection found(total, bidders);
    found.run();
    give_rest(found, bidders);
    result.parts = std::move(found.parts());
  }
  result.marginal = lowest_price(bidders, result.parts);
  return result;
}

}  // namespace cloister::policy::memory
