// SPDX-License-Identifier: Apache-2.0
// The condition's port and the balloon's, with guest programs that say anything, in pieces of any size, read
// or do not, and go.
#include <algorithm>
#include <cstring>
#include <memory>
#include <vector>

#include "base/check.h"
#include "cell/balloon_port.h"
#include "cell/condition_port.h"
#include "device/virtio/testing/hostile_driver.h"

namespace cloister::cell {
namespace {

using device::virtio::testing::FuzzInput;

constexpr std::size_t kMostPrograms = 40;  // more than the balloon's port serves

// The guest's end of a conversation.
class Program {
 public:
  enum class At : u8 { kCondition, kBalloon };
  Program(At port, os::UnixStream stream) : port_(port), stream_(std::move(stream)) {}

  bool has_said_all(u64 most) const { return said_.size() > most; }
  void say(std::span<const std::byte> bytes) { said_.insert(said_.end(), bytes.begin(), bytes.end()); }
  // A part of what it has to say.
  void send(std::size_t most) {
    const auto sent = stream_.write(std::span(said_).first(std::min(most, said_.size())));
    if (sent.ok()) said_.erase(said_.begin(), said_.begin() + static_cast<std::ptrdiff_t>(*sent));
  }
  // What it is told are whole records, each of the kind and size that belong there.
  void read() {
    std::vector<std::byte> some(700);
    const auto got = stream_.read(some);
    if (!got.ok()) return;
    heard_.insert(heard_.end(), some.begin(), some.begin() + static_cast<std::ptrdiff_t>(*got));
    while (take_record()) continue;
  }

 private:
  bool take_record() {
    cloister_record head;
    if (heard_.size() < sizeof head) return false;
    std::memcpy(&head, heard_.data(), sizeof head);
    const bool condition = port_ == At::kCondition;
    CHECK(head.kind == u32{condition ? CLOISTER_RECORD_CONDITION : CLOISTER_RECORD_BALLOON_ORDER});
    CHECK(head.size == (condition ? sizeof(cloister_condition) : sizeof(cloister_balloon_order)));
    if (heard_.size() < sizeof head + head.size) return false;
    if (!condition) {
      cloister_balloon_order order;
      std::memcpy(&order, heard_.data() + sizeof head, sizeof order);
      CHECK(order.serial > serial_ && order.target % kPageSize == 0);
      serial_ = order.serial;
    }
    heard_.erase(heard_.begin(), heard_.begin() + static_cast<std::ptrdiff_t>(sizeof head + head.size));
    return true;
  }

  At port_;
  os::UnixStream stream_;
  std::vector<std::byte> said_, heard_;
  u64 serial_ = 0;
};

class Scene {
 public:
  void run(FuzzInput& input) {
    while (!input.empty()) {
      step(input);
      turn();
      check();
    }
  }

 private:
  void step(FuzzInput& input) {
    switch (input.below(10)) {
      case 0:
      case 1:
        return join(input);
      case 2:
        return balloon_.order({input.take<u64>(), input.take<u64>(), input.take<u64>()});
      case 3:
        record_.release = input.take<u64>();
        return input.below(2) == 0 ? condition_.tell(record_) : condition_.renew(record_);
      case 4:
        if (!programs_.empty()) programs_.erase(programs_.begin() + one(input));
        return;
      case 5:
        if (!programs_.empty()) programs_[one(input)].read();
        return;
      default:
        if (!programs_.empty()) speak(programs_[one(input)], input);
    }
  }
  u8 one(FuzzInput& input) { return static_cast<u8>(input.below(static_cast<u32>(programs_.size()))); }

  void join(FuzzInput& input) {
    if (programs_.size() >= kMostPrograms) return;
    auto [ours, theirs] = os::UnixStream::pair(os::SocketKind::kStream).take();
    const bool condition = input.below(4) == 0;
    condition ? condition_.accept(std::move(theirs)) : balloon_.accept(std::move(theirs));
    programs_.emplace_back(condition ? Program::At::kCondition : Program::At::kBalloon, std::move(ours));
    if (input.below(4) != 0) speak(programs_.back(), input);
  }

  // Records most of which make sense, and a part of them sent.
  static void speak(Program& program, FuzzInput& input) {
    switch (program.has_said_all(4096) ? 3 : input.below(8)) {
      case 0:
        program.say(input.bytes(input.below(100)));
        break;
      case 1:
      case 2: {
        cloister_balloon_hello hello{};
        hello.most = input.take<u64>();
        say(program, CLOISTER_RECORD_BALLOON_HELLO, hello, input);
        break;
      }
      case 3:
        break;
      default:
        say(program, CLOISTER_RECORD_BALLOON_STATE, input.take<cloister_balloon_state>(), input);
    }
    program.send(input.below(8) == 0 ? input.below(60) : 4096);
  }
  template <typename T>
  static void say(Program& program, u32 kind, const T& body, FuzzInput& input) {
    const bool wrong = input.below(32) == 0;
    const cloister_record head{wrong ? input.take<u32>() : kind,
                               wrong ? input.take<u32>() : u32{sizeof body}};
    program.say(std::as_bytes(std::span(&head, 1)));
    program.say(std::as_bytes(std::span(&body, 1)));
  }

  void turn() {
    loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
    loop_->run();
  }
  void check() const {
    const BalloonPort::Figures figures = balloon_.figures();
    CHECK(figures.applications <= BalloonPort::kMostClients);
    CHECK(condition_.clients() <= ConditionPort::kMostClients);
    CHECK(figures.applications != 0 || (figures.held == 0 && figures.most == 0));
    CHECK(!figures.spent || figures.settled);
  }

  std::unique_ptr<os::EventLoop> loop_ = os::EventLoop::create().take();
  cloister_condition record_{};
  ConditionPort condition_{*loop_};
  BalloonPort balloon_{*loop_, [] {}};
  std::vector<Program> programs_;
};

}  // namespace
}  // namespace cloister::cell

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  cloister::device::virtio::testing::FuzzInput input(data, size);
  cloister::cell::Scene().run(input);
  return 0;
}
