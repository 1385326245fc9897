// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/queue.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>

#include "base/random.h"
#include "device/virtio/device.h"
#include "device/virtio/testing/driver_queue.h"

namespace cloister::device::virtio {
namespace {

using testing::Buffer;
using testing::DriverQueue;

constexpr GuestPhys kBase{0x8000'0000};
constexpr RingLayout kLayout{8, kBase, kBase + 0x1000, kBase + 0x2000};
constexpr GuestPhys kData = kBase + 0x4000;
constexpr GuestPhys kTable = kBase + 0x8000;
constexpr GuestPhys kEnd = kBase + 0x10000;

// Both ends of one queue in memory of 64 KiB.
struct Rings {
  explicit Rings(u64 features, RingLayout layout = kLayout)
      : driver(DriverQueue::create(*memory, layout, features)),
        device(Queue::create(*memory, layout, features, [this](std::string_view text) { why = text; })) {}

  std::unique_ptr<memory::GuestMemory> memory = memory::GuestMemory::create(kBase, Bytes{0x10000}).take();
  std::string why;
  std::unique_ptr<DriverQueue> driver;
  std::unique_ptr<Queue> device;
};

void put_text(memory::GuestMemory& memory, GuestPhys at, std::string_view text) {
  ASSERT_TRUE(memory.write(at, std::as_bytes(std::span(text))));
}

std::string read_text(Chain& chain, u32 count) {
  std::string text(count, '\0');
  return chain.read(std::as_writable_bytes(std::span(text))) ? text : "(too short)";
}

// -- What both rings do, with and without event index ----------------------------------------------------

class AnyQueue : public ::testing::TestWithParam<u64> {
 protected:
  Rings rings{kVersion1 | kIndirectDescriptors | GetParam()};
  DriverQueue& driver = *rings.driver;
  Queue& device = *rings.device;
};

INSTANTIATE_TEST_SUITE_P(Rings, AnyQueue,
                         ::testing::Values(0, kEventIndex, kPackedRing, kPackedRing | kEventIndex));

TEST_P(AnyQueue, IsEmptyAtFirst) {
  EXPECT_TRUE(device.empty());
  EXPECT_FALSE(device.pop());
  EXPECT_FALSE(device.broken());
}

TEST_P(AnyQueue, BytesAreReadAndWrittenAcrossSegments) {
  put_text(*rings.memory, kData, "hello, ring");
  driver.add({{{kData, 3}, {kData + 3, 8}}, {{kData + 0x100, 2}, {kData + 0x200, 6}}, {}});
  auto chain = device.pop();
  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->readable(), 11u);
  EXPECT_EQ(chain->writable(), 8u);
  EXPECT_EQ(read_text(*chain, 7), "hello, ");
  EXPECT_EQ(read_text(*chain, 5), "(too short)");
  EXPECT_EQ(read_text(*chain, 4), "ring");
  EXPECT_TRUE(chain->write(std::as_bytes(std::span("abcde", 5))));
  EXPECT_FALSE(chain->write(std::as_bytes(std::span("abcd", 4))));
  EXPECT_EQ(chain->written(), 5u);
  device.push(*chain);
  EXPECT_EQ(driver.take_used()->written, 5u);
  EXPECT_EQ(rings.memory->load<u16>(kData + 0x100), 'a' | 'b' << 8);
  EXPECT_EQ(rings.memory->load<u16>(kData + 0x200), 'c' | 'd' << 8);
}

TEST_P(AnyQueue, SkippedBytesAreUsedInPlace) {
  driver.add({{{kData, 3}, {kData + 8, 8}}, {{kData + 0x100, 2}, {kData + 0x200, 6}}, {}});
  auto chain = device.pop();
  chain->skip_readable(4);
  ASSERT_EQ(chain->readable_segments().size(), 1u);
  EXPECT_EQ(chain->readable_segments()[0].address, kData + 9);
  chain->skip_writable(2);
  ASSERT_EQ(chain->writable_segments().size(), 1u);
  EXPECT_EQ(chain->writable_segments()[0].length, 6u);
  EXPECT_EQ(chain->written(), 2u);
}

TEST_P(AnyQueue, AnIndirectTableTakesOneSlot) {
  for (u64 i = 0; i < 8; ++i) {
    ASSERT_TRUE(driver.add({{{kData, 4}, {kData + 8, 4}}, {{kData + 16, 4}}, kTable + i * 0x100}));
  }
  EXPECT_FALSE(driver.add({{{kData, 4}}, {}, {}}));
  for (int i = 0; i < 8; ++i) {
    auto chain = device.pop();
    ASSERT_TRUE(chain);
    EXPECT_EQ(chain->readable(), 8u);
    EXPECT_EQ(chain->writable(), 4u);
  }
  EXPECT_FALSE(device.pop());
  EXPECT_FALSE(device.broken());
}

TEST_P(AnyQueue, EmptySegmentsCountForNothing) {
  driver.add({{{kEnd + 0x1000, 0}, {kData, 4}}, {{kData, 0}}, {}});
  const auto chain = device.pop();
  ASSERT_TRUE(chain);
  EXPECT_EQ(chain->readable(), 4u);
  EXPECT_EQ(chain->readable_segments().size(), 1u);
  EXPECT_EQ(chain->writable(), 0u);
}

TEST_P(AnyQueue, ABufferPutBackIsTheNextAgain) {
  driver.add({{{kData, 1}, {kData, 2}}, {}, {}});
  driver.add({{{kData, 4}}, {}, {}});
  EXPECT_EQ(device.pop()->readable(), 3u);
  device.undo_pop();
  EXPECT_EQ(device.pop()->readable(), 3u);
  EXPECT_EQ(device.pop()->readable(), 4u);
}

TEST_P(AnyQueue, APutBackBufferOfTheWholeRingIsTheNextAgain) {
  driver.add({std::vector<Segment>(8, {kData, 1}), {}, {}});
  EXPECT_EQ(device.pop()->readable(), 8u);
  device.undo_pop();
  EXPECT_EQ(device.pop()->readable(), 8u);
}

TEST_P(AnyQueue, BuffersMayComeBackInAnyOrder) {
  const auto a = driver.add({{{kData, 1}}, {}, {}});
  const auto b = driver.add({{{kData, 2}, {kData, 1}}, {}, {}});
  const auto c = driver.add({{{kData, 3}}, {}, {}});
  const auto chain_a = device.pop(), chain_b = device.pop(), chain_c = device.pop();
  for (const auto* chain : {&chain_c, &chain_a, &chain_b}) device.push(**chain);
  EXPECT_EQ(driver.take_used()->id, c);
  EXPECT_EQ(driver.take_used()->id, a);
  EXPECT_EQ(driver.take_used()->id, b);
  EXPECT_FALSE(driver.take_used());
}

// Indices wrap (split: at 65536; packed: at every round): a seeded mix of lengths, forms and orders goes on
// well past that.
TEST_P(AnyQueue, ManyRoundsLoseNothing) {
  Random random(1 + GetParam());
  std::deque<std::pair<u16, u32>> sent;  // id, its length
  std::vector<std::pair<Chain, u16>> out;
  u64 returned = 0;
  while (returned < 70'000) {
    if (random.one_in(2)) {
      const u32 count = 1 + static_cast<u32>(random.below(3));
      Buffer buffer{
          std::vector<Segment>(count, {kData, 1}), {{kData, 1 + static_cast<u32>(random.below(100))}}, {}};
      if (random.one_in(3)) buffer.table = kTable + random.below(8) * 0x100;
      const u32 length = count * 1000 + buffer.in[0].length;
      if (const auto id = driver.add(buffer)) {
        sent.emplace_back(*id, length);
        auto chain = device.pop();
        ASSERT_TRUE(chain);
        ASSERT_EQ(chain->readable() * 1000 + chain->writable(), length);
        chain->skip_writable(chain->writable());
        out.emplace_back(*chain, *id);
      }
    } else if (!out.empty()) {
      const auto at = out.begin() + static_cast<std::ptrdiff_t>(random.below(out.size()));
      const auto [chain, id] = *at;
      out.erase(at);
      device.push(chain);
      const auto used = driver.take_used();
      ASSERT_TRUE(used);
      ASSERT_EQ(used->id, id);
      ASSERT_EQ(used->written, chain.written());
      ++returned;
    }
  }
  EXPECT_FALSE(device.broken());
}

TEST_P(AnyQueue, ADriverThatWantsNoInterruptsGetsNone) {
  driver.silence();
  for (int i = 0; i < 20; ++i) {
    driver.add({{{kData, 1}}, {}, {}});
    device.push(*device.pop());
    ASSERT_FALSE(device.wants_interrupt()) << i;
    driver.take_used();
    driver.silence();
  }
}

TEST_P(AnyQueue, NothingPushedIsNoInterrupt) {
  driver.ask_interrupt();
  EXPECT_FALSE(device.wants_interrupt());
  driver.add({{{kData, 1}}, {}, {}});
  device.push(*device.pop());
  EXPECT_TRUE(device.wants_interrupt());
  EXPECT_FALSE(device.wants_interrupt());
}

TEST_P(AnyQueue, TheDeviceTellsWhenItWantsToBeTold) {
  device.enable_notification(true);
  driver.add({{{kData, 1}}, {}, {}});
  EXPECT_TRUE(driver.should_notify());
  device.enable_notification(false);
  device.push(*device.pop());
  driver.add({{{kData, 1}}, {}, {}});
  EXPECT_FALSE(driver.should_notify());
  device.push(*device.pop());
  device.enable_notification(true);
  for (int i = 0; i < 20; ++i) {
    driver.take_used();
    driver.add({{{kData, 1}}, {}, {}});
    ASSERT_TRUE(driver.should_notify()) << i;
    device.push(*device.pop());
    device.enable_notification(true);
  }
}

// -- Event index -----------------------------------------------------------------------------------------

class EventIndex : public ::testing::TestWithParam<u64> {};
INSTANTIATE_TEST_SUITE_P(Rings, EventIndex, ::testing::Values(0, kPackedRing));

TEST_P(EventIndex, InterruptsWhenTheAskedForBufferComesBackAndNotBefore) {
  Rings rings(kVersion1 | kEventIndex | GetParam());
  Random random(3);
  for (int round = 0; round < 5000; ++round) {
    const u16 skipped = static_cast<u16>(random.below(4));
    rings.driver->ask_interrupt(skipped);
    for (u16 i = 0; i <= skipped; ++i) {
      rings.driver->add({{{kData, 1}}, {}, {}});
      rings.device->push(*rings.device->pop());
      ASSERT_EQ(rings.device->wants_interrupt(), i == skipped) << "round " << round << " buffer " << i;
      rings.driver->take_used();
    }
  }
}

TEST_P(EventIndex, APassedEventInterruptsWhenSeveralComeBackAtOnce) {
  Rings rings(kVersion1 | kEventIndex | GetParam());
  for (int round = 0; round < 100; ++round) {
    rings.driver->ask_interrupt(1);
    for (int i = 0; i < 5; ++i) {
      rings.driver->add({{{kData, 1}}, {}, {}});
      rings.device->push(*rings.device->pop());
    }
    ASSERT_TRUE(rings.device->wants_interrupt()) << round;
    while (rings.driver->take_used()) {
    }
  }
}

// -- Broken rings ----------------------------------------------------------------------------------------

// Writes rings by hand, to write them wrong.
class BrokenSplit : public ::testing::Test {
 protected:
  void descriptor(GuestPhys table, u16 index, SplitDescriptor descriptor) {
    ASSERT_TRUE(rings.memory->write(table + index * 16, std::as_bytes(std::span(&descriptor, 1))));
  }
  void publish(u16 index, u16 head = 0) {
    rings.memory->store<u16>(kLayout.driver + 4, head);
    rings.memory->store<u16>(kLayout.driver + 2, index);
  }
  void expect_broken(std::string_view reason) {
    EXPECT_FALSE(rings.device->pop());
    EXPECT_TRUE(rings.device->broken());
    EXPECT_NE(rings.why.find(reason), std::string::npos) << rings.why;
    EXPECT_TRUE(rings.device->empty());
    EXPECT_FALSE(rings.device->pop());
  }
  void expect_broken_by(SplitDescriptor bad, std::string_view reason) {
    descriptor(kLayout.descriptors, 0, bad);
    publish(1);
    expect_broken(reason);
  }

  Rings rings{kVersion1 | kIndirectDescriptors};
};

TEST_F(BrokenSplit, TheAvailableIndexRanPastTheRing) {
  publish(9);
  expect_broken("ran past");
}

TEST_F(BrokenSplit, AHeadOutsideOfTheTable) {
  publish(1, 8);
  expect_broken("outside of its table");
}

TEST_F(BrokenSplit, ANextOutsideOfTheTable) {
  expect_broken_by({kData.raw, 4, kNext, 8}, "outside of its table");
}

TEST_F(BrokenSplit, ACircle) { expect_broken_by({kData.raw, 4, kNext, 0}, "circle"); }

TEST_F(BrokenSplit, ACircleOfEmptyDescriptorsInAHugeTable) {
  descriptor(kTable, 0, {0, 0, kNext, 0});
  expect_broken_by({kTable.raw, 0xffff'fff0, kIndirect, 0}, "circle");
}

TEST_F(BrokenSplit, ABufferBelowMemory) { expect_broken_by({0x1000, 4, 0, 0}, "outside of memory"); }

TEST_F(BrokenSplit, ABufferAcrossTheEndOfMemory) {
  expect_broken_by({kEnd.raw - 2, 4, kWrite, 0}, "outside of memory");
}

TEST_F(BrokenSplit, ABufferThatWrapsAround) { expect_broken_by({~u64{0} - 1, 4, 0, 0}, "outside of memory"); }

TEST_F(BrokenSplit, AReadableDescriptorAfterAWritableOne) {
  descriptor(kLayout.descriptors, 1, {kData.raw, 4, 0, 0});
  expect_broken_by({kData.raw, 4, kNext | kWrite, 1}, "follows a writable");
}

TEST_F(BrokenSplit, AnIndirectTableOfOddLength) {
  expect_broken_by({kTable.raw, 24, kIndirect, 0}, "multiple");
}

TEST_F(BrokenSplit, AnEmptyIndirectTable) { expect_broken_by({kTable.raw, 0, kIndirect, 0}, "multiple"); }

TEST_F(BrokenSplit, AnIndirectTableOutsideOfMemory) {
  expect_broken_by({kEnd.raw, 16, kIndirect, 0}, "outside of memory");
}

TEST_F(BrokenSplit, AnIndirectTableThatGoesOn) {
  expect_broken_by({kTable.raw, 16, kIndirect | kNext, 1}, "not the chain's end");
}

TEST_F(BrokenSplit, ANestedIndirectTable) {
  descriptor(kTable, 0, {kTable.raw, 16, kIndirect, 0});
  expect_broken_by({kTable.raw, 16, kIndirect, 0}, "nested");
}

TEST_F(BrokenSplit, MoreBuffersOutThanTheRingHolds) {
  descriptor(kLayout.descriptors, 0, {kData.raw, 4, 0, 0});
  for (u16 i = 0; i < 8; ++i) rings.memory->store<u16>(kLayout.driver + 4 + 2 * i, 0);
  rings.memory->store<u16>(kLayout.driver + 2, 8);
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(rings.device->pop());
  rings.memory->store<u16>(kLayout.driver + 2, 9);
  expect_broken("more buffers are out");
}

TEST_F(BrokenSplit, AnIndirectTableThatWasNotNegotiated) {
  Rings plain(kVersion1);
  const SplitDescriptor bad{kTable.raw, 16, kIndirect, 0};
  ASSERT_TRUE(plain.memory->write(kLayout.descriptors, std::as_bytes(std::span(&bad, 1))));
  plain.memory->store<u16>(kLayout.driver + 2, 1);
  EXPECT_FALSE(plain.device->pop());
  EXPECT_TRUE(plain.device->broken());
}

class BrokenPacked : public ::testing::Test {
 protected:
  void descriptor(GuestPhys table, u16 index, PackedDescriptor descriptor) {
    ASSERT_TRUE(rings.memory->write(table + index * 16, std::as_bytes(std::span(&descriptor, 1))));
  }
  void expect_broken_by(u64 address, u32 length, u16 flags, std::string_view reason) {
    descriptor(kLayout.descriptors, 0, {address, length, 0, static_cast<u16>(flags | kAvailable)});
    EXPECT_FALSE(rings.device->pop());
    EXPECT_TRUE(rings.device->broken());
    EXPECT_NE(rings.why.find(reason), std::string::npos) << rings.why;
  }

  Rings rings{kVersion1 | kIndirectDescriptors | kPackedRing};
};

TEST_F(BrokenPacked, AChainLongerThanTheRing) {
  for (u16 i = 1; i < 8; ++i) descriptor(kLayout.descriptors, i, {kData.raw, 1, 0, kNext | kAvailable});
  expect_broken_by(kData.raw, 1, kNext, "more descriptors are out");
}

TEST_F(BrokenPacked, ABufferOutsideOfMemory) { expect_broken_by(kEnd.raw, 1, 0, "outside of memory"); }

TEST_F(BrokenPacked, AnIndirectTableOfOddLength) { expect_broken_by(kTable.raw, 8, kIndirect, "multiple"); }

TEST_F(BrokenPacked, AHugeIndirectTable) { expect_broken_by(kTable.raw, 0xffff'fff0, kIndirect, "too long"); }

TEST_F(BrokenPacked, ANestedIndirectTable) {
  descriptor(kTable, 0, {kTable.raw, 16, 0, kIndirect});
  expect_broken_by(kTable.raw, 16, kIndirect, "nested");
}

TEST_F(BrokenPacked, AnIndirectTableThatGoesOn) {
  expect_broken_by(kTable.raw, 16, kIndirect | kNext, "not the chain's end");
}

TEST_F(BrokenPacked, AReadableDescriptorAfterAWritableOne) {
  descriptor(kTable, 0, {kData.raw, 4, 0, kWrite});
  descriptor(kTable, 1, {kData.raw, 4, 0, 0});
  expect_broken_by(kTable.raw, 32, kIndirect, "follows a writable");
}

TEST(Chain, HasLessThanFourGibibytes) {
  const auto memory = memory::GuestMemory::create(kBase, Bytes{5 * kGiB}).take();
  const auto driver = DriverQueue::create(*memory, kLayout, kVersion1);
  const auto device = Queue::create(*memory, kLayout, kVersion1, [](std::string_view) {});
  driver->add({{{kBase, 0x8000'0000}, {kBase, 0x7fff'ffff}}, {}, {}});
  driver->add({{{kBase, 0x8000'0000}, {kBase, 0x8000'0000}}, {}, {}});
  EXPECT_EQ(device->pop()->readable(), 0xffff'ffffu);
  EXPECT_FALSE(device->pop());
  EXPECT_TRUE(device->broken());
}

// -- Layouts ---------------------------------------------------------------------------------------------

bool makes_queue(RingLayout layout, u64 features) {
  const auto memory = memory::GuestMemory::create(kBase, Bytes{0x10000}).take();
  return Queue::create(*memory, layout, features, [](std::string_view) {}) != nullptr;
}

TEST(RingLayout, ASplitRingIsAPowerOfTwoAlignedAndInMemory) {
  EXPECT_TRUE(makes_queue(kLayout, kVersion1));
  EXPECT_TRUE(makes_queue({1, kBase, kBase + 0x1000, kEnd - 16}, kVersion1));
  EXPECT_FALSE(makes_queue({0, kBase, kBase + 0x1000, kBase + 0x2000}, kVersion1));
  EXPECT_FALSE(makes_queue({7, kBase, kBase + 0x1000, kBase + 0x2000}, kVersion1));
  EXPECT_FALSE(makes_queue({65536, kBase, kBase, kBase}, kVersion1));
  EXPECT_FALSE(makes_queue({8, kBase + 8, kBase + 0x1000, kBase + 0x2000}, kVersion1));
  EXPECT_FALSE(makes_queue({8, kBase, kBase + 0x1001, kBase + 0x2000}, kVersion1));
  EXPECT_FALSE(makes_queue({8, kBase, kBase + 0x1000, kBase + 0x2002}, kVersion1));
  EXPECT_FALSE(makes_queue({8, kEnd - 16, kBase + 0x1000, kBase + 0x2000}, kVersion1));
  EXPECT_FALSE(makes_queue({8, kBase, kEnd - 16, kBase + 0x2000}, kVersion1));
  EXPECT_FALSE(makes_queue({8, kBase, kBase + 0x1000, kEnd - 64}, kVersion1));
  EXPECT_FALSE(makes_queue({8, {~u64{15}}, kBase + 0x1000, kBase + 0x2000}, kVersion1));
}

TEST(RingLayout, APackedRingMayHaveAnySize) {
  constexpr u64 kPacked = kVersion1 | kPackedRing;
  EXPECT_TRUE(makes_queue(kLayout, kPacked));
  EXPECT_TRUE(makes_queue({7, kBase, kBase + 0x1000, kBase + 0x2000}, kPacked));
  EXPECT_FALSE(makes_queue({0, kBase, kBase + 0x1000, kBase + 0x2000}, kPacked));
  EXPECT_FALSE(makes_queue({8, kBase, kBase + 0x1002, kBase + 0x2000}, kPacked));
  EXPECT_FALSE(makes_queue({8, kBase, kEnd, kBase + 0x2000}, kPacked));
  EXPECT_FALSE(makes_queue({8, kEnd - 16, kBase + 0x1000, kBase + 0x2000}, kPacked));
}

}  // namespace
}  // namespace cloister::device::virtio
