// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "hart/testing_guest.h"

// Harts on threads of their own, and threads that talk to harts.
namespace cloister::hart::testing {
namespace {

std::unique_ptr<memory::GuestMemory> shared_memory() {
  return memory::GuestMemory::create(GuestPhys{kBase}, Bytes{kSize}).take();
}

// Runs prepared code of several guests at once, each on its thread.
void run_all(std::vector<std::unique_ptr<TestGuest>>& guests) {
  std::vector<std::thread> threads;
  for (auto& guest : guests) threads.emplace_back([&guest] { EXPECT_FALSE(guest->finish()); });
  for (auto& thread : threads) thread.join();
}

class Parallel : public ::testing::Test {
 protected:
  void add_guests(u64 count) {
    for (u64 id = 0; id < count; ++id)
      guests_.push_back(std::make_unique<TestGuest>(HartOptions{}, memory_.get(), id));
  }
  std::unique_ptr<memory::GuestMemory> memory_ = shared_memory();
  std::vector<std::unique_ptr<TestGuest>> guests_;
};

constexpr u64 kRounds = 20'000;

TEST_F(Parallel, LrAndScLoseNoIncrement) {
  add_guests(2);
  for (auto& guest : guests_) {
    guest->set(a0, kData);
    guest->set(a1, kRounds);
    guest->prepare({code(Op::lr_d, a2, a0, 0), addi(a2, a2, 1), code(Op::sc_d, a3, a0, a2),
                    branch(Op::bne, a3, 0, -12), addi(a1, a1, -1), branch(Op::bne, a1, 0, -20)});
  }
  run_all(guests_);
  EXPECT_EQ(guests_[0]->peek(kData), 2 * kRounds);
}

TEST_F(Parallel, AtomicsLoseNothing) {
  add_guests(2);
  for (auto& guest : guests_) {
    guest->set(a0, kData);
    guest->set(a1, kRounds);
    guest->set(a2, 1);
    guest->set(a4, kData + 8);
    guest->prepare({code(Op::amoadd_d, a3, a0, a2), code(Op::amomaxu_w, a3, a4, a1), addi(a1, a1, -1),
                    branch(Op::bne, a1, 0, -12)});
  }
  run_all(guests_);
  EXPECT_EQ(guests_[0]->peek(kData), 2 * kRounds);
  EXPECT_EQ(guests_[0]->peek(kData + 8), kRounds);
}

// Store, fence, load on both sides: one of the two must see the other's store.
TEST_F(Parallel, AFullFenceOrdersStoresBeforeLoads) {
  constexpr i32 kFenceAll = 0xff;
  add_guests(2);
  for (u64 id = 0; id < 2; ++id) {
    TestGuest& guest = *guests_[id];
    guest.set(a0, kData + 64 * id);
    guest.set(a1, kData + 64 * (1 - id));
    guest.set(a2, kRounds);
    guest.set(a4, kData + 0x1000 + 0x100000 * id);
    // *mine = round; fence; log[round] = *other
    guest.prepare({store(Op::sd, a2, a0), code(Op::fence, 0, 0, 0, kFenceAll), load(Op::ld, a3, a1),
                   store(Op::sd, a3, a4), addi(a4, a4, 8), addi(a2, a2, -1), branch(Op::bne, a2, 0, -24)});
  }
  run_all(guests_);
  // When a hart read `seen`, the other had not yet stored the value after it; so by the time that it had, and
  // looked, our store was there. The values go down.
  for (u64 mine = kRounds; mine > 0; --mine) {
    const u64 seen = guests_[0]->peek(kData + 0x1000 + 8 * (kRounds - mine));
    const u64 next = seen == 0 ? kRounds : seen - 1;
    if (next == 0) break;  // the other had come to its end
    const u64 other = guests_[0]->peek(kData + 0x101000 + 8 * (kRounds - next));
    ASSERT_LE(other, mine);
    ASSERT_NE(other, 0u);
  }
}

// -- Talking to a hart
// ---------------------------------------------------------------------------------------

// A guest in an endless loop on a thread of its own, until the end of the scope.
class Running {
 public:
  explicit Running(TestGuest& guest) : guest_(guest) {
    thread_ = std::thread([this] {
      while (guest_.hart().run(1'000'000) != Exit::kRequest) {
      }
    });
  }
  ~Running() {
    guest_.hart().request_exit();
    thread_.join();
  }

 private:
  TestGuest& guest_;
  std::thread thread_;
};

void wait_until_it_runs(TestGuest& guest, u64 counter) {
  const u64 before = guest.peek(counter);
  while (guest.peek(counter) == before) std::this_thread::yield();
}

// A loop that counts at kData, reading at a0 first.
void prepare_counter(TestGuest& guest, u64 read_at) {
  guest.set(a0, read_at);
  guest.set(a1, kData);
  guest.prepare({load(Op::ld, a3, a0), addi(a2, a2, 1), store(Op::sd, a2, a1), store(Op::sd, a3, a1, 8),
                 code(Op::jal, 0, 0, 0, -16)});
}

TEST(Talking, APostedFenceIsDoneWhenThePostReturns) {
  constexpr u64 kFenced = 0x40000000 + 5 * kPageSize;
  TestGuest guest;
  TestTables tables(guest, isa::kSv39);
  tables.map(kFenced, kData + kPageSize, kReadWrite | kUsed);
  tables.activate(3);
  prepare_counter(guest, kFenced);
  Running running(guest);
  wait_until_it_runs(guest, kData);
  for (u64 i = 1; i < 200; ++i) {
    const u64 page = kData + (1 + i % 2) * kPageSize;
    guest.poke(page, i);
    tables.map(kFenced, page, kReadWrite | kUsed);
    switch (i % 3) {
      case 0:
        guest.hart().post_sfence_vma(GuestVirt{kFenced}, kPageSize);
        break;
      case 1:
        guest.hart().post_sfence_vma_asid(GuestVirt{0}, ~u64{0}, 3);
        break;
      default:
        guest.hart().post_sfence_vma(GuestVirt{0}, 0);
    }
    EXPECT_FALSE(guest.hart().fence_outstanding());
    wait_until_it_runs(guest, kData);
    wait_until_it_runs(guest, kData);  // what the loop had loaded before is stored by now
    EXPECT_EQ(guest.peek(kData + 8), i);
  }
}

TEST(Talking, ManyPostedFencesAreOneOfEverything) {
  TestGuest guest;
  for (int i = 0; i < 1000; ++i) guest.hart().post_sfence_vma(GuestVirt{0x1000}, kPageSize, Wait::kNot);
  EXPECT_FALSE(guest.hart().fence_outstanding());  // for the hart is not in the guest
  EXPECT_FALSE(guest.run({addi(a0, 0, 1)}));
}

TEST(Talking, AnInterruptReachesALoop) {
  TestGuest guest;
  guest.set(t0, 1u << 9);
  guest.set(t1, isa::sstatus::kSie);
  guest.run({csrw(Csr::sie, t0), csrs(Csr::sstatus, t1)});
  guest.prepare({code(Op::jal)});
  std::thread thread([&guest] { guest.hart().set_interrupt(Interrupt::kExternal, true); });
  while (!guest.ended()) guest.hart().run(1'000'000);
  thread.join();
  EXPECT_EQ(guest.reg(28), isa::scause_of(isa::InterruptCause::kExternal));
}

TEST(Talking, EveryKickEndsASleep) {
  using Kick = void (*)(Hart&);
  constexpr Nanos kLong{60'000'000'000};
  TestGuest guest;
  guest.set(t0, 0x222);
  guest.run({csrw(Csr::sie, t0)});
  for (const Kick kick :
       {Kick{[](Hart& hart) { hart.set_interrupt(Interrupt::kSoftware, true); }},
        Kick{[](Hart& hart) { hart.check_timer(); }}, Kick{[](Hart& hart) { hart.request_exit(); }},
        Kick{[](Hart& hart) { hart.ask_for_safe_point(); }}}) {
    guest.hart().set_interrupt(Interrupt::kSoftware, false);
    guest.hart().run(0);
    std::thread thread([&guest, kick] { kick(guest.hart()); });
    guest.hart().sleep(kLong);
    thread.join();
  }
}

TEST(Talking, KicksThatFollowEachOtherEndEachASleep) {
  constexpr int kKicks = 2000;
  TestGuest guest;
  std::atomic<int> slept{0};
  std::thread thread([&] {
    for (int kick = 0; kick < kKicks; ++kick) {
      while (slept < kick) std::this_thread::yield();
      guest.hart().ask_for_safe_point();
    }
  });
  for (; slept < kKicks; ++slept) {
    guest.hart().sleep(Nanos{60'000'000'000});
    guest.hart().run(0);
  }
  thread.join();
}

// Whoever posts one need not wait for who sleeps.
TEST(Talking, AFenceEndsNoSleepAndIsDoneBehindIt) {
  constexpr u64 kFenced = 0x40000000 + 5 * kPageSize;
  constexpr auto kNap = std::chrono::milliseconds(50);
  TestGuest guest;
  TestTables tables(guest, isa::kSv39);
  guest.poke(kData, 1);
  guest.poke(kData + kPageSize, 2);
  tables.map(kFenced, kData, kReadWrite | kUsed);
  tables.activate(3);
  guest.set(a0, kFenced);
  guest.run({load(Op::ld, a1, a0)});
  EXPECT_EQ(guest.reg(a1), 1u);
  std::thread other([&] {
    tables.map(kFenced, kData + kPageSize, kReadWrite | kUsed);
    guest.hart().post_sfence_vma(GuestVirt{0}, 0);
  });
  const auto begin = std::chrono::steady_clock::now();
  guest.hart().sleep(Nanos{50'000'000});
  EXPECT_GE(std::chrono::steady_clock::now() - begin, kNap);
  other.join();
  guest.run({load(Op::ld, a1, a0)});
  EXPECT_EQ(guest.reg(a1), 2u);
}

TEST(Talking, ASleepOfAPendingInterruptIsNone) {
  TestGuest guest;
  guest.set(t0, 0x222);
  guest.run({csrw(Csr::sie, t0)});
  guest.hart().set_interrupt(Interrupt::kSoftware, true);
  guest.hart().run(0);
  guest.hart().sleep(Nanos{60'000'000'000});
}

// Pages are given up under a running hart; it never sees anything but zero or what it wrote.
TEST(Talking, PagesAreDiscardedWhileAHartUsesThem) {
  TestGuest guest;
  guest.set(a0, kData + kPageSize);
  guest.set(a1, kData);
  guest.set(a4, 1);
  // ++*kData; *a0 += 1 where a0 walks 8 pages; trap to the end when a load is neither 0 nor 1
  guest.prepare({addi(a2, a2, 1), store(Op::sd, a2, a1), code(Op::andi, a5, a2, 0, 7),
                 code(Op::slli, a5, a5, 0, 12), code(Op::add, a5, a5, a0), load(Op::ld, a3, a5),
                 branch(Op::bltu, a4, a3, 12), store(Op::sd, a4, a5), code(Op::jal, 0, 0, 0, -32),
                 code(Op::ebreak)});
  std::vector<Gpn> pages;
  for (u64 i = 1; i <= 8; ++i) pages.push_back(gpn_of(GuestPhys{kData + i * kPageSize}));
  Running running(guest);
  for (int i = 0; i < 200; ++i) {
    guest.memory().discard(pages);
    wait_until_it_runs(guest, kData);
  }
  EXPECT_FALSE(guest.ended());
}

}  // namespace
}  // namespace cloister::hart::testing
