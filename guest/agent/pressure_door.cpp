// SPDX-License-Identifier: Apache-2.0
#include "agent/pressure_door.h"

#include <string_view>

#include "agent/condition_text.h"

namespace cloister::agent {

PressureDoor::PressureDoor(Loop& loop, std::uint64_t repeat, std::uint64_t spread)
    : loop_(loop),
      repeat_(repeat),
      spread_(spread),
      door_(
          loop, [this](UnixDoor::Client client) { listeners_[client]; },
          [this](UnixDoor::Client client, const std::string& line) { hear(client, line); },
          [this](UnixDoor::Client client) { forget(client); }) {}

PressureDoor::~PressureDoor() {
  for (const auto& [client, listener] : listeners_) loop_.cancel(listener.timer);
}

void PressureDoor::hear(UnixDoor::Client client, const std::string& line) {
  constexpr std::string_view kKey = "level ";
  if (!line.starts_with(kKey)) return;
  const auto level = level_of(std::string_view(line).substr(kKey.size()));
  if (level && *level != CLOISTER_AMPLE) listeners_[client].from = *level;
}

void PressureDoor::forget(UnixDoor::Client client) {
  loop_.cancel(listeners_[client].timer);
  listeners_.erase(client);
}

bool PressureDoor::is_due(const Listener& listener, const cloister_condition& condition,
                          std::uint64_t now) const {
  if (listener.timer != 0 || condition.level < listener.from) return false;
  return condition.level > listener.level || (condition.gap != 0 && now >= listener.told + repeat_);
}

// Each has its turn, so that not all let go in the same moment.
void PressureDoor::tell(const cloister_condition& condition) {
  const std::uint64_t now = milliseconds();
  const std::string line =
      std::string(level_word(condition.level)) + " " + std::to_string(condition.release) + "\n";
  std::uint64_t turn = 0;
  for (auto& [client, listener] : listeners_) {
    const bool due = is_due(listener, condition, now);
    if (condition.level < listener.level) listener.level = condition.level;
    if (!due) continue;
    listener.level = condition.level;
    listener.told = now;
    listener.timer = loop_.after(turn, [this, client = client, line] {
      listeners_[client].timer = 0;
      door_.tell(client, line);
    });
    turn += spread_;
  }
}

}  // namespace cloister::agent
