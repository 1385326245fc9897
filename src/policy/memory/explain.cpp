// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/explain.h"

namespace cloister::policy::memory {
namespace {

// With one digit after the point, rounded to the nearest.
std::string decimal(u128 numerator, u128 denominator) {
  const u128 tenths = (numerator * 10 + denominator / 2) / denominator;
  return fmt::format("{}.{}", static_cast<u64>(tenths / 10), static_cast<u64>(tenths % 10));
}

std::string size(Units units) { return decimal(u128{units.raw} * kPageSize, kMiB) + " MiB"; }
std::string size(Pages pages) { return size(units_of(pages)); }

std::string percent(Fraction part) { return decimal(part.raw, Fraction::kWhole / 100) + " %"; }

// Shares for each MiB's worth of used memory, in which prices differ by amounts that a person can read.
std::string in_words(const Price& price) {
  if (price.cost == 0) return "no price";
  constexpr u128 kUsedMiB = (kMiB >> kPageShift) * u128{Fraction::kWhole};
  return decimal(kUsedMiB * price.shares.raw, price.cost) + " shares a MiB";
}

const char* name_of(TaxKind kind) {
  switch (kind) {
    case TaxKind::kFlat:
      return "flat";
    case TaxKind::kProgressive:
      return "rising with the idle part";
    case TaxKind::kByTime:
      break;
  }
  return "rising with the time that memory has been idle";
}

std::string why(const Decision& decision) {
  switch (decision.bound) {
    case Bound::kPlenty:
      return "There is enough for everybody, so it may have all that it can hold.";
    case Bound::kMin:
      return fmt::format(
          "By its price it would have less, but its minimum of {} is reserved and never taken.",
          size(decision.min));
    case Bound::kCap:
      return fmt::format("By its price it would have more, but its size or limit ends at {}.",
                         size(decision.cap));
    case Bound::kWorth:
      return fmt::format(
          "Its pages save misses: others' needs could not take it below {}, and what it has above was worth "
          "more here than elsewhere.",
          size(decision.floor));
    case Bound::kPrice:
      break;
  }
  return fmt::format("At its target it pays {}; the least that anybody pays beside it is {}.",
                     in_words(decision.price),
                     decision.marginal ? in_words(*decision.marginal) : std::string("no price"));
}

std::string tax_sentence(const Tax& tax) {
  if (tax.rate.raw == 0) return "There is no idle tax.";
  return fmt::format("Idle memory is taxed at up to {} ({}): an idle page costs up to {} times a used one.",
                     percent(tax.rate), name_of(tax.kind), decimal(Fraction::kWhole, tax.rate.rest().raw));
}

std::string movement(const Decision& decision) {
  if (decision.target > decision.held)
    return fmt::format("{} more are granted at once.", size(decision.target - decision.held));
  if (decision.target < decision.held)
    return fmt::format("{} are to be given back, an eighth of the rest at a step.",
                       size(decision.held - decision.target));
  return "Nothing moves.";
}

}  // namespace

std::string reason_in_short(const Decision& decision) {
  switch (decision.bound) {
    case Bound::kPlenty:
      return "enough for all";
    case Bound::kMin:
      return "its minimum";
    case Bound::kCap:
      return "its size or limit";
    case Bound::kWorth:
      return "the misses it saves";
    case Bound::kPrice:
      break;
  }
  return "its price";
}

std::string explain(const ClientTree& tree, const Decision& decision) {
  const ClientTree::Node& node = tree.node(decision.client);
  const ClientTree::Node& parent = tree.node(node.parent);
  std::string text;
  const auto add = [&](const std::string& sentence) { text += sentence + "\n"; };
  add(fmt::format("{} holds {} of {}, and its target is {}.", node.name, size(decision.held), size(node.size),
                  size(decision.target)));
  add(fmt::format("It has {} of the {} shares that divide {} {}.", decision.shares.raw, decision.siblings.raw,
                  size(decision.total),
                  node.parent == kRoot ? std::string("of the host") : "of pool " + parent.name));
  add(fmt::format("It uses about {} ({} of its size).", size(decision.active),
                  percent(Fraction::ratio(std::min(decision.active, node.size).raw, node.size.raw))));
  add(tax_sentence(decision.tax));
  add(why(decision));
  add(movement(decision));
  return text;
}

std::string explain(const ActivityEstimator& estimator) {
  if (estimator.periods() == 0)
    return "Its first sampling period is not over: it counts as using all its memory.\n";
  return fmt::format(
      "It is thought to use {}, give or take {}: the largest of {} (slow average), {} (fast) and {} (with "
      "the period "
      "that runs), from {} samples a period.\n",
      percent(estimator.estimate()), percent(estimator.error()), percent(estimator.slow()),
      percent(estimator.fast()), percent(estimator.running()), estimator.settings().samples);
}

std::string explain(const MissRatioCurve& curve, Units held, Units step) {
  if (curve.references == 0) return "No reference was sampled yet, so no miss-ratio curve is known.\n";
  return fmt::format(
      "By its miss-ratio curve, {} of its references miss with the {} that it holds; with {} more {}, with "
      "{} less "
      "{}.\n",
      percent(curve.at(held)), size(held), size(step), percent(curve.at(held + step)), size(step),
      percent(curve.at(held > step ? held - step : Units{})));
}

std::string explain(HostState state, const Thresholds& thresholds, Pages free) {
  std::string text = fmt::format(
      "The host is in state {}: {} are free (high {}, soft {}, hard {}, low {}).\n", name_of(state),
      size(free), size(thresholds.high), size(thresholds.soft), size(thresholds.hard), size(thresholds.low));
  const Actions done = actions(state);
  text += "Memory is taken by";
  const char* between = " ";
  for (const Way way : done.ways) {
    text += between + std::string(name_of(way));
    between = ", ";
  }
  text += done.stop_above_target ? "; machines above their target stand still until they are not.\n" : ".\n";
  return text;
}

}  // namespace cloister::policy::memory
