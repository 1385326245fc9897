// SPDX-License-Identifier: Apache-2.0
#include "agent/balloon_policy.h"

#include <cloister/guest_abi.h>

#include <algorithm>

// When a balloon may grow, and when it gives way.
//
// The host says how much it wants; what it costs only the guest can tell. The signs are the kernel's: what is
// available, how long tasks have waited for memory (PSI), what is swapped out and read back. A balloon makes
// the guest choose its least needed pages, so some reclaim is the purpose; what it must not make is a guest
// that thrashes, or one that runs out.
//
// Three zones, with a dead band between the outer two:
//
//   grow        enough is available, and tasks hardly wait
//   hold        in between: nothing is done
//   give way    what is available ends (without swap to fall back on), or tasks wait much *and* pages go to
//   and fro: waiting
//               alone may be for a disk that other things keep busy
//
// What the balloon does not bring the host takes by swapping, without a sign here, and worse pages than this
// kernel would choose. So waiting counts only as long as what goes to and fro here costs more than what the
// host reads back. And the waiting does not tell all: a page that is missed costs the guest more of its CPU
// than of its time, as it is dropped, asked of the disk and read. So what is missed counts of itself, where
// the kernel says that a little more memory would have kept it. A page of a file costs this guest a request
// to its disk, an interrupt and two changes of task, and the host one read; so the rates are not compared as
// they are.
//
// Without swap, "available" is all there is: the floor is 1/32 of memory. With swap it may go to almost
// nothing, for the kernel makes more; the waiting tells. After giving way nothing grows for 5 s, so that what
// was given is found and used, and not taken back at once; twice as long each time that it has to give way
// soon after it grew. What is free it takes as fast as it can, and what is cache a little at a time, as what
// that costs shows.
//
// How often to look is a race: a burst may eat what is available at `burst`. So the time to the next look is
// half of what a burst would need to reach the floor, within bounds. And to give way takes time too: the look
// itself, the call, and a hart for both while the burst has the others. What is lost meanwhile, at the speed
// at which it was lost last, must be there above the floor. But a look costs the guest a good part
// of a millisecond, and it may be due fifty times a second; so most are glances. What is free less what the
// kernel keeps is available in any case, whatever became of the rest: while that alone is above the floor,
// nobody need give way. Then a look is due once a second, and in each window while tasks wait or the balloon
// is smaller than the host wants it.
namespace cloister::agent {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

struct Floors {
  std::uint64_t low;   // below: give way
  std::uint64_t high;  // grow only to here
};

bool can_swap(const Signs& signs) { return signs.swap_total != 0 && signs.swap_free > signs.swap_total / 8; }

Floors floors_of(const Signs& signs) {
  if (can_swap(signs)) return {signs.total / 256, signs.total / 128};
  const std::uint64_t low = std::clamp(signs.total / 32, 8 * kMiB, 256 * kMiB);
  return {low, 2 * low};
}

std::uint64_t since(std::uint64_t now, std::uint64_t before) { return now > before ? now - before : 0; }

}  // namespace

void BalloonPolicy::measure(const Signs& signs) {
  const std::uint64_t passed = since(signs.counted, base_.counted);
  if (has_base_ && passed < band_.window) return;
  if (has_base_) {
    rates_.stall = since(signs.stalled, base_.stalled) / passed;
    rates_.thrashing =
        (since(signs.swapped_out, base_.swapped_out) + since(signs.refaulted, base_.refaulted)) * 1000 /
        passed;
    rates_.missed = since(signs.missed, base_.missed) * 1000 / passed;
  }
  base_ = signs;
  has_base_ = true;
}

std::uint64_t BalloonPolicy::danger_at(std::uint64_t time, std::uint64_t available) const {
  if (!begun_) return 0;
  const std::uint64_t passed = std::max(since(time, last_.time), band_.shortest_look);
  return since(last_.available, available) * band_.reaction / passed;
}

// Bytes to let go of at once: 0 when all is well.
std::uint64_t BalloonPolicy::give_way(const Signs& signs, const Wish& wish, std::uint64_t held) const {
  const Floors floors = floors_of(signs);
  if (signs.available < floors.low + danger_)
    return std::min(held, floors.high + 2 * danger_ - signs.available);
  return suffers(signs, wish) ? std::min(held, std::max(held / 8, 16 * kMiB)) : 0;
}

// Where growth was soon too much, as often as not it is the next time.
void BalloonPolicy::hold_off(std::uint64_t time) {
  if (has_grown_) hold_off_ = time < grown_at_ + band_.longest_hold_off ? 2 * hold_off_ : 0;
  hold_off_ = std::clamp(hold_off_, band_.hold_off, band_.longest_hold_off);
  has_grown_ = false;
  quiet_until_ = time + hold_off_;
}

// Tasks wait much, or do much to have back what they need. Either may pass while the host reads more back.
bool BalloonPolicy::suffers(const Signs& signs, const Wish& wish) const {
  const bool thrashes = rates_.stall >= band_.stall_give && rates_.thrashing > signs.total / 256;
  return (thrashes && rates_.thrashing * band_.dearness > wish.read_back) ||
         (rates_.missed > signs.total / band_.many_missed && rates_.missed * band_.dearness > wish.read_back);
}

std::uint64_t BalloonPolicy::room_above(const Signs& signs, const Wish& wish) const {
  const bool costs_more = rates_.thrashing * band_.dearness >= wish.read_back;
  if (rates_.stall >= band_.stall_hold && costs_more) return 0;
  if (rates_.missed > signs.total / band_.few_missed && rates_.missed * band_.dearness > wish.read_back)
    return 0;
  const std::uint64_t room = since(signs.available, floors_of(signs).high);
  // The kernel makes room by swapping while the balloon grows, a little at a time.
  return can_swap(signs) ? std::max(room, 8 * kMiB) : room;
}

// `spare`: what is available above the floor.
std::uint64_t BalloonPolicy::wait_with(std::uint64_t spare) const {
  const std::uint64_t speed = std::max(band_.burst * 1024, danger_ / band_.reaction);
  return std::clamp(spare / speed / 2, band_.shortest_look, band_.longest_look);
}

bool BalloonPolicy::wants_counts(std::uint64_t time) const {
  return !has_base_ || since(time, base_.counted) >= band_.window;
}

std::uint64_t BalloonPolicy::glance(std::uint64_t time, std::uint64_t free) {
  const std::uint64_t low = floors_of(last_).low, surely = since(free, last_.kept);
  const std::uint64_t available = since(last_.available + free, last_.free);
  const std::uint64_t danger = danger_at(time, available);
  if (!begun_ || time >= due_ || surely < low + danger) return 0;
  danger_ = danger;
  last_.available = available;
  last_.free = free;
  last_.time = time;
  return std::min(wait_with(surely - low), due_ - time);
}

// `missing` is more than the hysteresis.
Step BalloonPolicy::grow(const Signs& signs, const Wish& wish, std::uint64_t missing) {
  Step step;
  step.next = wait_with(since(signs.available, floors_of(signs).low));
  step.reason = CLOISTER_BALLOON_PRESSURE;
  due_ = signs.time + band_.window;
  const std::uint64_t room = room_above(signs, wish);
  if (signs.time < quiet_until_ || room < band_.hysteresis) return step;
  step.reason = CLOISTER_BALLOON_WORKING;
  // What is not free the kernel must make so, of what it has read; whether that is missed shows in a window.
  const std::uint64_t free = since(signs.free, signs.kept + floors_of(signs).high);
  std::uint64_t bytes = std::min({missing, room, band_.step, std::max(free, signs.total / band_.cache_part)});
  if (wish.rate != 0) {
    // A rate allows what has come together since the last step, for a second at most.
    const std::uint64_t allowed =
        wish.rate * std::min<std::uint64_t>(since(signs.time, grown_at_), 1000) / 1000;
    if (allowed < std::min(bytes, band_.hysteresis)) {
      step.next = std::min<std::uint64_t>(step.next, 50);
      due_ = signs.time + step.next;
      return step;
    }
    bytes = std::min(bytes, allowed);
  }
  step.grow = bytes;
  if (bytes <= free) due_ = signs.time;
  step.next = std::min(step.next, due_ - signs.time);
  grown_at_ = signs.time;
  has_grown_ = true;
  return step;
}

Step BalloonPolicy::decide(const Signs& signs, const Wish& wish, const Bounds& bounds, std::uint64_t held) {
  measure(signs);
  danger_ = danger_at(signs.time, signs.available);
  const std::uint64_t wanted = std::min(wish.target, bounds.most);
  Step step;
  step.next = wait_with(since(signs.available, floors_of(signs).low));
  const bool calm = rates_.stall == 0 && signs.counted == signs.time;
  due_ = signs.time + (calm ? band_.longest_look : band_.window);
  const std::uint64_t given = give_way(signs, wish, held);
  const std::uint64_t too_much = since(held, wanted);
  const std::uint64_t missing = since(wanted, held);
  if (given > too_much) {
    step.shrink = given;
    step.reason = CLOISTER_BALLOON_PRESSURE;
    step.next = band_.shortest_look;
    due_ = signs.time + step.next;
    hold_off(signs.time);
    rates_ = {};  // they speak of the time before
    base_ = signs;
    has_base_ = signs.counted == signs.time;
  } else if (too_much >= band_.hysteresis || (wanted == 0 && held != 0)) {
    step.shrink = too_much;
  } else if (missing >= band_.hysteresis) {
    const bool no_room = bounds.room < band_.hysteresis;
    if (!no_room) step = grow(signs, wish, std::min(missing, bounds.room));
    if (no_room) step.reason = CLOISTER_BALLOON_LIMIT;
  } else if (since(wish.target, wanted) >= band_.hysteresis) {
    step.reason = CLOISTER_BALLOON_LIMIT;
  }
  last_ = signs;
  last_.available = since(signs.available + step.shrink, step.grow);  // no burst of the guest's
  last_.free = since(signs.free + step.shrink, step.grow);
  begun_ = true;
  return step;
}

}  // namespace cloister::agent
