// SPDX-License-Identifier: Apache-2.0
#include "base/os/thread.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/os/clock.h"
#include "base/os/signals.h"

namespace cloister::os {
namespace {

TEST(Thread, BearsItsNameCutToWhatTheHostShows) {
  char name[16] = {};
  Thread thread = Thread::start("hart-0123456789abcdef", [&] {
                    ::pthread_getname_np(::pthread_self(), name, sizeof name);
                  }).take();
  thread.join();
  EXPECT_STREQ(name, "hart-0123456789");
}

TEST(Thread, IsJoinedAtTheEndOfItsOwner) {
  bool done = false;
  {
    const auto thread = Thread::start("worker", [&] { done = true; });
    ASSERT_TRUE(thread.ok());
  }
  EXPECT_TRUE(done);
}

TEST(Clock, MonotonicNeverStepsBack) {
  Nanos last = monotonic_now();
  for (int i = 0; i < 1000; ++i) {
    const Nanos now = monotonic_now();
    ASSERT_GE(now, last);
    last = now;
  }
  EXPECT_GT(realtime_now(), Nanos{1'600'000'000'000'000'000});
}

// In a process of its own: blocked signals would stay blocked for the tests after it.
int status_after(Result<ShutdownSignals> (*create)(), int number) {
  const pid_t child = ::fork();
  if (child == 0) {
    auto signals = create();
    if (!signals.ok() || signals->take()) ::_exit(1);
    ::raise(number);
    ::_exit(signals->take() == number && !signals->take() ? 0 : 2);
  }
  int status = -1;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return status;
}

TEST(ShutdownSignals, AreReadInsteadOfEndingTheProgram) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP})
    EXPECT_EQ(status_after(ShutdownSignals::create, number), 0);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2})
    EXPECT_EQ(status_after(ShutdownSignals::create_with_others, number), 0);
  EXPECT_EQ(status_after(ShutdownSignals::create, SIGUSR1), SIGUSR1) << "as it does by itself";
}

}  // namespace
}  // namespace cloister::os
