// SPDX-License-Identifier: Apache-2.0
#include <deque>

#include "base/log.h"
#include "device/virtio/net/net.h"
#include "device/virtio/testing/hostile_driver.h"

namespace cloister::device::virtio::net {
namespace {

constexpr u32 kReceive = 0, kTransmit = 1;
constexpr size_t kLongestQueue = 64;

// Sends back what it gets, and keeps a bounded number of frames that the card refuses.
class EchoBackend final : public NetBackend {
 public:
  void connect(Card& card) override { card_ = &card; }
  void send(std::span<const std::byte> frame) override {
    CHECK(frame.size() >= 14 && frame.size() <= 9018);
    offer({frame.begin(), frame.end()});
  }
  void send_done() override { card_->receive_done(); }
  void room() override {
    while (!kept_.empty() && card_->receive(kept_.front())) kept_.pop_front();
    card_->receive_done();
  }
  void offer(std::vector<std::byte> frame) {
    if (kept_.empty() && card_->receive(frame)) return;
    if (kept_.size() < kLongestQueue) kept_.push_back(std::move(frame));
  }

 private:
  Card* card_ = nullptr;
  std::deque<std::vector<std::byte>> kept_;
};

void run(testing::FuzzInput input) {
  const auto loop = os::EventLoop::create().take();
  EchoBackend backend;
  Net card(*loop, backend, {.mtu = 9000});
  testing::Guest guest(card);
  testing::HostileDriver driver(guest, 2, card.features());
  driver.start(input);
  while (!input.empty()) {
    switch (input.below(8)) {
      case 0:
        driver.misbehave(input);
        break;
      case 1:
        backend.offer(input.bytes(input.below(10'000)));
        backend.send_done();
        break;
      case 2:
      case 3:
        driver.submit(kReceive, {}, input.below(4096), input);
        break;
      default:
        driver.submit(kTransmit, input.bytes(input.below(128)), input.below(2), input);
        break;
    }
    loop->stop();
    loop->run();
  }
}

}  // namespace
}  // namespace cloister::device::virtio::net

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  cloister::set_log_level(cloister::LogLevel::kError);
  cloister::device::virtio::net::run({data, size});
  return 0;
}
