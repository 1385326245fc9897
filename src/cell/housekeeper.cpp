// SPDX-License-Identifier: Apache-2.0
#include "cell/housekeeper.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/os/clock.h"
#include "base/os/entropy.h"
#include "cell/calm_watch.h"

namespace cloister::cell {
namespace {

using control::Way;

// How often the sampling period is looked at; of a calm guest once instead of so often.
constexpr u64 kCalmLooks = 12;
std::chrono::nanoseconds look_every(const control::Settings& settings, bool calm) {
  constexpr u64 kSeldom = 1'000'000'000, kOften = 50'000'000;
  const u64 quarter = settings.period_nanos / 4;
  return std::chrono::nanoseconds((quarter == 0 ? kSeldom : std::clamp(quarter, kOften, kSeldom)) *
                                  (calm ? kCalmLooks : 1));
}

constexpr auto kLookAtGuest = std::chrono::milliseconds(10);
// A guest that says that it has no more, or gives nothing for a quarter of the time it has, within these
// bounds, is not waited for.
constexpr Nanos kLeastPatience{1'000'000'000}, kMostPatience{3'000'000'000};
// When nothing came for so long, it is asked for what is still missing: what it gave had no frames, or it
// took others meanwhile. So little is not worth asking for: applications leave it alone.
constexpr Nanos kAskAgain{100'000'000};
constexpr Pages kCrumbs{512};
// So much is reclaimed before the daemon hears of it: what waits for it need not wait for the whole.
constexpr Pages kPiece{4096};
constexpr Pages kRoom{1024};
// References are counted once a look: often enough to tell what is used from what was, seldom enough to cost
// a thousandth of a CPU.
constexpr Nanos kLookAtCurve{5'000'000'000};
constexpr Nanos kCurveAge{120'000'000'000};  // what is older than this counts half
constexpr Nanos kRoomTime{1'000'000'000};
// Looks until all of memory was aged once: so an order finds idle pages at once, and takes for idle what was
// not touched for half a minute or so, not since it began.
constexpr u64 kAgeLooks = 32;

// Free page reports and sharing come by themselves: there is nothing to order.
memory::Ways ways_of(u32 bits) {
  using memory::Ways;
  Ways ways;
  if ((bits & control::bit(Way::kZero)) != 0) ways = ways.with(memory::Way::kZero);
  if ((bits & control::bit(Way::kBalloon)) != 0) ways = ways.with(memory::Way::kBalloonValue);
  if ((bits & control::bit(Way::kCompression)) != 0) {
    ways = ways.with(memory::Way::kCompress).with(memory::Way::kCondense);
  }
  if ((bits & control::bit(Way::kSwap)) != 0) ways = ways.with(memory::Way::kSwap);
  return ways;
}

void add(const memory::ByWay& frames, control::Done& done) {
  const auto way = [&](Way to, memory::Way from) { done.by_way[static_cast<u32>(to)] += frames[from].raw; };
  way(Way::kZero, memory::Way::kZero);
  way(Way::kBalloon, memory::Way::kBalloonValue);
  way(Way::kCompression, memory::Way::kCompress);
  way(Way::kCompression, memory::Way::kCondense);
  way(Way::kSwap, memory::Way::kSwap);
}

}  // namespace

Housekeeper::Housekeeper(memory::GuestMemory& memory, Lease& lease,
                         std::function<void(const control::Done&)> done, std::function<Nanos()> run_time)
    : memory_(memory),
      reclaimer_(memory, os::random_number()),
      sampler_(memory, os::random_number()),
      lease_(lease),
      done_(std::move(done)),
      run_time_(std::move(run_time)) {}

Housekeeper::~Housekeeper() { stop(); }

void Housekeeper::stop() {
  {
    MutexLock lock(mutex_);
    end_ = true;
  }
  wake_.notify_all();
  thread_.join();
}

Result<void> Housekeeper::start() {
  thread_ = TRY(os::Thread::start("housekeeper", [this] { run(); }));
  return {};
}

void Housekeeper::order(const control::Reclaim& order) {
  {
    MutexLock lock(mutex_);
    order_ = order;
  }
  wake_.notify_all();
}

bool Housekeeper::post(std::function<void()> call) {
  {
    MutexLock lock(mutex_);
    if (posted_.size() >= kMostPosted) return false;
    posted_.push_back(std::move(call));
  }
  wake_.notify_all();
  return true;
}

void Housekeeper::make_room() {
  {
    MutexLock lock(mutex_);
    make_room_ = true;
  }
  wake_.notify_all();
}

void Housekeeper::sample_as(const control::Settings& settings) {
  MutexLock lock(mutex_);
  settings_ = settings;
}

void Housekeeper::look_soon() {
  {
    MutexLock lock(mutex_);
    if (!std::exchange(calm_, false)) return;
  }
  wake_.notify_all();
}

Housekeeper::Figures Housekeeper::figures() const {
  MutexLock lock(mutex_);
  return figures_;
}

void Housekeeper::run() {
  CalmWatch watch;
  for (;;) {
    std::optional<control::Reclaim> order;
    std::vector<std::function<void()>> posted;
    control::Settings settings;
    bool room = false;
    {
      MutexLock lock(mutex_);
      if (!end_ && !order_ && !make_room_ && posted_.empty())
        wake_.wait_for(mutex_, asked_ ? kLookAtGuest : look_every(settings_, calm_));
      if (end_) break;
      order = std::exchange(order_, std::nullopt);
      room = std::exchange(make_room_, false);
      posted.swap(posted_);
      settings = settings_;
    }
    if (order) begin(*order);
    if (asked_) look_at_guest();
    if (room && lease_.waiting()) (void)reclaim_room();
    for (const auto& call : posted) call();
    sample(settings);
    trace(settings.curve_samples);
    if (!order && !asked_ && !room) walk(Nanos{static_cast<u64>(look_every(settings, false).count())});
    const bool calm = watch.look(run_time_());
    MutexLock lock(mutex_);
    calm_ = calm;
  }
  if (asked_) (void)memory_.end_shrinking();
}

// When nothing is to be done, at each look, however often it is woken for other things meanwhile.
void Housekeeper::walk(Nanos every) {
  const Nanos now = os::monotonic_now();
  const u64 looks = std::min((now - walked_).raw / every.raw, kCalmLooks);
  if (looks == 0) return;
  walked_ = now;
  reclaimer_.age({(memory_.size().raw >> kPageShift) / kAgeLooks * looks});
}

memory::ReclaimReport Housekeeper::reclaim(const memory::ReclaimOrder& order) {
  const auto report = reclaimer_.reclaim(order);
  using memory::ReclaimEnd;
  if (report.end == ReclaimEnd::kSwapFull || report.end == ReclaimEnd::kSwapFailed) {
    MutexLock lock(mutex_);
    figures_.swap_failed = true;
  }
  return report;
}

memory::ReclaimReport Housekeeper::reclaim_room() {
  return reclaim({.wanted = kRoom, .deadline = os::monotonic_now() + kRoomTime, .is_urgent = true});
}

// A new order takes the place of one that the guest still works on.
void Housekeeper::begin(const control::Reclaim& order) {
  if (asked_) {
    (void)memory_.end_shrinking();
    done_(std::exchange(asked_, std::nullopt)->done);
  }
  const Nanos now = os::monotonic_now(), deadline = now + Nanos{order.deadline_nanos};
  control::Done done;
  done.order = order.order;
  const bool asks = order.ask_guest != 0 && order.keep == 0 &&
                    (order.ways & control::bit(Way::kBalloon)) != 0 && guest_.able && guest_.able();
  if (order.keep == 0) {
    const u64 held = lease_.figures().held.raw;
    const Pages owed{std::min(order.pages, held - std::min(held, order.least_pages))};
    // A balloon that grows where there are no frames needs at most as many as it is asked for.
    lease_.owe(owed, asks ? owed : Pages{});
  }
  if (!asks || lease_.missing() == Pages{}) {
    take(order, deadline, done);
    return done_(done);
  }
  (void)memory_.begin_shrinking();
  const Nanos until = now + Nanos{order.deadline_nanos / 4 * 3};
  const Nanos patience = std::clamp(Nanos{order.deadline_nanos / 4}, kLeastPatience, kMostPatience);
  asked_ = Asked{order, done, lease_.owed(), deadline, until, now, now + kAskAgain, patience};
  guest_.ask(lease_.missing(), until);
}

// Returns what is still owed.
Pages Housekeeper::count_given() {
  const Pages owed = lease_.owed();
  const Pages given = asked_->missing - std::min(asked_->missing, owed);
  asked_->done.by_way[static_cast<u32>(Way::kBalloon)] += given.raw;
  if (given != Pages{}) {
    asked_->moved = os::monotonic_now();
    asked_->again = asked_->moved + kAskAgain;
  }
  asked_->missing = owed;
  return owed;
}

// What comes back while the guest is asked is taken to be its doing.
void Housekeeper::look_at_guest() {
  const Pages owed = count_given();
  const Nanos now = os::monotonic_now();
  if (owed == Pages{} || now >= asked_->until || now - asked_->moved > asked_->patience || guest_.spent())
    return take_rest();
  if (lease_.waiting()) return help_guest();
  if (now >= asked_->again) ask_again(now);
}

void Housekeeper::ask_again(Nanos now) {
  const Pages missing = lease_.missing();
  if (missing <= kCrumbs) return take_rest();
  guest_.ask(missing, asked_->until);
  asked_->again = now + kAskAgain;
}

// It has nothing left to work with, and may stand still wholly. The reclaimer does the shrinking itself.
void Housekeeper::help_guest() {
  (void)memory_.end_shrinking();
  const auto report = reclaim_room();
  (void)memory_.begin_shrinking();
  add(report.frames, asked_->done);
  asked_->missing -= std::min(asked_->missing, report.frames.total());
}

void Housekeeper::take_rest() {
  Asked asked = *std::exchange(asked_, std::nullopt);
  (void)memory_.end_shrinking();
  lease_.owe(lease_.owed());
  take(asked.order, asked.deadline, asked.done);
  done_(asked.done);
}

// With `keep` the frames stay: whoever waits for one finds it in the lease, and asks again for what is still
// missing.
void Housekeeper::take(const control::Reclaim& order, Nanos deadline, control::Done& done) {
  Pages missing = order.keep == 0 ? lease_.missing() : Pages{order.pages};
  while (missing != Pages{}) {
    const auto report = reclaim({std::min(missing, kPiece), ways_of(order.ways), deadline, order.keep != 0});
    add(report.frames, done);
    missing =
        order.keep == 0 ? lease_.missing() : missing - std::min(missing, std::max(report.returned, Pages{1}));
    if (report.end != memory::ReclaimEnd::kDone) break;
  }
  if (order.keep == 0) {
    lease_.owe({});
  } else {
    lease_.refused();
  }
}

void Housekeeper::sample(const control::Settings& settings) {
  if (settings.period_nanos == 0) return;
  const SamplePeriod::Times now{run_time_(), memory_.usage().waited, os::monotonic_now()};
  const bool first = !period_.has_begun();
  if (first || period_.is_over(now, {settings.period_nanos}, {settings.period_ceiling})) {
    const auto count = sampler_.restart(settings.samples);
    period_.begin(now);
    MutexLock lock(mutex_);
    figures_.running = {settings.samples, 0};
    if (first) return;
    figures_.last = count;
    ++figures_.periods;
    return;
  }
  const auto running = sampler_.so_far();
  MutexLock lock(mutex_);
  figures_.running = running;
}

void Housekeeper::trace(u32 samples) {
  const Nanos now = os::monotonic_now();
  if (samples == 0 && !curve_) return;
  if (samples == 0 || !curve_ || curve_->samples() != samples) {
    curve_.reset();
    if (samples != 0) curve_.emplace(memory_, os::random_number(), samples);
    looked_ = {};
    aged_ = now;
  } else if (now - looked_ < kLookAtCurve) {
    return;
  }
  if (curve_) curve_->look(looked_ == Nanos{} ? Nanos{} : now - looked_);
  if (curve_ && now - aged_ >= kCurveAge) {
    curve_->age();
    aged_ = now;
  }
  looked_ = now;
  MutexLock lock(mutex_);
  figures_.curve = curve_ ? curve_->curve() : control::Curve{};
}

}  // namespace cloister::cell
