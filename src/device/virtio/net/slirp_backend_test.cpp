// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/net/slirp_backend.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace cloister::device::virtio::net {
namespace {

using Frame = std::vector<std::byte>;

// A card that takes frames while it has room, and stops the loop when it has one that is waited for.
class FakeCard final : public NetBackend::Card {
 public:
  explicit FakeCard(os::EventLoop& loop) : loop_(loop) {}
  bool receive(std::span<const std::byte> frame) override {
    if (static_cast<int>(frames.size()) >= room) return false;
    frames.emplace_back(frame.begin(), frame.end());
    if (frames.size() >= stop_at) loop_.stop();
    return true;
  }
  void receive_done() override { ++batches; }

  int room = 1000;
  size_t stop_at = 1;
  int batches = 0;
  std::vector<Frame> frames;

 private:
  os::EventLoop& loop_;
};

Frame frame_of(std::initializer_list<int> bytes) {
  Frame frame;
  for (const int byte : bytes) frame.push_back(static_cast<std::byte>(byte));
  frame.resize(std::max<size_t>(frame.size(), 60));
  return frame;
}

// "Who has 10.0.2.2? Tell 10.0.2.15."
const Frame kWhoHasGateway =
    frame_of({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,  0, 0, 0,  0, 1,  // Ethernet
              8,    6,    0,    1,    8,    0,    6,  4, 0, 1,         // ARP request
              2,    0,    0,    0,    0,    1,    10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2});

bool is_arp_reply(const Frame& frame) {
  return frame.size() >= 42 && frame[12] == std::byte{8} && frame[13] == std::byte{6} &&
         frame[21] == std::byte{2};
}

class Slirp : public ::testing::Test {
 protected:
  std::unique_ptr<SlirpBackend> make(const SlirpOptions& options = {}) {
    auto backend = SlirpBackend::create(*loop_, options);
    CHECK(backend.ok());
    (*backend)->connect(card_);
    return backend.take();
  }
  std::unique_ptr<os::EventLoop> loop_ = os::EventLoop::create().take();
  FakeCard card_{*loop_};
};

TEST_F(Slirp, AnswersForTheGateway) {
  const auto backend = make();
  backend->send(kWhoHasGateway);
  backend->send_done();
  ASSERT_TRUE(std::ranges::any_of(card_.frames, is_arp_reply));
  EXPECT_GE(card_.batches, 1);
}

TEST_F(Slirp, KeepsRefusedFramesAndOffersThemAgain) {
  const auto backend = make();
  card_.room = 0;
  backend->send(kWhoHasGateway);
  backend->send(kWhoHasGateway);
  backend->send_done();
  EXPECT_TRUE(card_.frames.empty());
  card_.room = 1;
  backend->room();
  EXPECT_EQ(card_.frames.size(), 1u);
  card_.room = 2;
  backend->room();
  EXPECT_EQ(card_.frames.size(), 2u);
}

TEST_F(Slirp, KeepsABoundedAmountForACardThatTakesNothing) {
  const auto backend = make();
  card_.room = 0;
  for (int i = 0; i < 200'000; ++i) backend->send(kWhoHasGateway);
  backend->send_done();
  card_.room = 1'000'000;
  backend->room();
  EXPECT_LE(card_.frames.size() * 42, 4 * kMiB);
  EXPECT_GT(card_.frames.size(), 1000u);
}

// A port that nobody has: the second taker finds it taken by the first.
SlirpOptions forwarding(u16 port, bool udp = false) {
  SlirpOptions options;
  options.forwards.push_back({.udp = udp, .host_port = port, .guest_port = 22});
  return options;
}

u16 take_some_port(os::EventLoop& loop, std::unique_ptr<SlirpBackend>& taker) {
  for (u16 port = 20000; port < 30000; ++port) {
    auto backend = SlirpBackend::create(loop, forwarding(port));
    if (!backend.ok()) continue;
    taker = backend.take();
    return port;
  }
  return 0;
}

TEST_F(Slirp, RefusesAPortThatIsTakenNamingIt) {
  std::unique_ptr<SlirpBackend> taker;
  const u16 port = take_some_port(*loop_, taker);
  ASSERT_NE(port, 0);
  const auto second = SlirpBackend::create(*loop_, forwarding(port));
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.failure().message,
              ::testing::HasSubstr(fmt::format("127.0.0.1:{}/tcp: the port is taken", port)));
  EXPECT_TRUE(SlirpBackend::create(*loop_, forwarding(port, true)).ok()) << "udp has ports of its own";
  taker.reset();
  EXPECT_TRUE(SlirpBackend::create(*loop_, forwarding(port)).ok()) << "given back at the end";
}

TEST_F(Slirp, RefusesForwardsThatCannotBe) {
  const auto refused = [this](HostForward forward) {
    SlirpOptions options;
    options.forwards.push_back(std::move(forward));
    const auto made = SlirpBackend::create(*loop_, options);
    return made.ok() ? std::string() : made.failure().message;
  };
  using ::testing::HasSubstr;
  EXPECT_THAT(refused({.host_address = "localhost", .host_port = 2222, .guest_port = 22}),
              HasSubstr("'localhost' is no IPv4 address"));
  EXPECT_THAT(refused({.host_address = "192.0.2.1", .host_port = 2222, .guest_port = 22}),
              HasSubstr("192.0.2.1:2222/tcp: the host has no such address"));
  EXPECT_THAT(refused({.host_port = 0, .guest_port = 22}), HasSubstr("1 to 65535"));
  EXPECT_THAT(refused({.host_port = 2222, .guest_port = 0}), HasSubstr("1 to 65535"));
}

}  // namespace
}  // namespace cloister::device::virtio::net
