// SPDX-License-Identifier: Apache-2.0
// libcloister-guest as a C++ program uses it.
#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cloister/guest.hpp>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "probe.h"

namespace cloister::probe {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;
constexpr int kPatience = 30'000;  // milliseconds

bool failed = false;
void expect(const char* what, bool holds) {
  if (holds) return;
  failed = true;
  std::printf("FAILED %s\n", what);
}

// A descriptor that is readable has news for the library, which need not be any for the program.
template <typename Take>
bool comes(int descriptor, Take take) {
  pollfd one = {descriptor, POLLIN, 0};
  while (poll(&one, 1, kPatience) == 1) {
    if (const int status = take(); status != CLOISTER_NOTHING) return status == CLOISTER_OK;
  }
  return false;
}

// The address space of the caller.
std::uint64_t mapped() {
  unsigned long long pages = 0;
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  if (file == nullptr || std::fscanf(file, "%llu", &pages) != 1) return 0;
  std::fclose(file);
  return pages * 4096;
}

void read_the_condition() {
  const guest::Discovery found = guest::discover();
  constexpr std::uint64_t kAll =
      CLOISTER_FEATURE_BALLOON | CLOISTER_FEATURE_CONDITION | CLOISTER_FEATURE_WAIT | CLOISTER_FEATURE_FILL;
  expect("it is here", found && found.version >= 1 && (found.features & kAll) == kAll);
  cloister_condition called{}, seen{}, told{};
  expect("the condition is told", guest::read_condition(called) == CLOISTER_OK && called.configured != 0);
  guest::Watch watch;
  expect("a page is to be had", watch.open() == CLOISTER_OK && watch);
  expect("it shows the same", watch.read(seen) == CLOISTER_OK && seen.configured == called.configured);
  expect("and is no older", seen.time >= called.time);
  guest::Waiter waiter;
  expect("changes are told", waiter.open() == CLOISTER_OK && waiter);
  expect("the first at once", comes(waiter.fd(), [&] { return waiter.take(told); }));
  expect("it is this machine's", told.configured == called.configured);
}

// A child has none of the balloon, and neither its life nor its end changes anything of it.
void make_a_child(const guest::Balloon& balloon) {
  const std::uint64_t whole = mapped(), size = balloon.size();
  if (const pid_t child = fork(); child == 0) {
    const bool without = mapped() + balloon.most() <= whole + kMiB;
    std::vector<char> own(8 * kMiB, 'x');
    _exit(without && own.back() == 'x' ? 0 : 1);
  } else {
    int status = 1;
    waitpid(child, &status, 0);
    expect("a child has none of it", status == 0);
  }
  expect("it is as large as before", balloon.size() == size);
}

void hold_a_balloon() {
  guest::Balloon balloon;
  std::uint64_t grown = 0;
  expect("a balloon is to be had", balloon.open(64 * kMiB) == CLOISTER_OK && balloon);
  expect("of that size", balloon.most() == 64 * kMiB && balloon.size() == 0);
  expect("it grows", balloon.grow(40 * kMiB, &grown) == CLOISTER_OK);
  expect("as it should", grown == 40 * kMiB && balloon.size() == 40 * kMiB);
  for (int i = 0; i < 5; ++i) make_a_child(balloon);
  expect("it shrinks", balloon.shrink(15 * kMiB) == 15 * kMiB && balloon.size() == 25 * kMiB);
  expect("and grows again", balloon.grow(39 * kMiB, &grown) == CLOISTER_OK && balloon.size() == 64 * kMiB);
  expect("to its bound", balloon.grow(kMiB, &grown) == CLOISTER_NO_ROOM && grown == 0);
  guest::Orders orders;
  cloister_balloon_order order{};
  expect("orders are to be had", orders.open("probe", balloon.most()) == CLOISTER_OK && orders);
  expect("they come", comes(orders.fd(), [&] { return orders.next(order); }) && orders.connected());
  expect("and are answered", orders.report(balloon.size(), CLOISTER_BALLOON_LIMIT) == CLOISTER_OK);
}

}  // namespace

int use_library() {
  read_the_condition();
  hold_a_balloon();
  std::printf(failed ? "library: failed\n" : "library: as it should be\n");
  return failed ? 1 : 0;
}

int condition_epoll(unsigned long long records) {
  guest::Waiter waiter;
  if (waiter.open() != CLOISTER_OK) return 1;
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  epoll_event event{};
  event.events = EPOLLIN;
  if (epoll_ctl(poll, EPOLL_CTL_ADD, waiter.fd(), &event) != 0) return 1;
  cloister_condition condition{};
  for (unsigned long long seen = 0; seen < records;) {
    if (epoll_wait(poll, &event, 1, -1) != 1) return 1;
    for (; waiter.take(condition) == CLOISTER_OK; ++seen) std::printf("level %u\n", condition.level);
    std::fflush(stdout);
  }
  return 0;
}

}  // namespace cloister::probe
