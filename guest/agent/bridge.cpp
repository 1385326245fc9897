// SPDX-License-Identifier: Apache-2.0
#include "agent/bridge.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

#include "agent/condition_text.h"
#include "agent/log.h"
#include "lib/call.h"

namespace cloister::agent {
namespace {

constexpr std::uint64_t kLookAgain = 2000;   // milliseconds, while memory is wanted or a limit is low
constexpr std::uint64_t kPollPage = 1000;    // without a socket to wait on
constexpr std::uint64_t kAskAgain = 10'000;  // whether there is a host

}  // namespace

std::string socket_folder(const std::string& wanted) {
  if (!wanted.empty()) return wanted;
  if (const char* given = std::getenv("RUNTIME_DIRECTORY")) {
    const std::string all = given;
    return all.substr(0, all.find(':'));
  }
  if (geteuid() == 0) return "/run/cloister";
  const char* user = std::getenv("XDG_RUNTIME_DIR");
  return user == nullptr || *user == '\0' ? "" : std::string(user) + "/cloister";
}

Bridge::Bridge(Loop& loop, const BridgeSettings& settings, const std::string& folder)
    : loop_(loop),
      folder_(folder),
      pressure_(loop, settings.repeat, settings.spread),
      lines_(
          loop,
          [this](UnixDoor::Client client) {
            if (known_) lines_.tell(client, json_of(last_));
          },
          nullptr, nullptr),
      hooks_(loop, settings),
      releases_(loop, settings, folder + "/ceilings") {}

Bridge::~Bridge() {
  loop_.cancel(timer_);
  if (waiter_) loop_.forget(waiter_.fd());
}

std::string Bridge::start() {
  std::error_code error;
  std::filesystem::create_directories(folder_, error);
  if (error) return "cannot make " + folder_ + ": " + error.message();
  std::string why = pressure_.open(folder_ + "/pressure");
  if (why.empty()) why = lines_.open(folder_ + "/condition");
  if (why.empty()) listen();
  return why;
}

// The host may offer the condition later, or without a socket to wait on: then it is asked for each second.
void Bridge::listen() {
  const int status = waiter_.open();
  if (status == CLOISTER_OK) {
    loop_.watch(waiter_.fd(), EPOLLIN, [this](std::uint32_t) {
      cloister_condition condition;
      while (waiter_.take(condition) == CLOISTER_OK) take(condition);
    });
    return look();
  }
  cloister_condition condition;
  const int asked = guest::read_condition(condition);
  if (asked != CLOISTER_OK) {
    if (!complained_) say(Weight::kNotice, "no memory condition: %s", cloister_status_text(asked));
    complained_ = true;
    timer_ = loop_.after(kAskAgain, [this] { listen(); });
    return;
  }
  take(condition);
  loop_.cancel(timer_);
  timer_ = loop_.after(kPollPage, [this] { listen(); });
}

void Bridge::look() {
  cloister_condition condition;
  if (guest::read_condition(condition) == CLOISTER_OK) take(condition);
}

void Bridge::take(const cloister_condition& condition) {
  const bool news = !known_ || condition.level != last_.level || condition.target != last_.target ||
                    condition.release != last_.release;
  last_ = condition;
  known_ = true;
  if (news) lines_.tell_all(json_of(condition));
  pressure_.tell(condition);
  hooks_.tell(condition);
  releases_.begin(condition, guest::now_in_ticks());
  const bool wanted = condition.level > CLOISTER_AMPLE || condition.release != 0 || releases_.any_below();
  loop_.cancel(timer_);
  timer_ = wanted && waiter_ ? loop_.after(kLookAgain, [this] { look(); }) : 0;
}

}  // namespace cloister::agent
