// SPDX-License-Identifier: Apache-2.0
#include "lib/stream.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>
#include <thread>

#include "lib/figures.h"
#include "lib/order_book.h"

namespace cloister::guest {
namespace {

// A host at the other end: a unix socket without a name in the file system.
class Host {
 public:
  Host() : listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un here = {};
    here.sun_family = AF_UNIX;
    std::memcpy(&to_.address, &here, sizeof here.sun_family);
    to_.length = sizeof here.sun_family;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&to_.address), to_.length), 0);
    to_.length = sizeof to_.address;
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&to_.address), &to_.length), 0);
    EXPECT_EQ(listen(listener_, 4), 0);
  }
  ~Host() {
    hang_up();
    close(listener_);
  }
  const Destination& destination() const { return to_; }
  void answer() { talk_ = accept(listener_, nullptr, nullptr); }
  // Without sleeping meanwhile.
  void answer_at_once() {
    fcntl(listener_, F_SETFL, O_NONBLOCK);
    while (talk_ < 0) answer();
  }
  void hang_up() {
    if (talk_ >= 0) close(talk_);
    talk_ = -1;
  }
  template <typename T>
  void say(std::uint32_t kind, const T& body, std::uint32_t size = sizeof(T)) {
    const cloister_record head = {kind, size};
    EXPECT_EQ(write(talk_, &head, sizeof head), static_cast<ssize_t>(sizeof head));
    EXPECT_EQ(write(talk_, &body, sizeof body), static_cast<ssize_t>(sizeof body));
  }
  template <typename T>
  T hear(std::uint32_t kind) {
    cloister_record head = {};
    T body = {};
    EXPECT_EQ(recv(talk_, &head, sizeof head, MSG_WAITALL), static_cast<ssize_t>(sizeof head));
    EXPECT_EQ(head.kind, kind);
    EXPECT_EQ(head.size, sizeof body);
    EXPECT_EQ(recv(talk_, &body, sizeof body, MSG_WAITALL), static_cast<ssize_t>(sizeof body));
    return body;
  }
  // Looks only.
  bool hears_nothing() const {
    char byte;
    return recv(talk_, &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0;
  }

 private:
  Destination to_ = {};
  int listener_;
  int talk_ = -1;
};

void wait_on(int descriptor) {
  pollfd one = {descriptor, POLLIN, 0};
  poll(&one, 1, -1);
}

template <typename T>
void wait_for(Stream& stream, std::uint32_t kind, T& out) {
  while (!stream.next(kind, &out, sizeof out)) wait_on(stream.fd());
}

TEST(StreamTest, BringsRecordsAndItsDescriptorSaysWhen) {
  Host host;
  Stream stream;
  ASSERT_EQ(stream.open(host.destination(), {}), CLOISTER_OK);
  host.answer();
  cloister_condition sent = {}, got = {};
  sent.level = CLOISTER_HARD;
  sent.release = 12345;
  host.say(CLOISTER_RECORD_CONDITION, sent);
  wait_for(stream, CLOISTER_RECORD_CONDITION, got);
  EXPECT_EQ(std::memcmp(&sent, &got, sizeof sent), 0);
}

// What comes while the stream is being opened must still be to read when its descriptor is waited on. The
// host answers as fast as it can, often enough that it is sometimes there first.
TEST(StreamTest, WhatComesAtOnceIsNotMissed) {
  for (int i = 0; i < 1000; ++i) {
    Host host;
    std::atomic<bool> ready = false;
    std::thread other([&] {
      ready = true;
      host.answer_at_once();
      host.say(CLOISTER_RECORD_CONDITION, cloister_condition{});
    });
    while (!ready) sched_yield();
    Stream stream;
    ASSERT_EQ(stream.open(host.destination(), {}), CLOISTER_OK);
    other.join();
    pollfd one = {stream.fd(), POLLIN, 0};
    ASSERT_EQ(poll(&one, 1, 10'000), 1) << "in round " << i;
    cloister_condition got = {};
    wait_for(stream, CLOISTER_RECORD_CONDITION, got);
  }
}

TEST(StreamTest, ConnectsAgainWithTheSameDescriptor) {
  Host host;
  Stream stream;
  ASSERT_EQ(stream.open(host.destination(), {}), CLOISTER_OK);
  const int descriptor = stream.fd();
  cloister_condition record = {};
  for (int round = 0; round < 3; ++round) {
    host.answer();
    host.say(CLOISTER_RECORD_CONDITION, record);
    wait_for(stream, CLOISTER_RECORD_CONDITION, record);
    host.hang_up();
    while (stream.is_connected()) {
      EXPECT_FALSE(stream.next(CLOISTER_RECORD_CONDITION, &record, sizeof record));
      if (stream.is_connected()) wait_on(stream.fd());
    }
    while (!stream.is_connected()) {
      wait_on(stream.fd());
      EXPECT_FALSE(stream.next(CLOISTER_RECORD_CONDITION, &record, sizeof record));
    }
  }
  EXPECT_EQ(stream.fd(), descriptor);
  EXPECT_EQ(stream.connections(), 4u);
}

TEST(StreamTest, ARecordItDoesNotKnowEndsTheConnection) {
  for (const auto& [kind, size] : {std::pair<std::uint32_t, std::uint32_t>{99, sizeof(cloister_condition)},
                                   {CLOISTER_RECORD_CONDITION, 8},
                                   {CLOISTER_RECORD_CONDITION, UINT32_MAX}}) {
    Host host;
    Stream stream;
    ASSERT_EQ(stream.open(host.destination(), {}), CLOISTER_OK);
    host.answer();
    cloister_condition record = {};
    host.say(kind, record, size);
    wait_on(stream.fd());
    while (stream.is_connected()) {
      EXPECT_FALSE(stream.next(CLOISTER_RECORD_CONDITION, &record, sizeof record));
    }
  }
}

TEST(Orders, ComeAfterAHelloAndAreAnswered) {
  Host host;
  OrderBook book;
  ASSERT_EQ(book.open(host.destination(), "a name that is much too long for the record's field", 1 << 30),
            CLOISTER_OK);
  host.answer();
  const auto hello = host.hear<cloister_balloon_hello>(CLOISTER_RECORD_BALLOON_HELLO);
  EXPECT_EQ(hello.version, 1u);
  EXPECT_EQ(hello.pid, static_cast<std::uint32_t>(getpid()));
  EXPECT_EQ(hello.most, 1u << 30);
  EXPECT_STREQ(hello.name, "a name that is much too long fo");
  book.report(0, CLOISTER_BALLOON_MET);
  EXPECT_TRUE(host.hears_nothing());  // nobody has asked yet
  const cloister_balloon_order order = {7, 64 << 20, 0, 0};
  host.say(CLOISTER_RECORD_BALLOON_ORDER, order);
  cloister_balloon_order got = {};
  while (!book.next(&got)) wait_on(book.fd());
  EXPECT_EQ(got.target, 64u << 20);
  book.report(32 << 20, CLOISTER_BALLOON_LIMIT);
  auto state = host.hear<cloister_balloon_state>(CLOISTER_RECORD_BALLOON_STATE);
  if (state.held == 0) {  // the report before the order went out with it
    while (!book.next(&got) && host.hears_nothing()) wait_on(book.fd());
    state = host.hear<cloister_balloon_state>(CLOISTER_RECORD_BALLOON_STATE);
  }
  EXPECT_EQ(state.serial, 7u);
  EXPECT_EQ(state.held, 32u << 20);
  EXPECT_EQ(state.reason, static_cast<std::uint32_t>(CLOISTER_BALLOON_LIMIT));
  EXPECT_GT(state.available, 0u);
}

TEST(Orders, ReportsThatComeTooFastReplaceEachOther) {
  Host host;
  OrderBook book;
  ASSERT_EQ(book.open(host.destination(), "test", 1 << 30), CLOISTER_OK);
  host.answer();
  host.hear<cloister_balloon_hello>(CLOISTER_RECORD_BALLOON_HELLO);
  host.say(CLOISTER_RECORD_BALLOON_ORDER, cloister_balloon_order{1, 1 << 30, 0, 0});
  cloister_balloon_order got = {};
  while (!book.next(&got)) wait_on(book.fd());
  for (std::uint64_t i = 1; i <= 1000; ++i) book.report(i, CLOISTER_BALLOON_WORKING);
  std::uint64_t heard = 0, last = 0;
  while (last != 1000) {
    while (host.hears_nothing()) {
      wait_on(book.fd());
      book.next(&got);
    }
    last = host.hear<cloister_balloon_state>(CLOISTER_RECORD_BALLOON_STATE).held;
    ++heard;
  }
  EXPECT_LT(heard, 1000u);
}

TEST(Figures, AreFoundByWholeWords) {
  const char* text = "MemTotal:       100 kB\nMemAvailable:    42 kB\npswpout 7\n";
  EXPECT_EQ(figure_in(text, "MemAvailable:"), 42u);
  EXPECT_EQ(figure_in(text, "Available:"), 0u);
  EXPECT_EQ(figure_in(text, "pswpout"), 7u);
  EXPECT_EQ(figure_in(text, "pswp"), 0u);
  EXPECT_EQ(figure_in("", "x"), 0u);
}

TEST(Figures, PressureIsInHundredths) {
  EXPECT_EQ(pressure_in("some avg10=12.34 avg60=0.00 avg300=0.00 total=9\n"), 1234u);
  EXPECT_EQ(pressure_in("some avg10=0.05 "), 5u);
  EXPECT_EQ(pressure_in(""), 0u);
}

}  // namespace
}  // namespace cloister::guest
