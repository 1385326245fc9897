// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/entropy/entropy.h"

#include <gtest/gtest.h>

#include "device/virtio/testing/guest.h"

namespace cloister::device::virtio {
namespace {

using testing::Guest;

std::vector<std::byte> ask(Entropy& device, u32 count) {
  Guest guest(device);
  guest.start(kVersion1);
  const auto to = guest.allocate(count);
  EXPECT_EQ(guest.run(0, {{}, {{to, count}}, {}}), count);
  return guest.bytes_at(to, count);
}

TEST(EntropyDevice, FillsTheWholeBuffer) {
  Entropy device([](std::span<std::byte> to) { std::fill(to.begin(), to.end(), std::byte{0x5a}); });
  EXPECT_EQ(ask(device, 1001), std::vector<std::byte>(1001, std::byte{0x5a}));
}

TEST(EntropyDevice, TheHostsBytesDiffer) {
  Entropy one(Entropy::host_source()), two(Entropy::host_source());
  EXPECT_NE(ask(one, 64), ask(two, 64));
}

TEST(EntropyDevice, ASeedGivesTheSameBytesEachTime) {
  Entropy one(Entropy::seeded_source(7)), two(Entropy::seeded_source(7)), other(Entropy::seeded_source(8));
  const auto bytes = ask(one, 61);
  EXPECT_EQ(ask(two, 61), bytes);
  EXPECT_NE(ask(other, 61), bytes);
}

TEST(EntropyDevice, GivesAtMostItsBoundAtATime) {
  Entropy device(Entropy::seeded_source(1));
  Guest guest(device);
  guest.start(kVersion1);
  EXPECT_EQ(guest.run(0, {{}, {{guest.allocate(100'000), 100'000}}, {}}), Entropy::kMaxBytes);
}

TEST(EntropyDevice, ABufferWithoutRoomComesBackEmpty) {
  Entropy device(Entropy::seeded_source(1));
  Guest guest(device);
  guest.start(kVersion1);
  EXPECT_EQ(guest.run(0, {{{guest.allocate(16), 16}}, {}, {}}), 0u);
  EXPECT_FALSE(guest.needs_reset());
}

}  // namespace
}  // namespace cloister::device::virtio
