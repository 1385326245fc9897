// SPDX-License-Identifier: Apache-2.0
//
// How large the balloon is to be
//
// The daemon asks for frames, by orders; a balloon has a size, which lasts. So an order raises the size by
// what is missing, and nothing lowers it but these: the machine's target rises (a balloon larger than what
// the machine is not entitled to takes nothing from others and costs the guest), or the guest shows that it
// cannot bear it (policy/memory/balloon.h). What an order does not get by the balloon in its time is the
// housekeeper's to take by other ways. Where the guest reads much of that back, the balloon is asked for as
// much as programs are: its guest's kernel finds pages that are not needed, where force does not.
//
// Until an order's deadline somebody may stand still for the frames: the balloon grows as fast as it can.
// After it what was missing has been taken, and the balloon goes on to its size in its own time, with no
// deadline and at a rate: then what was taken by force has room to come back.
//
// What applications say decides how the guest's balloon is shared out among them, and how soon the other ways
// come. How many frames came back is counted where frames are counted, whatever they say.
#include "cell/cooperation.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "base/os/clock.h"
#include "machine/clock.h"

namespace cloister::cell {
namespace {

using device::virtio::Balloon;
using policy::memory::pages_of;
using policy::memory::units_of;

}  // namespace

Cooperation::Cooperation(os::EventLoop& loop, machine::Machine& machine, const machine::MachineConfig& config)
    : loop_(loop),
      machine_(machine),
      configured_{machine.memory().size().raw >> kPageShift},
      condition_(machine.memory().size()),
      condition_port_(loop),
      balloon_port_(loop,
                    [this] {
                      set_balloon();
                      look();
                    }),
      balloon_(units_of(configured_)) {
  if (config.deterministic) return;
  if (config.condition_calls)
    serve(CLOISTER_PORT_CONDITION,
          [this](os::UnixStream stream) { condition_port_.accept(std::move(stream)); });
  if (config.balloon_calls)
    serve(CLOISTER_PORT_BALLOON, [this](os::UnixStream stream) { balloon_port_.accept(std::move(stream)); });
  machine_.memory().condition().set_on_look([this] { loop_.post([this] { quicken(); }); });
  beat();
}

Cooperation::~Cooperation() {
  machine_.memory().condition().set_on_look({});
  loop_.cancel(timer_);
}

// The device passes the socket on under its lock: here it goes to the loop that serves it.
void Cooperation::serve(u32 port, std::function<void(os::UnixStream)> accept) {
  machine_.serve_port(port, [this, accept = std::move(accept)](os::UnixStream stream) {
    auto passed = std::make_shared<os::UnixStream>(std::move(stream));
    loop_.post([accept, passed] { accept(std::move(*passed)); });
  });
}

void Cooperation::beat() {
  ask_device();
  if (deadline_ != 0 && machine_.ticks() >= deadline_) set_deadline(0);
  ask_for_what_is_short();
  set_balloon();
  look();
  machine_.memory().condition().await_look();  // before we look whether anybody does
  const bool looked_at = condition_port_.clients() != 0 || balloon_port_.figures().applications != 0 ||
                         machine_.memory().usage().in(memory::PageState::kCondition) != Pages{};
  seldom_ = at_beat_ && calm_.look(machine_.run_time()) && !looked_at && may_rest_();
  if (at_beat_) at_beat_(seldom_);
  timer_ = loop_.after(seldom_ ? kSeldomBeat : kBeat, [this] { beat(); });
}

void Cooperation::quicken() {
  if (!std::exchange(seldom_, false)) return;
  loop_.cancel(timer_);
  beat();
}

void Cooperation::look() {
  MemoryCondition::Facts facts;
  facts.usage = machine_.memory().usage();
  if (swap_ != nullptr) facts.swapped_in = swap_->counts().read;  // those packed are in the usage
  facts.balloon_written = machine_.balloon_pages_written();
  facts.balloon = balloon_port_.figures();
  facts.standing_still = still_;
  facts.ran = machine_.run_time();
  facts.now = os::monotonic_now();
  facts.ticks = machine_.ticks();
  const auto news = condition_.update(facts);
  machine_.memory().condition().write(condition_.record());
  if (news != MemoryCondition::News::kNone) condition_port_.tell(condition_.record());
  condition_port_.renew(condition_.record());
}

void Cooperation::stand(const control::Standing& standing) {
  standing_ = standing;
  condition_.stand(standing);
  set_balloon();
  look();
}

void Cooperation::set_standing_still(bool still) {
  still_ = still;
  look();
}

void Cooperation::ask(Pages more, Nanos deadline) {
  const Nanos now = os::monotonic_now();
  const u64 left = deadline > now ? (deadline - now).raw / machine::kNanosPerTick : 0;
  loop_.post([this, more, left, number = ++asked_] { ask_now(more, machine_.ticks() + left, number); });
}

void Cooperation::ask_now(Pages more, u64 deadline, u64 number) {
  heard_ = number;
  wanted_ = std::max(wanted_, told() + more);
  set_deadline(deadline);
  set_balloon();
  look();
}

void Cooperation::set_deadline(u64 ticks) {
  deadline_ = ticks;
  condition_.set_deadline(ticks);
}

void Cooperation::ask_for_what_is_short() {
  if (condition_.is_short())
    wanted_ = std::max(wanted_, told() + Pages{condition_.record().release >> kPageShift});
}

// What the guest says it has given up.
Pages Cooperation::told() const {
  const auto figures = balloon_port_.figures();
  if (figures.applications != 0) return {figures.held >> kPageShift};
  return machine_.balloon() != nullptr ? machine_.balloon()->actual() : Pages{};
}

// The most that is of use: with so much given up, the guest has its target and no more.
Pages Cooperation::bound() const {
  if (!standing_) return configured_;
  return configured_ - std::min(configured_, Pages{standing_->target_pages});
}

policy::memory::BalloonSigns Cooperation::signs() const {
  policy::memory::BalloonSigns signs = balloon_port_.figures().signs;
  signs.page_out_rate = condition_.page_out_rate();
  signs.is_read_back = condition_.is_short();
  if (signs.available || machine_.balloon() == nullptr) return signs;
  const auto statistics = machine_.balloon()->statistics();
  if (const auto available = statistics[Balloon::Statistic::kAvailable])
    signs.available = policy::memory::Units{*available >> kPageShift};
  // How large its swap is they do not tell. Where it is full, the driver lets its balloon go by itself.
  signs.can_swap = statistics[Balloon::Statistic::kSwapOut].value_or(0) != 0;
  signs.page_in_rate = device_page_ins_.per_second();
  return signs;
}

void Cooperation::ask_device() {
  if (machine_.balloon() == nullptr) return;
  const u64 swapped_in = machine_.balloon()->statistics()[Balloon::Statistic::kSwapIn].value_or(0);
  device_page_ins_.update(swapped_in >> kPageShift, os::monotonic_now());
  machine_.balloon()->request_statistics();
}

void Cooperation::set_balloon() {
  const bool applications = balloon_port_.figures().applications != 0;
  Balloon* device = machine_.balloon();
  able_ = applications || (device != nullptr && device->statistics().answers != 0);
  wanted_ = std::min(wanted_, bound());
  ordered_ = pages_of(balloon_.decide(units_of(wanted_), units_of(told()), signs(), os::monotonic_now()));
  const u64 rate =
      deadline_ != 0 ? 0 : bytes_of(pages_of(policy::memory::unhurried(units_of(configured_)))).raw;
  balloon_port_.order({bytes_of(ordered_).raw, rate, deadline_});
  if (device != nullptr) device->set_target(applications ? Pages{} : ordered_);
  spent_ = is_spent() ? heard_ : 0;
}

// What an application has done for an order it has done when it says so.
bool Cooperation::is_spent() const {
  const auto figures = balloon_port_.figures();
  if (figures.applications == 0 || !figures.settled) return false;
  return figures.spent || ordered_ < wanted_ || wanted_ == bound();
}

void Cooperation::fill_in(control::Report& report) const {
  const auto figures = balloon_port_.figures();
  report.balloon_pages = machine_.memory().usage().in(memory::PageState::kBalloonValue).raw;
  report.balloon_target_pages = ordered_.raw;
  report.balloon_told_pages = told().raw;
  report.balloon_written_pages = machine_.balloon_pages_written().raw;
  report.balloon_elided_pages = machine_.balloon_pages_elided().raw;
  report.page_out_rate = condition_.page_out_rate();
  report.applications = figures.applications;
  report.level = condition_.record().level;
  report.pressure = figures.signs.pressure;
  report.yields = balloon_.yields() ? 1 : 0;
  fill_in_device(report);
}

void Cooperation::fill_in_device(control::Report& report) const {
  static_assert(control::kGuestFigures == Balloon::kStatistics);
  if (machine_.balloon() == nullptr) return;
  report.reported_free_pages = machine_.balloon()->counts().reported;
  const auto statistics = machine_.balloon()->statistics();
  for (std::size_t i = 0; i < control::kGuestFigures; ++i) {
    if (!statistics.values[i]) continue;
    report.figures[i] = *statistics.values[i];
    report.told |= u64{1} << i;
  }
}

}  // namespace cloister::cell
