// SPDX-License-Identifier: Apache-2.0
#include "base/os/event_loop.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/os/clock.h"
#include "base/os/fd.h"

namespace cloister::os {
namespace {

using namespace std::chrono_literals;

struct Pipe {
  Pipe() {
    int ends[2];
    CHECK(::pipe(ends) == 0);
    read = Fd(ends[0]);
    write = Fd(ends[1]);
  }
  void put() { CHECK(::write(write.get(), "x", 1) == 1); }
  void take() {
    char c;
    CHECK(::read(read.get(), &c, 1) == 1);
  }
  Fd read, write;
};

class EventLoopTest : public testing::Test {
 protected:
  std::unique_ptr<EventLoop> loop = EventLoop::create().take();
};

TEST_F(EventLoopTest, RunsPostedCallsInOrderOfPosting) {
  std::string seen;
  for (const char c : {'a', 'b', 'c'}) loop->post([&seen, c] { seen += c; });
  loop->stop();
  loop->run();
  EXPECT_EQ(seen, "abc");
}

TEST_F(EventLoopTest, RunsTimersByDeadlineNotByOrderOfMaking) {
  std::string seen;
  loop->after(3ms, [&] {
    seen += 'c';
    loop->stop();
  });
  loop->after(1ms, [&] { seen += 'a'; });
  loop->after(2ms, [&] { seen += 'b'; });
  loop->run();
  EXPECT_EQ(seen, "abc");
}

TEST_F(EventLoopTest, NeverRunsATimerEarly) {
  const Nanos start = monotonic_now();
  loop->after(5ms, [&] { loop->stop(); });
  loop->run();
  EXPECT_GE(monotonic_now() - start, Nanos{5'000'000});
}

TEST_F(EventLoopTest, ACancelledTimerNeverRuns) {
  bool ran = false;
  const auto doomed = loop->after(2ms, [&] { ran = true; });
  loop->after(1ms, [&] { loop->cancel(doomed); });
  loop->after(4ms, [&] { loop->stop(); });
  loop->run();
  EXPECT_FALSE(ran);
  loop->cancel(doomed);
}

TEST_F(EventLoopTest, ATimerThatSetsItselfAgainLetsOthersRun) {
  int rounds = 0;
  std::function<void()> again = [&] {
    if (++rounds < 1'000'000) loop->after(0ns, again);
  };
  again();
  loop->post([&] { loop->stop(); });
  loop->run();
  EXPECT_LT(rounds, 1'000'000);
}

TEST_F(EventLoopTest, TellsWhenADescriptorIsReadable) {
  Pipe pipe;
  int calls = 0;
  ASSERT_TRUE(loop->watch(pipe.read.get(), Ready::kRead, [&](Ready ready) {
    EXPECT_TRUE(has(ready, Ready::kRead));
    pipe.take();
    if (++calls == 3) loop->stop();
    if (calls < 3) pipe.put();
  }));
  pipe.put();
  loop->run();
  EXPECT_EQ(calls, 3);
}

TEST_F(EventLoopTest, TellsOfAHangup) {
  Pipe pipe;
  ASSERT_TRUE(loop->watch(pipe.read.get(), Ready::kRead, [&](Ready ready) {
    EXPECT_TRUE(has(ready, Ready::kHangup));
    loop->stop();
  }));
  pipe.write.close();
  loop->run();
}

TEST_F(EventLoopTest, APausedDescriptorIsSilentUntilWatchedAgain) {
  Pipe pipe;
  int calls = 0;
  const auto count = [&](Ready) { ++calls; };
  ASSERT_TRUE(loop->watch(pipe.read.get(), Ready::kRead, count));
  ASSERT_TRUE(loop->watch(pipe.read.get(), Ready::kNone, count));
  pipe.put();
  loop->after(2ms, [&] { loop->stop(); });
  loop->run();
  EXPECT_EQ(calls, 0);
  ASSERT_TRUE(loop->watch(pipe.read.get(), Ready::kRead, [&](Ready) { loop->stop(); }));
  loop->run();
}

TEST_F(EventLoopTest, ACallBackMayForgetAnotherDescriptorThatIsReadyToo) {
  Pipe first, second;
  int calls = 0;
  const auto one_only = [&](Ready) {
    ++calls;
    loop->forget(first.read.get());
    loop->forget(second.read.get());
    loop->post([&] { loop->stop(); });
  };
  ASSERT_TRUE(loop->watch(first.read.get(), Ready::kRead, one_only));
  ASSERT_TRUE(loop->watch(second.read.get(), Ready::kRead, one_only));
  first.put();
  second.put();
  loop->run();
  EXPECT_EQ(calls, 1);
}

TEST_F(EventLoopTest, StopAndPostComeFromAnyThread) {
  int calls = 0;
  std::thread other([&] {
    for (int i = 0; i < 100; ++i) loop->post([&] { ++calls; });
    loop->stop();
  });
  loop->run();
  other.join();
  EXPECT_EQ(calls, 100);
}

TEST_F(EventLoopTest, RefusesADescriptorThatIsNone) {
  const auto refused = loop->watch(-1, Ready::kRead, [](Ready) {});
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.failure().message.find("descriptor -1"), std::string::npos);
}

}  // namespace
}  // namespace cloister::os
