// SPDX-License-Identifier: Apache-2.0
#include "agent/release_policy.h"

#include <algorithm>

// Counted once.
//
// The host wants memory; the balloon brings it. What a program frees becomes the guest's free memory, and the
// balloon takes it from there; without a balloon the host swaps it, which costs little, for nobody reads it.
// So a program's release is not something besides the balloon's, and only that must be asked of programs
// which the balloon cannot find free. And what was asked of a program and is still on its way must not be
// asked of the next: the part of its use above its limit counts as done, for ten seconds; after that it has
// shown that it cannot, and others are asked. What it has forgotten and its allocator keeps is on its way
// too. It itself is asked for no more than a quarter then, and once in ten seconds: a cache whose limit falls
// while it cannot forget as fast would stand empty when it can. Sooner only where more than twice as much is
// wanted: need that has just begun to be felt says little of how much it is. One that still has half as
// much again as it may frees nothing by forgetting more, and is left alone. Where its allocator keeps that,
// the host swaps what lies between, and it does not come back; where a collector has yet to come round, what
// is cut meanwhile would be missing once it has.
//
// A program that has to go over all of its memory to let go of a part, as a collector does, does so at each
// cut. While memory gets scarce little by little it would do nothing else, and what the host has swapped
// meanwhile it reads back each time. So a cut is never less than a part of what it uses: few cuts, and the
// first of them before much was swapped.
//
// What the host swaps and nobody reads costs nothing, and it takes idle pages first; where it took others, it
// reads them back once and takes better ones. What a program forgets it makes anew, and a smaller heap is
// collected more often: that costs for good. So programs are asked only where reading back does not end: once
// it has cost three seconds beyond an eighth of the time. Then they are asked for much at once; a program
// that has to read its memory back to let go of it does not come to that any more once most of it is swapped.
//
// What is asked falls to the programs by weight and by what each has above its floor; at level soft, nobody
// is asked for more than a quarter of that. Turns are spread in time, so that not all collect garbage in the
// same moment, but never beyond half of the time that is left. When nothing has been wanted for a while,
// limits rise again an eighth of the way at a time, for a quarter of what is available at most. Nobody knows
// exactly what is: what the guest has free may be kept elsewhere, and what is used be idle. So a little is
// tried in any case, twice as much each time that nobody minds; and where it was too much it takes twice as
// long before anything is tried again.
namespace cloister::agent {
namespace {

__extension__ using u128 = unsigned __int128;

constexpr std::uint64_t kSecond = 1000;  // milliseconds
constexpr std::uint64_t kRateLasts = 3 * kSecond;
constexpr std::uint64_t kPatience = 10'000;  // milliseconds that a cut counts as being followed
constexpr std::uint64_t kCalm = 10'000;      // milliseconds without need before limits rise, at first
constexpr std::uint64_t kLongestCalm = 160'000;
constexpr std::uint64_t kBetweenRises = 5000;
constexpr std::uint64_t kRise = 8;            // of the ceiling, at most at a time
constexpr std::uint64_t kTrial = 32;          // likewise, where nothing is known to be available: at first
constexpr std::uint64_t kSmallest = 1 << 20;  // bytes; less is not worth a program's trouble
// What is read back in a second in which the machine does nothing else: a page takes 120 us, more or less.
constexpr std::uint64_t kSecondOfReading = 32 << 20;
constexpr std::uint64_t kNoLoss = kSecondOfReading / 8;  // bytes a second
constexpr std::uint64_t kLoss = 3 * kSecondOfReading;    // programs are asked from there on

std::uint64_t above(std::uint64_t a, std::uint64_t b) { return a > b ? a - b : 0; }

std::uint64_t above_limit(const ProgramState& program) {
  return above(std::max(program.used, program.resident), program.limit);
}

// A program is often a little above its limit.
bool owes(const ProgramState& program) { return above_limit(program) > program.limit / 16; }

bool frees_nothing(const ProgramState& program) { return above_limit(program) > program.limit / 2; }

std::uint64_t spare_of(const ProgramState& program, std::uint32_t level, bool is_following) {
  if (frees_nothing(program) || (owes(program) && is_following)) return 0;
  const std::uint64_t spare = above(std::min(program.used, program.limit), program.floor);
  return level <= CLOISTER_SOFT || owes(program) ? spare / 4 : spare;
}

}  // namespace

std::uint64_t free_and_held(std::uint64_t free, const cloister_condition& condition) {
  return above(free, above(condition.configured, condition.held));
}

ReleasePolicy::ReleasePolicy(std::uint64_t spread) : spread_(spread), calm_(kCalm), trial_(kTrial) {}

bool ReleasePolicy::is_following(std::size_t program, std::uint64_t time) const {
  return cuts_[program].time != 0 && time < cuts_[program].time + kPatience;
}

std::uint64_t ReleasePolicy::under_way(const Need& need, const std::vector<ProgramState>& programs) const {
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    if (is_following(i, need.time)) sum += above_limit(programs[i]);
  }
  return sum;
}

std::vector<Turn> ReleasePolicy::cut(const Need& need, const std::vector<ProgramState>& programs) {
  std::vector<Turn> turns;
  const std::uint64_t wanted = above(need.release, need.spare + under_way(need, programs));
  std::vector<std::uint64_t> spares;
  u128 weights = 0;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const bool is_patient = is_following(i, need.time) && wanted <= 2 * cuts_[i].wanted;
    spares.push_back(spare_of(programs[i], need.level, is_patient));
    weights += u128{spares[i]} * programs[i].weight;
  }
  if (wanted < kSmallest || weights == 0) return turns;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const std::uint64_t spare = spares[i];
    const u128 part = u128{wanted} * spare * programs[i].weight / weights;
    const auto share = static_cast<std::uint64_t>(std::min<u128>(part, spare));
    if (share < kSmallest) continue;
    const std::uint64_t bytes = std::min(std::max(share, programs[i].least), spare);
    turns.push_back({i, std::min(programs[i].used, programs[i].limit) - bytes, turns.size() * spread_});
    cuts_[i] = {need.time, wanted};
  }
  const std::uint64_t latest = turns.empty() ? 0 : turns.back().after;
  if (need.deadline != 0 && latest > need.deadline / 2) {
    for (Turn& turn : turns) turn.after = turn.after * (need.deadline / 2) / latest;
  }
  return turns;
}

std::vector<Turn> ReleasePolicy::raise(const Need& need, const std::vector<ProgramState>& programs) {
  std::vector<Turn> turns;
  std::uint64_t left = need.available / 4, usable = need.usable / 4;
  for (std::size_t i = 0; i < programs.size(); ++i) {
    const ProgramState& one = programs[i];
    const std::uint64_t missing = above(one.ceiling, one.limit);
    const std::uint64_t most = std::max(std::min(one.ceiling / kRise, left), one.ceiling / trial_);
    const std::uint64_t step = std::min({missing, std::max(most, kSmallest), usable});
    if (step == 0) continue;
    turns.push_back({i, one.limit + step, turns.size() * spread_});
    left = above(left, step);
    usable -= step;
  }
  if (!turns.empty()) {
    raised_at_ = need.time;
    trial_ = std::max(trial_ / 2, kRise);
  }
  return turns;
}

void ReleasePolicy::note_need(std::uint64_t time) {
  if (raised_at_ > wanted_at_)
    calm_ = time < raised_at_ + kLongestCalm ? std::min(2 * calm_, kLongestCalm) : kCalm;
  wanted_at_ = time;
  trial_ = kTrial;
}

// A rate says nothing of what was before it was taken, and it is told each two seconds while anything is
// wanted.
void ReleasePolicy::note_loss(const Need& need) {
  const std::uint64_t passed = need.time - told_at_;
  const std::uint64_t told = passed > kRateLasts ? kSecond : passed;
  const bool stands = need.level == CLOISTER_CRITICAL;
  const std::uint64_t rate = stands ? std::max(need.read_back, kSecondOfReading) : need.read_back;
  loss_ = above(loss_, kNoLoss * (passed - told) / kSecond) + rate * told / kSecond;
  loss_ = std::min(above(loss_, kNoLoss * told / kSecond), kLoss);
  told_at_ = need.time;
}

std::vector<Turn> ReleasePolicy::decide(const Need& need, const std::vector<ProgramState>& programs) {
  cuts_.resize(programs.size());
  note_loss(need);
  if (need.level > CLOISTER_AMPLE || need.release != 0) {
    note_need(need.time);
    if (loss_ < kLoss) return {};
    return cut(need, programs);
  }
  if (need.time < wanted_at_ + calm_ || need.time < raised_at_ + kBetweenRises) return {};
  return raise(need, programs);
}

}  // namespace cloister::agent
