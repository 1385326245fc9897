// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/net/net.h"

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <string>
#include <thread>

#include "device/virtio/net/checksum.h"
#include "device/virtio/testing/guest.h"

namespace cloister::device::virtio::net {
namespace {

constexpr u32 kHeader = 12;
constexpr u32 kReceive = 0, kTransmit = 1;
constexpr u64 kChecksum = 1, kGuestChecksum = 2, kMerged = 1 << 15;

std::span<const std::byte> bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

// The other end of the cable: keeps what it is sent, or sends it back.
class FakeBackend final : public NetBackend {
 public:
  void connect(Card& card) override { card_ = &card; }
  void send(std::span<const std::byte> frame) override {
    sent.emplace_back(reinterpret_cast<const char*>(frame.data()), frame.size());
    if (echo) offer(sent.back());
  }
  void send_done() override {
    ++batches;
    card_->receive_done();
  }
  void room() override {
    ++rooms;
    while (!kept.empty() && card_->receive(bytes_of(kept.front()))) kept.pop_front();
    card_->receive_done();
  }
  // Whether the card took it.
  bool offer(const std::string& frame) {
    if (card_->receive(bytes_of(frame))) return true;
    kept.push_back(frame);
    return false;
  }
  void done() { card_->receive_done(); }

  bool echo = false;
  int batches = 0, rooms = 0;
  std::deque<std::string> sent, kept;

 private:
  Card* card_ = nullptr;
};

class NetCard : public ::testing::Test {
 protected:
  // Runs what was posted to the loop, on this thread.
  void turn() {
    loop_->stop();
    loop_->run();
  }
  u16 send(const std::string& frame, const std::string& header = std::string(kHeader, '\0')) {
    const std::string all = header + frame;
    const auto id = guest_.submit(kTransmit, {.out = {{guest_.place(all), static_cast<u32>(all.size())}}});
    turn();
    return id;
  }
  GuestPhys add_buffer(u32 size) {
    const GuestPhys at = guest_.allocate(size);
    guest_.submit(kReceive, {.in = {{at, size}}});
    return at;
  }
  u16 half_at(GuestPhys address) {
    u16 value = 0;
    std::memcpy(&value, guest_.bytes_at(address, 2).data(), 2);
    return value;
  }

  std::unique_ptr<os::EventLoop> loop_ = os::EventLoop::create().take();
  FakeBackend backend_;
  Net card_{*loop_, backend_, {.mtu = 9000}};
  virtio::testing::Guest guest_{card_};
};

class NetCardRings : public NetCard, public ::testing::WithParamInterface<u64> {};
INSTANTIATE_TEST_SUITE_P(Both, NetCardRings, ::testing::Values(0, kEventIndex, kPackedRing));

std::string frame_of(size_t size, char fill = 'f') { return std::string(size, fill); }

TEST_F(NetCard, TellsItsAddressAndMtu) {
  EXPECT_EQ(guest_.config<u8>(0), 0x02);
  EXPECT_EQ(guest_.config<u16>(6), 1) << "the link is up";
  EXPECT_EQ(guest_.config<u16>(10), 9000);
}

TEST_P(NetCardRings, SendsAndReceivesFrames) {
  backend_.echo = true;
  guest_.start(kVersion1 | kMerged | GetParam());
  const GuestPhys in = add_buffer(2048);
  send(frame_of(60, 'a'));
  ASSERT_EQ(backend_.sent.size(), 1u);
  EXPECT_EQ(backend_.sent.front(), frame_of(60, 'a'));
  EXPECT_TRUE(guest_.queue(kTransmit).take_used());
  const auto used = guest_.queue(kReceive).take_used();
  ASSERT_TRUE(used);
  EXPECT_EQ(used->written, kHeader + 60);
  EXPECT_EQ(half_at(in + 10), 1) << "in one buffer";
  EXPECT_EQ(guest_.text_at(in + kHeader, 60), frame_of(60, 'a'));
}

TEST_P(NetCardRings, SpreadsALargeFrameOverMergedBuffers) {
  guest_.start(kVersion1 | kMerged | GetParam());
  const GuestPhys first = add_buffer(100);
  const GuestPhys second = add_buffer(100);
  const GuestPhys third = add_buffer(100);
  const std::string frame = frame_of(88, 'x') + frame_of(100, 'y') + frame_of(12, 'z');
  EXPECT_TRUE(backend_.offer(frame));
  EXPECT_EQ(half_at(first + 10), 3);
  EXPECT_EQ(guest_.text_at(first + kHeader, 88), frame_of(88, 'x'));
  EXPECT_EQ(guest_.text_at(second, 100), frame_of(100, 'y'));
  EXPECT_EQ(guest_.text_at(third, 12), frame_of(12, 'z'));
  for (const u32 written : {100u, 100u, 12u}) EXPECT_EQ(guest_.queue(kReceive).take_used()->written, written);
}

TEST_P(NetCardRings, KeepsWhatItHasUntilThereAreBuffersEnough) {
  guest_.start(kVersion1 | kMerged | GetParam());
  add_buffer(100);
  EXPECT_FALSE(backend_.offer(frame_of(250)));
  EXPECT_FALSE(guest_.queue(kReceive).take_used()) << "none, or all of a frame";
  add_buffer(100);
  turn();
  EXPECT_EQ(backend_.rooms, 1);
  EXPECT_EQ(backend_.kept.size(), 1u) << "still too few";
  add_buffer(100);
  turn();
  EXPECT_TRUE(backend_.kept.empty());
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(guest_.queue(kReceive).take_used());
}

TEST_P(NetCardRings, TellsTheGuestOnceForABatch) {
  guest_.start(kVersion1 | kMerged | GetParam());
  for (int i = 0; i < 4; ++i) add_buffer(200);
  turn();
  guest_.take_interrupts();
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(backend_.offer(frame_of(60)));
  EXPECT_EQ(guest_.take_interrupts(), 0u);
  backend_.done();
  EXPECT_EQ(guest_.take_interrupts(), 1u);
}

TEST_F(NetCard, SendsABatchOfFramesInOrderWithOneCall) {
  guest_.start(kVersion1);
  for (char c = 'a'; c <= 'j'; ++c) {
    const std::string all = std::string(kHeader, '\0') + frame_of(60, c);
    guest_.submit(kTransmit, {.out = {{guest_.place(all), static_cast<u32>(all.size())}}});
  }
  turn();
  ASSERT_EQ(backend_.sent.size(), 10u);
  EXPECT_EQ(backend_.sent.back(), frame_of(60, 'j'));
  EXPECT_EQ(backend_.batches, 1);
}

TEST_F(NetCard, DropsAFrameThatCouldNeverFit) {
  guest_.start(kVersion1);
  add_buffer(100);
  EXPECT_TRUE(backend_.offer(frame_of(200))) << "dropped: buffers are not merged";
  EXPECT_TRUE(backend_.offer(frame_of(88)));
  EXPECT_EQ(guest_.queue(kReceive).take_used()->written, 100u);
  EXPECT_TRUE(backend_.offer(frame_of(9019))) << "longer than the MTU";
}

TEST_F(NetCard, DropsAFrameForWhichTheWholeRingIsTooSmall) {
  guest_.start(kVersion1 | kMerged);
  for (int i = 0; i < 256; ++i) add_buffer(12);
  EXPECT_TRUE(backend_.offer(frame_of(5000)));
  EXPECT_TRUE(backend_.offer(frame_of(60))) << "a small one still passes";
  EXPECT_TRUE(guest_.queue(kReceive).take_used());
}

TEST_F(NetCard, NeedsAResetAfterABufferTooSmallForAHeader) {
  guest_.start(kVersion1 | kMerged);
  add_buffer(11);
  EXPECT_TRUE(backend_.offer(frame_of(60))) << "the cable is not plugged in any more";
  EXPECT_TRUE(guest_.needs_reset());
  guest_.reset();
  guest_.start(kVersion1 | kMerged);
  add_buffer(100);
  EXPECT_TRUE(backend_.offer(frame_of(60)));
  EXPECT_TRUE(guest_.queue(kReceive).take_used());
}

TEST_F(NetCard, NeedsAResetAfterAFrameWithoutAHeader) {
  guest_.start(kVersion1);
  send("", "short");
  EXPECT_TRUE(guest_.needs_reset());
}

TEST_F(NetCard, SendsNoFrameThatNoCardWouldSend) {
  guest_.start(kVersion1 | kChecksum);
  std::string segmented(kHeader, '\0');
  segmented[1] = 1;
  std::string checksum_outside(kHeader, '\0');
  checksum_outside[0] = 1, checksum_outside[6] = 59;
  send(frame_of(13));
  send(frame_of(9019));
  send(frame_of(60), segmented);
  send(frame_of(60), checksum_outside);
  EXPECT_TRUE(backend_.sent.empty());
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(guest_.queue(kTransmit).take_used()) << "its buffer comes back";
  EXPECT_FALSE(guest_.needs_reset());
}

TEST_F(NetCard, CompletesAChecksumThatTheGuestLeftToIt) {
  guest_.start(kVersion1 | kChecksum);
  std::string header(kHeader, '\0');
  header[0] = 1, header[6] = 34, header[8] = 16;  // from byte 34 on, stored at byte 50
  std::string frame;
  for (int i = 0; i < 77; ++i) frame.push_back(static_cast<char>(i * 37));
  send(frame, header);
  ASSERT_EQ(backend_.sent.size(), 1u);
  const std::string& sent = backend_.sent.front();
  EXPECT_EQ(sent.substr(0, 50), frame.substr(0, 50));
  EXPECT_EQ(sent.substr(52), frame.substr(52));
  // The sum over data, old field and new field: with the partial sum in the field taken away again, right.
  std::string check = sent.substr(34);
  u16 partial = 0;
  std::memcpy(&partial, frame.data() + 50, 2);
  check.append(1, '\0');  // to an even length
  check.append(reinterpret_cast<const char*>(&partial), 2);
  EXPECT_EQ(internet_checksum(bytes_of(check)), 0);
}

TEST_F(NetCard, SaysThatChecksumsAreRightToWhoAsked) {
  for (const u64 wanted : {u64{0}, kGuestChecksum}) {
    guest_.start(kVersion1 | wanted);
    const GuestPhys in = add_buffer(100);
    EXPECT_TRUE(backend_.offer(frame_of(60)));
    EXPECT_EQ(static_cast<u8>(guest_.bytes_at(in, 1)[0]), wanted);
    guest_.reset();
  }
}

TEST_F(NetCard, OffersKeptFramesAgainAfterAReset) {
  guest_.start(kVersion1);
  EXPECT_FALSE(backend_.offer(frame_of(60)));
  guest_.reset();
  turn();
  EXPECT_EQ(backend_.rooms, 0);
  guest_.start(kVersion1);
  turn();
  EXPECT_EQ(backend_.rooms, 1);
  add_buffer(100);
  turn();
  EXPECT_TRUE(backend_.kept.empty());
}

// The loop's thread works while the guest resets the card again and again.
TEST_F(NetCard, IsLeftAloneAfterAResetWhileTheLoopWorks) {
  backend_.echo = true;
  std::thread worker([this] { loop_->run(); });
  for (int round = 0; round < 50; ++round) {
    guest_.start(kVersion1 | kMerged | (round % 2 == 0 ? kPackedRing : 0));
    const std::string all = std::string(kHeader, '\0') + frame_of(200);
    for (int i = 0; i < 8; ++i) {
      add_buffer(150);
      guest_.submit(kTransmit, {.out = {{guest_.place(all), static_cast<u32>(all.size())}}});
    }
    guest_.wait_used(kTransmit);
    guest_.reset();
  }
  loop_->stop();
  worker.join();
}

// RFC 1071's example: the sum of 00 01 f2 03 f4 f5 f6 f7 is ddf2.
TEST(InternetChecksum, IsTheComplementOfTheSum) {
  const u8 data[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
  const u16 checksum = internet_checksum(std::as_bytes(std::span(data)));
  u8 stored[2];
  std::memcpy(stored, &checksum, 2);
  EXPECT_EQ(stored[0], 0xff & ~0xdd);
  EXPECT_EQ(stored[1], 0xff & ~0xf2);
}

TEST(InternetChecksum, StoresZeroAsItsOtherForm) {
  std::byte frame[4] = {std::byte{0xff}, std::byte{0xff}, std::byte{0}, std::byte{0}};
  ASSERT_TRUE(complete_checksum(frame, 0, 2));
  EXPECT_EQ(frame[2], std::byte{0xff});
  EXPECT_FALSE(complete_checksum(frame, 0, 3));
  EXPECT_FALSE(complete_checksum(frame, 4, 0));
}

}  // namespace
}  // namespace cloister::device::virtio::net
