// SPDX-License-Identifier: Apache-2.0
//
// A balloon takes what the guest can spare best, for the guest's own kernel chooses; so it comes before
// packing and swapping. But nobody outside knows when "can spare" ends. The guest says so by its signs: its
// programs stand still for want of memory, its kernel writes the balloon's own pages to its disk (then the
// balloon is larger than what is idle there, and its pages were the coldest that could be found) or reads
// much back from there, or little is available.
//
// That little is available is the end of memory only where there is no swap. With swap it is what a balloon
// is for: the kernel puts away what is least needed to let it grow, down to next to nothing that is free, and
// the agent in the guest goes as far. Then what goes to and fro tells.
//
// That its programs stand still, or read back from their own swap, does not count where the host reads much
// back: they wait for that as well, and what a smaller balloon gave them would be taken by force, and worse.
//
// One sign above the band is enough: the balloon shrinks by an eighth a second until the sign is gone, and
// rests for a while, else the two loops (the host's, and the guest's that frees and fills memory) would swing
// against each other. Only when all signs are below the band does it go on towards what the host wishes, an
// eighth of the way a step. The host meanwhile takes by other ways what the balloon does not bring.
#include "policy/memory/balloon.h"

#include <algorithm>
#include <numeric>

namespace cloister::policy::memory {
namespace {

// Smaller changes are noise, and cost the guest more than they bring.
constexpr Units kSmallestStep{512};

u64 weight_of(const BalloonApplication& application) {
  return application.yields ? (application.most.raw + 3) / 4 : application.most.raw;
}

}  // namespace

// Whoever would get more than it can gets that, and the rest is divided among the others anew: at most as
// many rounds as there are applications.
std::vector<Units> share_balloon(Units total, std::span<const BalloonApplication> applications) {
  std::vector<Units> parts(applications.size());
  std::vector<bool> full(applications.size());
  for (bool again = true; again;) {
    again = false;
    u64 weights = 0, left = total.raw;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (full[i]) left -= parts[i].raw;
      if (!full[i]) weights += weight_of(applications[i]);
    }
    for (std::size_t i = 0; i < parts.size() && !again; ++i) {
      if (full[i] || weights == 0) continue;
      parts[i] = {static_cast<u64>(u128{left} * weight_of(applications[i]) / weights)};
      if (parts[i] < applications[i].most) continue;
      parts[i] = applications[i].most;
      full[i] = again = true;
    }
  }
  return parts;
}

BalloonLoop::Place BalloonLoop::place_of(const BalloonSigns& signs) const {
  const auto available_below = [&](Fraction part) {
    return !signs.can_swap && signs.available && signs.available->raw < part.of_rounded_up(configured_.raw);
  };
  const u32 pressure = signs.is_read_back ? 0 : signs.pressure;
  const u64 paging = std::max(signs.page_out_rate, signs.is_read_back ? 0 : signs.page_in_rate);
  if (pressure > band_.high_pressure || paging > band_.high_paging || available_below(band_.least_available))
    return Place::kAbove;
  const bool calm =
      pressure < band_.low_pressure && paging < band_.low_paging && !available_below(band_.enough_available);
  return calm ? Place::kBelow : Place::kWithin;
}

Units BalloonLoop::decide(Units wanted, Units held, const BalloonSigns& signs, Nanos now) {
  const Units wish = std::min(wanted, Units{kLargestBalloon.of(configured_.raw)});
  if (!yielding_) allowed_ = wish;
  allowed_ = std::min(allowed_, wish);
  const Place place = place_of(signs);
  if (place == Place::kAbove && now >= next_step_) {
    const Units has = std::min(allowed_, held);
    allowed_ = has - std::min(has, std::max(Units{has.raw / 8}, kSmallestStep));
    yielding_ = true;
    next_step_ = now + band_.step_time;
    next_growth_ = now + band_.hold_off;
  } else if (place == Place::kBelow && yielding_ && now >= next_growth_) {
    allowed_ = std::min(wish, allowed_ + std::max(Units{(wish - allowed_).raw / 8}, kSmallestStep));
    next_growth_ = now + band_.step_time;
    yielding_ = allowed_ < wish;
  }
  return allowed_;
}

}  // namespace cloister::policy::memory
