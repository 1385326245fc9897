// SPDX-License-Identifier: Apache-2.0
#include "host/events.h"

#include "base/os/clock.h"

namespace cloister::host {

void Events::say(LogLevel level, std::string_view machine, std::string_view kind, std::string text) {
  if (level >= LogLevel::kWarning) {
    log(level, "{}{}{}", machine, machine.empty() ? "" : ": ", text);
  }
  events_.push_back(
      {next_++, os::realtime_now(), level, std::string(machine), std::string(kind), std::move(text)});
  if (events_.size() > kKept) events_.pop_front();
  const Event event = events_.back();
  const auto listeners = listeners_;  // a listener may leave while it is called
  for (const auto& [id, call] : listeners) call(event);
}

Events::ListenerId Events::listen(std::function<void(const Event&)> call) {
  listeners_[next_listener_] = std::move(call);
  return next_listener_++;
}

void Events::forget(ListenerId id) { listeners_.erase(id); }

std::vector<Event> Events::since(u64 id) const {
  std::vector<Event> after;
  for (const Event& event : events_) {
    if (event.id > id) after.push_back(event);
  }
  return after;
}

}  // namespace cloister::host
