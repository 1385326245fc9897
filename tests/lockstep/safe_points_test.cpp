// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <thread>

#include "base/random.h"
#include "hart/testing_guest.h"
#include "jit/translator.h"
#include "memory/guest_copy.h"

// How soon translated code heeds whoever wants the hart, and its budget's end (docs/translator.md, "Where a
// region stops"), for the shapes of code that go longest without a look.
//
// Code leaves a trace in memory of how far it has come. A signal stops the hart's thread between any two of
// the host's instructions; the handler wants the hart, and reads how far it is then.
namespace cloister::jit {
namespace {

using namespace hart::testing;

constexpr u64 kBound = 2752, kLongestBlock = 64;
constexpr u64 kShape = hart::testing::kCode + 0x4000;
constexpr u64 kRow = 4096;  // words
constexpr u64 kRowBytes = kRow * sizeof(u64), kTraces = kData, kSources = kData + 2 * kRowBytes;
constexpr int kTimes = 2000;

// It counts up the first word, or it makes all words of the row 1 and then 0, one after the other.
struct Shape {
  const char* name;
  std::vector<u32> code;
  u64 steps;  // at least, from one trace to the next
  bool is_row = false;
};

void add_tick(std::vector<u32>& code) {
  code.push_back(addi(a1, a1, 1));
  code.push_back(store(Op::sd, a1, a0));
}

void add_jump_to_begin(std::vector<u32>& code) {
  code.push_back(hart::testing::code(Op::jal, 0, 0, 0, -4 * static_cast<i32>(code.size())));
}

// Counts each `every`th time, in blocks as long as there are. The branches are never taken.
void add_straight(std::vector<u32>& code, std::size_t steps, std::size_t every) {
  for (std::size_t i = 0; i < steps; ++i) {
    if (i % kLongestBlock == kLongestBlock - 1) {
      code.push_back(branch(Op::beq, a1, zero, 8));
    } else if (i % every == 0 && i + 1 < steps) {
      add_tick(code);
      ++i;
    } else {
      code.push_back(addi(a5, a5, 3));
    }
  }
}

Shape tight_loop() {
  return {"a tight loop", {addi(a1, a1, 1), store(Op::sd, a1, a0), branch(Op::bne, a1, zero, -8)}, 3};
}

// As long as a region can be: 639 instructions leave room for one block more.
Shape straight_line() {
  Shape shape{"straight code", {}, 15};
  add_straight(shape.code, 639 + kLongestBlock - 1, 16);
  add_jump_to_begin(shape.code);
  return shape;
}

// A stretch of rounds without a look, and then straight code.
Shape loop_before_straight_line() {
  Shape shape{"a loop before straight code", {addi(s1, zero, 2000)}, 4};
  add_tick(shape.code);
  shape.code.push_back(addi(s1, s1, -1));
  shape.code.push_back(branch(Op::bne, s1, zero, -12));
  add_straight(shape.code, 600, 4);
  add_jump_to_begin(shape.code);
  return shape;
}

// From two rows by turns.
Shape copying_loop() {
  Shape shape{"a copying loop",
              {code(Op::xor_, a7, a7, t2), addi(a2, a7, 0), addi(a3, a0, 0), load(Op::ld, t1, a2),
               store(Op::sd, t1, a3), addi(a2, a2, 8), addi(a3, a3, 8), branch(Op::bne, a3, a4, -16)},
              5,
              true};
  add_jump_to_begin(shape.code);
  return shape;
}

Shape filling_loop() {
  Shape shape{"a filling loop",
              {code(Op::xori, a5, a5, 0, 1), addi(a3, a0, 0), store(Op::sd, a5, a3), addi(a3, a3, 8),
               branch(Op::bne, a3, a4, -8)},
              3,
              true};
  add_jump_to_begin(shape.code);
  return shape;
}

class SafePoints : public ::testing::TestWithParam<Shape (*)()> {
 protected:
  SafePoints() {
    guest_.put(kShape, shape_.code);
    const std::vector<u64> ones(kRow, 1);
    EXPECT_TRUE(guest_.memory().write({kSources + kRowBytes}, std::as_bytes(std::span(ones))));
    EXPECT_TRUE(guest_.memory().with_pinned({kTraces}, {kRowBytes}, memory::Access::kWrite,
                                            [this](std::span<std::byte> run) {
                                              traces_ = reinterpret_cast<u64*>(run.data());
                                              return run.size() == kRowBytes;
                                            }));
    guest_.hart().reset(kShape, 1);
    guest_.set(a0, kTraces);
    guest_.set(a4, kTraces + kRowBytes);
    guest_.set(a5, 0);
    guest_.set(a7, kSources);
    guest_.set(t2, kRowBytes);
    guest_.hart().run(1'000'000);
    EXPECT_GT(translator_->statistics().remade, 0u);
  }

  // How often it left a trace; of a row, since the last time that the row was all 0.
  u64 come_to() const {
    if (!shape_.is_row) return traces_[0];
    const u64* const border = std::partition_point(traces_, traces_ + kRow,
                                                   [first = traces_[0]](u64 word) { return word == first; });
    return traces_[0] * kRow + static_cast<u64>(border - traces_);
  }
  u64 traces_since(u64 then) const {
    const u64 now = come_to();
    return shape_.is_row ? (now + 2 * kRow - then) % (2 * kRow) : now - then;
  }

  const Shape shape_ = GetParam()();
  std::unique_ptr<Translator> translator_ =
      Translator::create({.code_cache = Bytes{kMiB}, .hot = 2, .very_hot = 8}).take();
  TestGuest guest_{hart::HartOptions{.translator = translator_.get()}};
  u64* traces_ = nullptr;
  Random random_{1};
  // The handler's.
  bool asked_ = false;
  u64 asked_at_ = 0;
  static SafePoints* running;

  // On the hart's thread, which is not asleep: so nothing here takes a lock.
  static void ask(int) {
    if (running->asked_) return;
    running->asked_ = true;
    running->asked_at_ = running->come_to();
    running->guest_.hart().request_exit();
  }

  static void send_signals(pthread_t to, u64 seed, const std::atomic<bool>& done) {
    Random random(seed);
    while (!done) {
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(50)));
      pthread_kill(to, SIGUSR1);
    }
  }
};

SafePoints* SafePoints::running = nullptr;

TEST_P(SafePoints, ComeWithinTheBound) {
#ifdef CLOISTER_TSAN
  GTEST_SKIP() << "signals come late under this sanitizer";
#endif
  running = this;
  ASSERT_NE(std::signal(SIGUSR1, ask), SIG_ERR);
  std::atomic<bool> done = false;
  std::thread sender(send_signals, pthread_self(), 1, std::cref(done));
  u64 longest = 0;
  for (int i = 0; i < kTimes; ++i) {
    asked_ = false;
    EXPECT_EQ(guest_.hart().run(~u64{0}), hart::Exit::kRequest);
    longest = std::max(longest, traces_since(asked_at_));
  }
  done = true;
  sender.join();
  std::signal(SIGUSR1, SIG_DFL);
  fmt::print("{}: at most {} traces, {} instructions later\n", shape_.name, longest, longest * shape_.steps);
  // Who asks just behind a look waits for the rest of a region, or of a stretch.
  EXPECT_GT(longest * shape_.steps, kBound / 5);
  EXPECT_LE((longest - 1) * shape_.steps, kBound);
}

TEST_P(SafePoints, ComeAtABlocksEndBehindTheBudget) {
  for (int i = 0; i < kTimes; ++i) {
    const u64 budget = 1 + random_.below(i % 2 == 0 ? 100 : 5000), before = guest_.hart().instructions();
    EXPECT_EQ(guest_.hart().run(budget), hart::Exit::kBudget);
    const u64 done = guest_.hart().instructions() - before;
    ASSERT_GE(done, budget) << shape_.name;
    ASSERT_LT(done, budget + kLongestBlock) << shape_.name;
  }
}

INSTANTIATE_TEST_SUITE_P(OfEachShape, SafePoints,
                         ::testing::Values(tight_loop, straight_line, loop_before_straight_line, copying_loop,
                                           filling_loop));

}  // namespace
}  // namespace cloister::jit
