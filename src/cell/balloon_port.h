// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>

#include "base/os/event_loop.h"
#include "cell/record_stream.h"
#include "policy/memory/balloon.h"

namespace cloister::cell {

// CLOISTER_PORT_BALLOON: the guest's balloon applications, and what they are ordered to hold. What they say
// is a guest's word: it decides how the guest's own balloon is shared out, and nothing else. On the loop's
// thread.
class BalloonPort {
 public:
  static constexpr std::size_t kMostClients = 32;
  // An application that has nothing to do is silent: what it said of its guest's pressure before holds no
  // longer.
  static constexpr Nanos kSignsLast{5'000'000'000};

  // `changed` is called when an application came, went or said something new.
  BalloonPort(os::EventLoop& loop, std::function<void()> changed, Nanos signs_last = kSignsLast)
      : loop_(loop), changed_(std::move(changed)), signs_last_(signs_last) {}
  ~BalloonPort();
  BalloonPort(const BalloonPort&) = delete;
  BalloonPort& operator=(const BalloonPort&) = delete;

  // Bounds: beyond kMostClients nobody is served; who does not say what it is within kPatience, or says more
  // than kMostSaid in a second, is parted from.
  void accept(os::UnixStream stream);

  struct Wish {
    u64 total = 0;     // bytes, of all together
    u64 rate = 0;      // bytes a second; 0: as fast as they can
    u64 deadline = 0;  // ticks; 0: none
    bool operator==(const Wish&) const = default;
  };
  void order(const Wish& wish);

  // All together, as they said last.
  struct Figures {
    u32 applications = 0;
    u64 held = 0;  // bytes, as the following
    u64 most = 0;
    policy::memory::BalloonSigns signs;
    bool settled = false;  // each has answered its newest order, and does no more for it
    bool spent = false;    // and could not hold more, whatever it were ordered
  };
  Figures figures() const;

 private:
  struct Application {
    explicit Application(os::UnixStream socket);
    RecordStream stream;
    bool known = false;  // it said what it is
    u64 most = 0;
    cloister_balloon_state state{};
    Nanos told_at;                     // the state
    cloister_balloon_order ordered{};  // its serial 0: nothing yet
    bool due = false;                  // the order waits to be sent
    os::EventLoop::TimerId deadline = 0;
    Nanos second;  // when what it said was begun to be counted
    u32 said = 0;

    bool is_settled() const;
    bool is_spent() const;
  };

  void on_ready(int id);
  bool take(int id, const Record& record);
  bool greet(Application& application, const Record& record);
  void share_out();
  void push(int id);
  void drop(int id);

  os::EventLoop& loop_;
  const std::function<void()> changed_;
  const Nanos signs_last_;
  Wish wish_;
  u64 serial_ = 0;
  std::map<int, Application> applications_;  // by descriptor
};

}  // namespace cloister::cell
