// SPDX-License-Identifier: Apache-2.0
#include "jit/workshop.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstring>
#include <thread>

#include "hart/state.h"
#include "isa/encode.h"
#include "isa/registers.h"

namespace cloister::jit {
namespace {

using isa::Op;
constexpr auto kPatience = std::chrono::seconds(60);

// A loop of two blocks, at 0 and 4, that were both executed.
std::unique_ptr<Order> order_of_loop(u16 offset) {
  auto order = std::make_unique<Order>();
  order->pages[0].number = Gpn{0x80000};
  order->offset = offset;
  order->pages[0].bytes = {};
  const u32 code[] = {isa::encode({.op = Op::beq, .rs1 = isa::reg::a0, .rs2 = isa::reg::a1, .imm = 8}),
                      isa::encode({.op = Op::addi, .rd = isa::reg::a0, .rs1 = isa::reg::a0, .imm = 1}),
                      isa::encode({.op = Op::jal, .imm = -8})};
  std::memcpy(order->pages[0].bytes.data(), code, sizeof(code));
  for (const u32 each : {0u, 4u}) order->pages[0].wanted.set(each / 2);
  return order;
}

// What a hart does whose orders may be refused.
std::shared_ptr<const Product> wait_for(Workshop& workshop, Workshop::Client& client,
                                        std::unique_ptr<Order> order, std::atomic<u32>& attention) {
  if (!workshop.take(client, order, attention)) return make(*order);
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while ((attention.load() & hart::attention::kCode) == 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  const auto ready = workshop.collect(client);
  return ready.size() == 1 ? ready.front() : nullptr;
}

TEST(Workshop, MakesWhatIsOrderedAndTellsTheHart) {
  Workshop workshop;
  Workshop::Client client;
  std::atomic<u32> attention{0};
  const auto product = wait_for(workshop, client, order_of_loop(0), attention);
  ASSERT_NE(product, nullptr);
  EXPECT_TRUE(product->has_entry(0));
  EXPECT_TRUE(product->has_entry(4));
  workshop.forget(client);
}

TEST(Workshop, DoesNotMakeTwiceWhatIsReady) {
  Workshop workshop;
  Workshop::Client client;
  std::atomic<u32> attention{0};
  auto first = order_of_loop(0);
  ASSERT_TRUE(workshop.take(client, first, attention));
  while (attention.load() == 0) std::this_thread::yield();
  auto second = order_of_loop(4);
  (void)workshop.take(client, second, attention);
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(workshop.collect(client).size(), 1u);
  workshop.forget(client);
}

TEST(Workshop, GivesAnOldOrderForANewOne) {
  Workshop workshop(Bytes{kMiB});  // of several harts: nothing is refused
  Workshop::Client client;
  std::atomic<u32> attention{0};
  auto first = order_of_loop(0);
  const Order* const known = first.get();
  ASSERT_TRUE(workshop.take(client, first, attention));
  EXPECT_EQ(first, nullptr);
  while (attention.load() == 0) std::this_thread::yield();
  EXPECT_EQ(workshop.collect(client).size(), 1u);
  auto second = order_of_loop(4);
  ASSERT_TRUE(workshop.take(client, second, attention));
  ASSERT_EQ(second.get(), known);
  second->clear();
  EXPECT_FALSE(second->pages[0].wanted.any());
  workshop.forget(client);
}

// Whatever is under way when a hart ends, nothing of it is touched then; other harts' orders go on.
TEST(Workshop, AHartMayEndAtAnyTime) {
  Workshop workshop;
  Workshop::Client other;
  std::atomic<u32> others{0};
  for (int round = 0; round < 200; ++round) {
    Workshop::Client client;
    std::atomic<u32> attention{0};
    for (const u16 offset : {u16{0}, u16{4}, u16{0}}) {
      auto order = order_of_loop(offset);
      (void)workshop.take(client, order, attention);
    }
    auto order = order_of_loop(0);
    (void)workshop.take(other, order, others);
    workshop.forget(client);
    EXPECT_TRUE(workshop.collect(client).empty());
  }
  workshop.forget(other);
}

TEST(Product, IsOfAPageThatHasItsInstructionsWhateverElseIsThere) {
  const auto order = order_of_loop(0);
  const auto product = make(*order);
  const Material& material = product->materials[0];
  PageCopy page = order->pages[0].bytes;
  page[kPageSize - 1] = std::byte{1};
  EXPECT_TRUE(material.is_in(page.data()));
  page[5] = std::byte{1};
  EXPECT_FALSE(material.is_in(page.data()));
  material.copy_to(page);
  EXPECT_TRUE(material.is_in(page.data()));
}

}  // namespace
}  // namespace cloister::jit
