// SPDX-License-Identifier: Apache-2.0
#include "agent/releases.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <utility>

#include "agent/log.h"

namespace cloister::agent {
namespace {

constexpr std::uint64_t kTicksPerMillisecond = 10'000;

// Kept free: the balloon does not take the last of what is available either.
std::uint64_t spare_of(const Signs& signs) {
  const std::uint64_t kept = signs.total / 16;
  return signs.available > kept ? signs.available - kept : 0;
}

}  // namespace

Releases::Releases(Loop& loop, const BridgeSettings& settings, std::string notes)
    : loop_(loop), policy_(settings.spread), balloon_(settings.balloon), notes_(std::move(notes)) {
  for (const ProgramSettings& one : settings.programs) {
    if (auto program = make_program(loop, one)) {
      Member& member = members_.emplace_back();
      member.settings = one;
      member.program = std::move(program);
    }
  }
  read_notes();
}

Releases::~Releases() {
  for (const Loop::Timer timer : timers_) loop_.cancel(timer);
}

void Releases::begin(const cloister_condition& condition, std::uint64_t ticks) {
  if (awaited_ != 0 || members_.empty()) return;
  const Signs signs = reader_.read(SignReader::Extent::kMemory);
  need_ = {};
  need_.time = milliseconds();
  need_.level = condition.level;
  need_.release = condition.release;
  need_.read_back = condition.swap_in_rate;
  need_.spare = balloon_ ? spare_of(signs) : free_and_held(signs.free, condition);
  need_.available = std::min(condition.available, signs.available);
  need_.usable = signs.available;
  if (condition.deadline > ticks) need_.deadline = (condition.deadline - ticks) / kTicksPerMillisecond + 1;
  awaited_ = members_.size();
  for (std::size_t i = 0; i < members_.size(); ++i) {
    members_[i].answered = false;
    members_[i].program->ask([this, i](const std::optional<Program::Figures>& figures,
                                       const std::string& why) { take(i, figures, why); });
  }
}

void Releases::take(std::size_t index, const std::optional<Program::Figures>& figures,
                    const std::string& why) {
  Member& member = members_[index];
  member.answered = figures.has_value();
  if (figures) {
    note_ceiling(member, *figures);
    member.state.used = figures->used;
    member.state.resident = figures->resident;
    member.state.least = figures->least;
    member.state.floor = figures->can_shrink ? member.settings.floor : UINT64_MAX;
    member.state.weight = member.settings.weight;
    if (!figures->can_shrink)
      complain(member, "it forgets nothing (maxmemory-policy noeviction), so it is not asked to");
  } else {
    complain(member, why);
  }
  if (--awaited_ == 0) decide();
}

// A limit that is not the one that was set last was set by somebody else: that is the ceiling then.
void Releases::note_ceiling(Member& member, const Program::Figures& figures) {
  if (member.tried != 0 && figures.limit == member.tried && member.set_to != member.tried) {
    member.set_to = member.tried;
    write_notes();
  }
  if (!member.noted || figures.limit != member.set_to) {
    member.given = member.set_to = figures.limit;
    member.noted = true;
    write_notes();
  }
  std::uint64_t ceiling = member.settings.ceiling != 0 ? member.settings.ceiling : member.given;
  if (ceiling == 0)
    ceiling = figures.ceiling != 0 ? figures.ceiling : reader_.read(SignReader::Extent::kMemory).total;
  ceiling = member.program->kept(ceiling);
  member.state.ceiling = ceiling;
  member.state.limit = figures.limit == 0 ? ceiling : std::min(figures.limit, ceiling);
}

void Releases::decide() {
  std::vector<std::size_t> places;
  std::vector<ProgramState> states;
  any_below_ = false;
  for (Member& member : members_) {
    // One that does not answer has nothing to give.
    if (!member.answered) member.state = {};
    states.push_back(member.state);
    any_below_ = any_below_ || member.state.limit < member.state.ceiling;
  }
  timers_.clear();
  for (const Turn& one : policy_.decide(need_, states)) {
    timers_.push_back(loop_.after(one.after, [this, one] { turn(one.program, one.limit); }));
    ++awaited_;
  }
}

// At its ceiling a program has again exactly what it had: also no limit.
void Releases::turn(std::size_t index, std::uint64_t limit) {
  Member& member = members_[index];
  const bool whole = limit >= member.state.ceiling;
  const std::uint64_t to = whole && member.settings.ceiling == 0 ? member.given : member.program->kept(limit);
  member.tried = to;
  member.program->turn_to(to, [this, index, to, limit](const std::string& why) {
    Member& done = members_[index];
    if (why.empty()) {
      say(Weight::kInfo, "%s may use %llu MiB", done.settings.name.c_str(),
          static_cast<unsigned long long>(limit >> 20));
      done.set_to = to;
      done.complaint.clear();
      any_below_ = any_below_ || limit < done.state.ceiling;
      write_notes();
    } else {
      complain(done, why);
    }
    turned();
  });
}

void Releases::turned() { --awaited_; }

void Releases::complain(Member& member, const std::string& why) {
  if (why == member.complaint) return;
  member.complaint = why;
  say(Weight::kWarning, "%s: %s", member.settings.name.c_str(), why.c_str());
}

// Lines of a name, then what was set and what was given.
void Releases::read_notes() {
  std::ifstream file(notes_);
  for (std::string line; std::getline(file, line);) {
    const std::size_t tab = line.find('\t');
    if (tab == std::string::npos) continue;
    for (Member& member : members_) {
      if (member.settings.name != line.substr(0, tab)) continue;
      std::istringstream numbers(line.substr(tab + 1));
      member.noted = static_cast<bool>(numbers >> member.set_to >> member.given);
    }
  }
}

void Releases::write_notes() const {
  const std::string temporary = notes_ + ".new";
  {
    std::ofstream file(temporary);
    for (const Member& member : members_) {
      if (member.noted) file << member.settings.name << '\t' << member.set_to << '\t' << member.given << '\n';
    }
  }
  std::rename(temporary.c_str(), notes_.c_str());
}

}  // namespace cloister::agent
