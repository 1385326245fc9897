// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/block/block.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <vector>

#include "device/virtio/block/overlay_format.h"
#include "device/virtio/testing/guest.h"

namespace cloister::device::virtio {
namespace {

using testing::Buffer;
using testing::Guest;

constexpr u64 kDiskSize = 64 * kSectorSize;
constexpr u32 kIn = 0, kOut = 1, kFlush = 4, kGetId = 8, kDiscard = 11, kWriteZeroes = 13;
constexpr u8 kOk = 0, kIoError = 1, kUnsupported = 2;
constexpr u64 kAllFeatures =
    kVersion1 | 1 << 9 | 1 << 11 | 1 << 13 | 1 << 14;  // FLUSH, CONFIG_WCE, DISCARD, …

// A disk in memory that can be told to fail, and to wait.
class FakeImage final : public DiskImage {
 public:
  struct Controls {
    std::vector<std::byte> bytes = std::vector<std::byte>(kDiskSize);
    bool read_only = false;
    std::atomic<bool> full{false}, flush_fails{false};
    std::atomic<int> writes{0}, flushes{0}, discards{0};
    std::atomic<u64> values{0};  // pages
    std::atomic<int> writes_at_flush{-1};

    // Reads of sector 63 wait here.
    std::mutex mutex;
    std::condition_variable changed;
    bool gate_open = true;
    int waiting = 0;
    void open_gate() {
      const std::lock_guard lock(mutex);
      gate_open = true;
      changed.notify_all();
    }
    void await_waiting(int count) {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return waiting >= count; });
    }
  };

  explicit FakeImage(Controls& controls) : controls_(controls) {}
  Bytes size() const override { return {controls_.bytes.size()}; }
  bool read_only() const override { return controls_.read_only; }
  Result<void> read(u64 offset, std::span<std::byte> to) override {
    if (offset == 63 * kSectorSize) wait_at_gate();
    std::copy_n(controls_.bytes.begin() + static_cast<std::ptrdiff_t>(offset), to.size(), to.begin());
    return {};
  }
  Result<void> write(u64 offset, std::span<const std::byte> from) override {
    if (controls_.full) return error("no space left on device");
    std::copy(from.begin(), from.end(), controls_.bytes.begin() + static_cast<std::ptrdiff_t>(offset));
    ++controls_.writes;
    return {};
  }
  Result<void> write_value(u64 offset, std::span<const std::byte> pages) override {
    controls_.values += pages.size() / kPageSize;
    return write(offset, pages);
  }
  Result<void> write_zeroes(u64 offset, Bytes count, Unmap) override {
    std::fill_n(controls_.bytes.begin() + static_cast<std::ptrdiff_t>(offset), count.raw, std::byte{0});
    return {};
  }
  void discard(u64, Bytes) override { ++controls_.discards; }
  Result<void> flush() override {
    if (controls_.flush_fails) return error("the disk is gone");
    controls_.writes_at_flush = controls_.writes.load();
    ++controls_.flushes;
    return {};
  }

 private:
  void wait_at_gate() {
    std::unique_lock lock(controls_.mutex);
    ++controls_.waiting;
    controls_.changed.notify_all();
    controls_.changed.wait(lock, [&] { return controls_.gate_open; });
    --controls_.waiting;
  }

  Controls& controls_;
};

struct Header {
  u32 type;
  u32 reserved;
  u64 sector;
};

struct Range {
  u64 sector;
  u32 count;
  u32 flags;
};

// A guest with a block driver.
class Rig {
 public:
  explicit Rig(BlockExecution execution = BlockExecution::kThreads, u64 features = kAllFeatures,
               bool read_only = false) {
    disk.read_only = read_only;
    device = Block::create(std::make_unique<FakeImage>(disk), "disk0", execution).take();
    guest = std::make_unique<Guest>(*device);
    guest->start(features);
  }

  // The request as a buffer; its status byte is at `status`.
  Buffer request(u32 type, u64 sector, std::vector<Segment> out, std::vector<Segment> in) {
    const Header header{type, 0, sector};
    status = guest->allocate(1);
    EXPECT_TRUE(guest->memory().write(status, std::as_bytes(std::span("\x77", 1))));
    out.insert(out.begin(), {guest->place(std::as_bytes(std::span(&header, 1))), sizeof(header)});
    in.push_back({status, 1});
    return {std::move(out), std::move(in), {}};
  }
  u8 status_byte() { return static_cast<u8>(guest->bytes_at(status, 1)[0]); }
  u8 run(u32 type, u64 sector, std::vector<Segment> out, std::vector<Segment> in) {
    guest->run(0, request(type, sector, std::move(out), std::move(in)));
    return status_byte();
  }
  u8 write(u64 sector, std::string_view text) {
    return run(kOut, sector, {{guest->place(text), static_cast<u32>(text.size())}}, {});
  }
  u8 release(u32 type, std::vector<Range> ranges) {
    const auto bytes = std::as_bytes(std::span(ranges));
    return run(type, 0, {{guest->place(bytes), static_cast<u32>(bytes.size())}}, {});
  }

  FakeImage::Controls disk;
  std::unique_ptr<Block> device;
  std::unique_ptr<Guest> guest;
  GuestPhys status;
};

class BlockDevice : public ::testing::TestWithParam<BlockExecution> {
 protected:
  Rig rig{GetParam()};
  Guest& guest = *rig.guest;
};

INSTANTIATE_TEST_SUITE_P(Executions, BlockDevice,
                         ::testing::Values(BlockExecution::kThreads, BlockExecution::kInline));

std::string sectors_of(char letter, std::size_t count) { return std::string(count * kSectorSize, letter); }

TEST_P(BlockDevice, TellsItsCapacityAndLimits) {
  EXPECT_EQ(guest.config<u64>(0), 64u);
  EXPECT_EQ(guest.config<u32>(12), 254u);
  EXPECT_EQ(guest.config<u32>(20), 512u);
  EXPECT_EQ(guest.config<u8>(24), 3u);
  EXPECT_EQ(guest.config<u8>(32), 1u);
  EXPECT_EQ(guest.config<u16>(34), 1u);
  EXPECT_EQ(guest.config<u32>(40), 16u);
}

TEST_P(BlockDevice, WhatIsWrittenIsReadBack) {
  EXPECT_EQ(rig.write(3, sectors_of('a', 1) + sectors_of('b', 1)), kOk);
  const auto to = guest.allocate(1024);
  EXPECT_EQ(guest.run(0, rig.request(kIn, 3, {}, {{to, 100}, {to + 100, 924}})), 1025u);
  EXPECT_EQ(rig.status_byte(), kOk);
  EXPECT_EQ(guest.text_at(to, 1024), sectors_of('a', 1) + sectors_of('b', 1));
}

TEST_P(BlockDevice, TheLastSectorIsInReachAndNoneAfter) {
  const auto to = guest.allocate(1024);
  EXPECT_EQ(rig.run(kIn, 62, {}, {{to, 1024}}), kOk);
  EXPECT_EQ(rig.run(kIn, 63, {}, {{to, 1024}}), kIoError);
  EXPECT_EQ(rig.run(kIn, 64, {}, {{to, 512}}), kIoError);
  EXPECT_EQ(rig.run(kIn, ~u64{0}, {}, {{to, 1024}}), kIoError);
  EXPECT_EQ(rig.write(64, sectors_of('x', 1)), kIoError);
  EXPECT_EQ(rig.run(kIn, 64, {}, {}), kOk);
}

TEST_P(BlockDevice, PartsOfASectorAreRefused) {
  EXPECT_EQ(rig.run(kIn, 0, {}, {{guest.allocate(512), 511}}), kIoError);
  EXPECT_EQ(rig.write(0, "short"), kIoError);
}

TEST_P(BlockDevice, TellsItsSerialNumber) {
  const auto to = guest.allocate(20);
  EXPECT_EQ(rig.run(kGetId, 0, {}, {{to, 20}}), kOk);
  EXPECT_STREQ(guest.text_at(to, 20).c_str(), "disk0");
  EXPECT_EQ(rig.run(kGetId, 0, {}, {{to, 3}}), kOk);
}

TEST_P(BlockDevice, UnknownRequestsAreUnsupported) {
  EXPECT_EQ(rig.run(2, 0, {}, {}), kUnsupported);
  EXPECT_EQ(rig.run(0xffff'ffff, 0, {}, {}), kUnsupported);
}

TEST_P(BlockDevice, AHeaderThatIsTooShortIsAnError) {
  const auto status = guest.allocate(1);
  EXPECT_EQ(guest.run(0, {{{guest.allocate(16), 15}}, {{status, 1}}, {}}), 1u);
  EXPECT_EQ(guest.bytes_at(status, 1)[0], std::byte{kIoError});
}

TEST_P(BlockDevice, ARequestWithoutAStatusNeedsAReset) {
  guest.submit(0, {{{guest.allocate(16), 16}}, {}, {}});
  guest.wait_used(0);
  while (!guest.needs_reset()) {
  }
}

TEST_P(BlockDevice, AFlushFollowsWhatWasAnswered) {
  rig.write(0, sectors_of('a', 4));
  rig.write(8, sectors_of('b', 4));
  EXPECT_EQ(rig.run(kFlush, 0, {}, {}), kOk);
  EXPECT_EQ(rig.disk.flushes, 1);
  EXPECT_EQ(rig.disk.writes_at_flush, 2);
}

TEST_P(BlockDevice, AfterAFailedFlushNoneSucceeds) {
  rig.disk.flush_fails = true;
  EXPECT_EQ(rig.run(kFlush, 0, {}, {}), kIoError);
  rig.disk.flush_fails = false;
  EXPECT_EQ(rig.run(kFlush, 0, {}, {}), kIoError);
}

TEST_P(BlockDevice, AFullDiskIsAnErrorUntilThereIsRoom) {
  rig.disk.full = true;
  EXPECT_EQ(rig.write(0, sectors_of('a', 1)), kIoError);
  EXPECT_EQ(rig.write(0, sectors_of('a', 1)), kIoError);
  rig.disk.full = false;
  EXPECT_EQ(rig.write(0, sectors_of('a', 1)), kOk);
}

TEST_P(BlockDevice, DiscardsAndZeroes) {
  rig.write(0, sectors_of('a', 8));
  EXPECT_EQ(rig.release(kWriteZeroes, {{1, 2, 0}, {4, 1, 1}}), kOk);
  EXPECT_EQ(rig.release(kDiscard, {{0, 1, 0}, {2, 3, 0}}), kOk);
  EXPECT_EQ(rig.disk.discards, 2);
  const auto to = guest.allocate(8 * kSectorSize);
  EXPECT_EQ(rig.run(kIn, 0, {}, {{to, 8 * kSectorSize}}), kOk);
  EXPECT_EQ(guest.text_at(to, 8 * kSectorSize), sectors_of('a', 1) + sectors_of('\0', 2) +
                                                    sectors_of('a', 1) + sectors_of('\0', 1) +
                                                    sectors_of('a', 3));
}

TEST_P(BlockDevice, WrongRangesAreRefused) {
  EXPECT_EQ(rig.release(kDiscard, {{0, 65, 0}}), kIoError);
  EXPECT_EQ(rig.release(kDiscard, {{~u64{0}, 1, 0}}), kIoError);
  EXPECT_EQ(rig.release(kDiscard, {{0, 1, 1}}), kUnsupported);
  EXPECT_EQ(rig.release(kWriteZeroes, {{0, 1, 2}}), kUnsupported);
  EXPECT_EQ(rig.release(kWriteZeroes, {}), kIoError);
  EXPECT_EQ(rig.release(kDiscard, std::vector<Range>(17, {0, 1, 0})), kIoError);
  EXPECT_EQ(rig.run(kDiscard, 0, {{guest.allocate(16), 15}}, {}), kIoError);
  EXPECT_EQ(rig.disk.discards, 0);
}

TEST_P(BlockDevice, WritesThroughWhenTheCacheIsOff) {
  EXPECT_EQ(rig.write(0, sectors_of('a', 1)), kOk);
  EXPECT_EQ(rig.disk.flushes, 0);
  guest.transport().write(0x100 + 32, 1, 0);
  EXPECT_EQ(guest.config<u8>(32), 0u);
  EXPECT_EQ(rig.write(0, sectors_of('a', 1)), kOk);
  EXPECT_EQ(rig.disk.flushes, 1);
}

TEST_P(BlockDevice, WritesThroughForADriverThatCannotFlush) {
  Rig old(GetParam(), kVersion1);
  EXPECT_EQ(old.write(0, sectors_of('a', 1)), kOk);
  EXPECT_EQ(old.disk.flushes, 1);
}

TEST_P(BlockDevice, PagesOfTheExpectedValueAreToldApartFromOthers) {
  std::vector<std::byte> value(kPageSize);
  std::fill_n(value.begin(), sizeof(OverlayMark), std::byte{'v'});
  rig.device->expect_value(value);
  std::string page(reinterpret_cast<const char*>(value.data()), value.size()), nearly = page, text;
  nearly.back() = 1;
  for (const std::string& one : {page, page, nearly, sectors_of('a', 8), page, sectors_of('v', 1)})
    text += one;
  EXPECT_EQ(rig.write(2, text), kOk);
  EXPECT_EQ(rig.disk.values, 3u);
  EXPECT_EQ(rig.device->values_written(), Pages{3});
  const auto written = std::as_bytes(std::span(text));
  EXPECT_TRUE(std::equal(written.begin(), written.end(), rig.disk.bytes.begin() + 2 * kSectorSize));
}

TEST_P(BlockDevice, AReadOnlyDiskRefusesEveryChange) {
  Rig fixed(GetParam(), kVersion1, true);
  EXPECT_EQ(fixed.guest->device_features() & (1 << 5 | 1 << 13 | 1 << 14), u64{1 << 5});
  EXPECT_EQ(fixed.write(0, sectors_of('a', 1)), kIoError);
  EXPECT_EQ(fixed.release(kDiscard, {{0, 1, 0}}), kIoError);
  EXPECT_EQ(fixed.release(kWriteZeroes, {{0, 1, 0}}), kIoError);
  EXPECT_EQ(fixed.run(kIn, 0, {}, {{fixed.guest->allocate(512), 512}}), kOk);
  EXPECT_EQ(fixed.disk.writes, 0);
}

TEST_P(BlockDevice, ManyRequestsAtOnceOnEveryRing) {
  for (const u64 ring : {u64{0}, kEventIndex, kPackedRing, kPackedRing | kEventIndex}) {
    guest.reset();
    guest.start(kAllFeatures | kIndirectDescriptors | ring);
    const auto from = guest.place(sectors_of('q', 1));
    std::vector<GuestPhys> answers;
    for (int round = 0; round < 20; ++round) {
      for (u64 i = 0; i < 60; ++i) {
        Buffer buffer = rig.request(kOut, i, {{from, 512}}, {});
        if (i % 2 == 0) buffer.table = guest.allocate(16 * 3);
        answers.push_back(rig.status);
        guest.submit(0, buffer);
      }
      for (int i = 0; i < 60; ++i) ASSERT_EQ(guest.wait_used(0).written, 1u);
    }
    for (const GuestPhys at : answers) ASSERT_EQ(guest.bytes_at(at, 1)[0], std::byte{kOk});
  }
}

// -- Workers ---------------------------------------------------------------------------------------------

TEST(BlockWorkers, OtherRequestsPassASlowOne) {
  Rig rig;
  rig.disk.gate_open = false;
  const u16 slow = rig.guest->submit(0, rig.request(kIn, 63, {}, {{rig.guest->allocate(512), 512}}));
  rig.disk.await_waiting(1);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(rig.write(0, sectors_of('a', 1)), kOk);
  rig.disk.open_gate();
  EXPECT_EQ(rig.guest->wait_used(0).id, slow);
}

TEST(BlockWorkers, AResetWaitsForWhatIsUnderWay) {
  Rig rig;
  rig.disk.gate_open = false;
  for (int i = 0; i < 6; ++i) {
    rig.guest->submit(0, rig.request(kIn, 63, {}, {{rig.guest->allocate(512), 512}}));
  }
  rig.disk.await_waiting(Block::kWorkers);
  std::atomic<bool> done{false};
  auto resetter = os::Thread::start("resetter", [&] {
                    rig.guest->reset();
                    EXPECT_EQ(rig.disk.waiting, 0);
                    done = true;
                  }).take();
  EXPECT_FALSE(done);
  rig.disk.open_gate();
  resetter.join();
  rig.guest->start(kAllFeatures);
  EXPECT_EQ(rig.write(0, sectors_of('a', 1)), kOk);
}

TEST(BlockWorkers, AMachineMayEndWithRequestsUnderWay) {
  for (int round = 0; round < 50; ++round) {
    Rig rig;
    const auto from = rig.guest->place(sectors_of('q', 1));
    for (u64 i = 0; i < 30; ++i) rig.guest->submit(0, rig.request(kOut, i, {{from, 512}}, {}));
    rig.guest.reset();
  }
}

}  // namespace
}  // namespace cloister::device::virtio
