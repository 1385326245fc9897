// SPDX-License-Identifier: Apache-2.0
#include "cell/balloon_port.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/os/clock.h"

namespace cloister::cell {
namespace {

using policy::memory::BalloonApplication;
using policy::memory::Units;

constexpr std::chrono::seconds kPatience{5};
constexpr Nanos kSecond{1'000'000'000};
constexpr u32 kMostSaid = 200;  // ten times what the ABI allows
constexpr u32 kLongestRecord = std::max(sizeof(cloister_balloon_hello), sizeof(cloister_balloon_state));

Units units(u64 bytes) { return {std::min(bytes >> kPageShift, policy::memory::kMaxUnits.raw)}; }

bool yields(const cloister_balloon_state& state) { return state.reason == CLOISTER_BALLOON_PRESSURE; }

}  // namespace

BalloonPort::Application::Application(os::UnixStream socket) : stream(std::move(socket), kLongestRecord) {}

bool BalloonPort::Application::is_settled() const {
  return ordered.serial != 0 && state.serial == ordered.serial &&
         (state.reason == CLOISTER_BALLOON_MET || state.reason == CLOISTER_BALLOON_LIMIT);
}

bool BalloonPort::Application::is_spent() const {
  return is_settled() && (state.reason == CLOISTER_BALLOON_LIMIT || ordered.target >= most);
}

BalloonPort::~BalloonPort() {
  for (const auto& [id, application] : applications_) {
    loop_.forget(id);
    loop_.cancel(application.deadline);
  }
}

void BalloonPort::accept(os::UnixStream stream) {
  if (applications_.size() >= kMostClients) return;
  const int id = stream.fd().get();
  Application& made = applications_.emplace(id, Application(std::move(stream))).first->second;
  made.deadline = loop_.after(kPatience, [this, id] { drop(id); });
  push(id);
}

void BalloonPort::order(const Wish& wish) {
  if (wish == std::exchange(wish_, wish)) return;
  share_out();
}

void BalloonPort::share_out() {
  std::vector<int> ids;
  std::vector<BalloonApplication> sharing;
  for (const auto& [id, application] : applications_) {
    if (!application.known) continue;
    ids.push_back(id);
    sharing.push_back({units(application.most), yields(application.state)});
  }
  const auto parts = share_balloon(units(wish_.total), sharing);
  for (std::size_t i = 0; i < ids.size(); ++i) {
    Application& application = applications_.at(ids[i]);
    cloister_balloon_order next{application.ordered.serial, parts[i].raw << kPageShift,
                                wish_.rate / ids.size(), wish_.deadline};
    const cloister_balloon_order& last = application.ordered;
    if (last.serial != 0 && next.target == last.target && next.rate == last.rate &&
        next.deadline == last.deadline)
      continue;
    next.serial = ++serial_;
    application.ordered = next;
    application.due = true;
    push(ids[i]);
  }
}

BalloonPort::Figures BalloonPort::figures() const {
  Figures sum;
  sum.settled = sum.spent = true;
  const Nanos now = os::monotonic_now();
  for (const auto& [id, application] : applications_) {
    if (!application.known) continue;
    const cloister_balloon_state& state = application.state;
    ++sum.applications;
    sum.settled &= application.is_settled();
    sum.spent &= application.is_spent();
    sum.held += std::min(state.held, application.most);
    sum.most += application.most;
    if (now - application.told_at > signs_last_) continue;
    sum.signs.pressure = std::max(sum.signs.pressure, state.pressure);
    sum.signs.can_swap |= policy::memory::has_room_to_swap(state.swap_total, state.swap_free);
    if (state.available == 0) continue;
    const Units available = units(state.available);
    sum.signs.available = std::min(sum.signs.available.value_or(available), available);
  }
  return sum;
}

// Each application's order is the newest only: what it did not read is replaced.
void BalloonPort::push(int id) {
  const auto found = applications_.find(id);
  if (found == applications_.end()) return;
  Application& application = found->second;
  bool sound = application.stream.flush();
  if (sound && application.stream.waiting() == 0 && std::exchange(application.due, false)) {
    application.stream.put_value(CLOISTER_RECORD_BALLOON_ORDER, application.ordered);
    sound = application.stream.flush();
  }
  if (!sound) return drop(id);
  const os::Ready interest =
      application.stream.waiting() == 0 ? os::Ready::kRead : os::Ready::kRead | os::Ready::kWrite;
  if (!loop_.watch(id, interest, [this, id](os::Ready) { on_ready(id); }).ok()) drop(id);
}

// What an application said may have parted from it.
void BalloonPort::on_ready(int id) {
  const bool more = applications_.at(id).stream.read();
  bool heard = false;
  for (;;) {
    const auto found = applications_.find(id);
    if (found == applications_.end()) return;
    const auto record = found->second.stream.next();
    if (!record) break;
    if (!take(id, *record)) return drop(id);
    heard = true;
  }
  if (!more || !applications_.at(id).stream.sound()) return drop(id);
  push(id);
  if (heard) changed_();
}

// False: that makes no sense.
bool BalloonPort::take(int id, const Record& record) {
  Application& application = applications_.at(id);
  const Nanos now = os::monotonic_now();
  if (now - application.second >= kSecond) {
    application.second = now;
    application.said = 0;
  }
  if (++application.said > kMostSaid) return false;
  if (!application.known) return greet(application, record);
  const auto state = record.as<cloister_balloon_state>();
  if (record.kind != CLOISTER_RECORD_BALLOON_STATE || !state) return false;
  const bool yielded = yields(application.state);
  application.state = *state;
  application.told_at = os::monotonic_now();
  if (yielded != yields(*state)) share_out();
  return true;
}

bool BalloonPort::greet(Application& application, const Record& record) {
  const auto hello = record.as<cloister_balloon_hello>();
  if (record.kind != CLOISTER_RECORD_BALLOON_HELLO || !hello) return false;
  application.known = true;
  application.most = hello->most & ~kPageMask;
  loop_.cancel(application.deadline);
  share_out();
  return true;
}

void BalloonPort::drop(int id) {
  const auto found = applications_.find(id);
  if (found == applications_.end()) return;
  loop_.forget(id);
  loop_.cancel(found->second.deadline);
  const bool known = found->second.known;
  applications_.erase(found);
  if (!known) return;
  share_out();
  changed_();
}

}  // namespace cloister::cell
