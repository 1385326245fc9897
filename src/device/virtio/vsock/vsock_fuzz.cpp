// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/log.h"
#include "device/virtio/testing/hostile_driver.h"
#include "device/virtio/vsock/vsock.h"

namespace cloister::device::virtio::vsock {
namespace {

constexpr u32 kReceive = 0, kTransmit = 1, kEvent = 2;
constexpr size_t kMostCallers = 16;

// A temporary folder, removed at the end.
class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "cloister-fuzz-XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  std::string socket() const { return path_ / "vsock"; }

 private:
  std::filesystem::path path_;
};

// The device, a hostile guest in front of it and some programs behind.
class Scene {
 public:
  explicit Scene(const std::string& path)
      : device_(Vsock::create(*loop_, {.path = path}).take()),
        guest_(*device_),
        driver_(guest_, 3, device_->features()),
        path_(path),
        listener_(os::UnixListener::listen(path + "_1").take()) {}

  void run(testing::FuzzInput& input) {
    driver_.start(input);
    while (!input.empty()) {
      step(input);
      turn();
    }
  }

 private:
  void step(testing::FuzzInput& input) {
    switch (input.below(12)) {
      case 0:
        return driver_.misbehave(input);
      case 1:
        return call(input);
      case 2:
        return use_programs(input);
      case 3:
        if (auto accepted = listener_.accept(); accepted.ok()) programs_.push_back(accepted.take());
        return;
      case 4:
        return input.below(4) == 0 ? device_->disconnect_all() : driver_.submit(kEvent, {}, 8, input);
      case 5:
      case 6:
        return driver_.submit(kReceive, {}, input.below(5000), input);
      default:
        return send_packet(input);
    }
  }

  // A header most of which makes sense.
  void send_packet(testing::FuzzInput& input) {
    const auto payload = input.bytes(input.below(200));
    Header header;
    header.source_cid = input.below(16) == 0 ? input.take<u64>() : 3;
    header.destination_cid = input.below(16) == 0 ? input.take<u64>() : kHostCid;
    header.source_port = input.below(4);
    header.destination_port = input.below(2) == 0 ? (1u << 30) + input.below(16) : input.below(3);
    header.length = input.below(8) == 0 ? input.take<u32>() : static_cast<u32>(payload.size());
    header.type = input.below(16) == 0 ? input.take<u16>() : kStreamType;
    header.operation = static_cast<u16>(input.below(9));
    header.flags = input.below(4);
    header.buffer_size = input.below(4) == 0 ? input.take<u32>() : 64 * 1024;
    header.forwarded = input.below(4) == 0 ? input.take<u32>() : 0;
    std::vector<std::byte> all(sizeof header);
    std::memcpy(all.data(), &header, sizeof header);
    all.insert(all.end(), payload.begin(), payload.end());
    driver_.submit(kTransmit, all, 0, input);
  }

  void call(testing::FuzzInput& input) {
    auto caller = os::UnixStream::connect(path_);
    if (!caller.ok()) return;
    const std::string line = fmt::format("CONNECT {}\n", input.below(4));
    (void)caller->write(std::as_bytes(std::span(line)).first(line.size() - input.below(2)));
    programs_.push_back(caller.take());
  }

  void use_programs(testing::FuzzInput& input) {
    if (programs_.size() > kMostCallers) programs_.erase(programs_.begin());
    if (programs_.empty()) return;
    const u32 which = input.below(static_cast<u32>(programs_.size()));
    const os::UnixStream& program = programs_[which];
    std::vector<std::byte> bytes(input.below(10'000));
    switch (input.below(4)) {
      case 0:
        return void(program.read(bytes));
      case 1:
        return void(program.write(bytes));
      case 2:
        return program.shut(input.below(2) == 0 ? os::UnixStream::Half::kRead : os::UnixStream::Half::kWrite);
      default:
        programs_.erase(programs_.begin() + which);
    }
  }

  void turn() {
    loop_->post([this] { loop_->post([this] { loop_->stop(); }); });
    loop_->run();
  }

  std::unique_ptr<os::EventLoop> loop_ = os::EventLoop::create().take();
  std::unique_ptr<Vsock> device_;
  testing::Guest guest_;
  testing::HostileDriver driver_;
  const std::string path_;
  os::UnixListener listener_;
  std::vector<os::UnixStream> programs_;
};

}  // namespace
}  // namespace cloister::device::virtio::vsock

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cloister::device::virtio;
  cloister::set_log_level(cloister::LogLevel::kError);
  static const vsock::Folder folder;
  testing::FuzzInput input(data, size);
  vsock::Scene(folder.socket()).run(input);
  return 0;
}
