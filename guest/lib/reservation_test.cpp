// SPDX-License-Identifier: Apache-2.0
#include "lib/reservation.h"

#include <cloister/guest.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <map>

namespace cloister::guest {
namespace {

constexpr std::uint64_t kPage = Reservation::kPage;
constexpr std::uint64_t kPiece = Reservation::kPiece;
constexpr Mark kMark = {{1, 2, 3, 4}};

// A host that takes what it is given, up to a bound, and sees that it is the value.
struct Taker {
  std::uint64_t bound = UINT64_MAX;
  std::uint64_t taken = 0;
  int answer = CLOISTER_NOT_VALUE;
  bool all_marked = true;
  std::map<const char*, std::uint64_t> calls;
};
Taker taker;

int take(void* first, std::uint64_t pages, std::uint64_t* taken) {
  const auto* bytes = static_cast<const char*>(first);
  taker.calls[bytes] = pages;
  for (*taken = 0; *taken < pages; ++*taken) {
    if (taker.taken == taker.bound) return taker.answer;
    char value[kPage] = {};
    std::memcpy(value, kMark.words, sizeof kMark.words);
    taker.all_marked = taker.all_marked && std::memcmp(bytes + *taken * kPage, value, kPage) == 0;
    ++taker.taken;
  }
  return CLOISTER_OK;
}

class ReservationTest : public testing::Test {
 protected:
  void SetUp() override {
    taker = {};
    ASSERT_EQ(ring_.open(8 * kPiece, take, &kMark), CLOISTER_OK);
  }
  Reservation ring_;
};

TEST_F(ReservationTest, GrowsByMarkedPagesInAlignedPieces) {
  std::uint64_t grown = 0;
  EXPECT_EQ(ring_.grow(3 * kPiece + 5 * kPage, &grown), CLOISTER_OK);
  EXPECT_EQ(grown, 3 * kPiece + 5 * kPage);
  EXPECT_EQ(ring_.size(), grown);
  EXPECT_TRUE(taker.all_marked);
  for (const auto& [first, pages] : taker.calls) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % kPiece, 0u);
    EXPECT_LE(pages, 512u);
  }
}

TEST_F(ReservationTest, IsNeverLargerThanItsBound) {
  std::uint64_t grown = 0;
  EXPECT_EQ(ring_.grow(9 * kPiece, &grown), CLOISTER_NO_ROOM);
  EXPECT_EQ(grown, 8 * kPiece);
  EXPECT_EQ(ring_.size(), ring_.most());
}

TEST_F(ReservationTest, ReleasesWhatWasTakenFirst) {
  ASSERT_EQ(ring_.grow(4 * kPiece, nullptr), CLOISTER_OK);
  const char* oldest = taker.calls.begin()->first;
  EXPECT_EQ(ring_.shrink(kPiece + 100), kPiece);
  EXPECT_EQ(ring_.size(), 3 * kPiece);
  unsigned char resident[512] = {};
  ASSERT_EQ(mincore(const_cast<char*>(oldest), kPiece, resident), 0);
  for (const unsigned char page : resident) EXPECT_EQ(page & 1, 0);
  ASSERT_EQ(mincore(const_cast<char*>(oldest) + kPiece, kPiece, resident), 0);
  for (const unsigned char page : resident) EXPECT_EQ(page & 1, 1);
}

TEST_F(ReservationTest, GoesRoundAndRound) {
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(ring_.grow(3 * kPiece + 7 * kPage, nullptr), CLOISTER_OK);
    ASSERT_EQ(ring_.shrink(3 * kPiece + 7 * kPage), 3 * kPiece + 7 * kPage);
  }
  EXPECT_TRUE(taker.all_marked);
  EXPECT_EQ(ring_.size(), 0u);
}

TEST_F(ReservationTest, KeepsWhatWasTakenWhenTheHostRefuses) {
  taker.bound = 700;
  std::uint64_t grown = 0;
  EXPECT_EQ(ring_.grow(4 * kPiece, &grown), CLOISTER_NOT_VALUE);
  EXPECT_EQ(grown, 700 * kPage);
  taker.bound = UINT64_MAX;
  EXPECT_EQ(ring_.grow(4 * kPiece - grown, &grown), CLOISTER_OK);
  EXPECT_EQ(ring_.size(), 4 * kPiece);
  EXPECT_TRUE(taker.all_marked);
}

TEST_F(ReservationTest, ShrinksByNoMoreThanThereIs) {
  ASSERT_EQ(ring_.grow(10 * kPage, nullptr), CLOISTER_OK);
  EXPECT_EQ(ring_.shrink(UINT64_MAX), 10 * kPage);
  EXPECT_EQ(ring_.shrink(kPage), 0u);
}

TEST_F(ReservationTest, AChildHasNoneOfIt) {
  ASSERT_EQ(ring_.grow(kPiece, nullptr), CLOISTER_OK);
  const char* first = taker.calls.begin()->first;
  const pid_t child = fork();
  if (child == 0) {
    unsigned char resident[512];
    _exit(mincore(const_cast<char*>(first), kPiece, resident) != 0 ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

// A host that writes to the pages itself finds them there.
TEST(ReservationOfAHostThatFills, GivesPagesThatArePresent) {
  static std::uint64_t present = 0;
  const auto fill = [](void* first, std::uint64_t pages, std::uint64_t* taken) {
    unsigned char resident[512] = {};
    if (mincore(first, pages * kPage, resident) != 0) return int{CLOISTER_NOT_YOURS};
    for (std::uint64_t i = 0; i < pages; ++i) present += resident[i] & 1u;
    *taken = pages;
    return int{CLOISTER_OK};
  };
  Reservation ring;
  ASSERT_EQ(ring.open(4 * kPiece, fill), CLOISTER_OK);
  EXPECT_EQ(ring.grow(2 * kPiece + 3 * kPage, nullptr), CLOISTER_OK);
  EXPECT_EQ(present, 2 * kPiece / kPage + 3);
}

// The rest runs in children: limits cannot be taken back.
template <typename Check>
int in_child_with(int resource, rlim_t bytes_more, Check check) {
  const pid_t child = fork();
  if (child == 0) {
    taker = {};
    rlimit limit = {};
    const rlim_t used = static_cast<rlim_t>(64) << 20;
    limit.rlim_cur = limit.rlim_max = used + bytes_more;
    setrlimit(static_cast<__rlimit_resource>(resource), &limit);
    _exit(check());
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CLOISTER_HAS_SHADOW
#endif
#endif
#ifndef CLOISTER_HAS_SHADOW

// What a limit on data leaves is used to the last page, and then it is said that there is no more.
TEST(ReservationLimits, ALimitOnDataEndsTheGrowthAtThePage) {
  const int verdict = in_child_with(RLIMIT_DATA, 64 << 20, [] {
    Reservation ring;
    if (ring.open(1 << 30, take, &kMark) != CLOISTER_OK) return 1;
    std::uint64_t grown = 0;
    if (ring.grow(1 << 30, &grown) != CLOISTER_NO_ROOM) return 2;
    if (grown == 0 || grown > (128u << 20)) return 3;
    std::uint64_t more = 0;
    if (ring.grow(kPage, &more) != CLOISTER_NO_ROOM || more != 0) return 4;
    if (ring.shrink(kPiece) != kPiece) return 5;
    return ring.grow(kPiece, nullptr) == CLOISTER_OK ? 0 : 6;
  });
  EXPECT_EQ(verdict, 0);
}

TEST(ReservationLimits, ALimitOnAddressSpaceMakesItSmaller) {
  const int verdict = in_child_with(RLIMIT_AS, 512 << 20, [] {
    Reservation ring;
    const int status = ring.open(std::uint64_t{1} << 40, take, &kMark);
    if (status == CLOISTER_NO_ROOM) return 0;  // the test program alone is larger
    return status == CLOISTER_OK && ring.most() < (576u << 20) &&
                   ring.grow(4 * kPiece, nullptr) == CLOISTER_OK
               ? 0
               : 1;
  });
  EXPECT_EQ(verdict, 0);
}

#endif
#endif

}  // namespace
}  // namespace cloister::guest
