// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/units.h"

namespace cloister::host {

// Something that people should be able to hear of.
struct Event {
  u64 id = 0;  // rises by one
  Nanos time;  // since 1970
  LogLevel level = LogLevel::kInfo;
  std::string machine;  // empty: the host's own
  std::string kind;     // "started", "lied", "state"…
  std::string text;     // a sentence
};

// The last events, and who listens. Not thread safe.
class Events {
 public:
  using ListenerId = u64;
  static constexpr std::size_t kKept = 1000;

  // Warnings and errors go to the log too.
  void say(LogLevel level, std::string_view machine, std::string_view kind, std::string text);

  ListenerId listen(std::function<void(const Event&)> call);
  void forget(ListenerId id);
  // What happened after the event `id`, as far back as is kept.
  std::vector<Event> since(u64 id) const;

 private:
  std::deque<Event> events_;
  std::map<ListenerId, std::function<void(const Event&)>> listeners_;
  u64 next_ = 1;
  ListenerId next_listener_ = 1;
};

}  // namespace cloister::host
