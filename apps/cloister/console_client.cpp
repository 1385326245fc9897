// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstdio>

#include "base/os/event_loop.h"
#include "base/os/os_error.h"
#include "base/os/standard_streams.h"
#include "base/os/terminal.h"
#include "base/os/unix_socket.h"
#include "cell/console.h"
#include "daemon_verbs.h"

namespace cloister::client {
namespace {

class ConsoleSession {
 public:
  ConsoleSession(os::EventLoop& loop, os::UnixStream stream) : loop_(loop), stream_(std::move(stream)) {}

  Result<void> begin() {
    TRY(loop_.watch(stream_.fd().get(), os::Ready::kRead, [this](os::Ready) { show(); }));
    // A file that was redirected here cannot be watched and is always ready.
    if (!loop_.watch(os::kStandardInput, os::Ready::kRead, [this](os::Ready) { type(); }).ok()) type_all();
    return {};
  }

 private:
  void show() {
    std::array<std::byte, 16384> bytes;
    const auto count = stream_.read(bytes);
    if (!count.ok() && os::would_block(count.failure())) return;
    if (!count.ok() || *count == 0) return loop_.stop();
    os::write_standard_output(std::span(bytes).first(*count));
  }

  bool type() {
    std::array<std::byte, 4096> typed;
    const std::size_t count = os::read_standard_input(typed);
    if (count == 0) {
      loop_.forget(os::kStandardInput);
      return false;
    }
    send(filter_.pass(std::span(typed).first(count), [this](cell::Command command) { obey(command); }));
    return true;
  }
  void type_all() {
    if (type()) loop_.post([this] { type_all(); });
  }

  // The cell reads as fast as its guest does; a person types slowly, and a script has to wait anyway.
  void send(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const auto written = stream_.write(bytes);
      if (written.ok()) bytes = bytes.subspan(*written);
      if (!written.ok() && !os::would_block(written.failure())) return loop_.stop();
    }
  }

  void obey(cell::Command command) {
    if (command == cell::Command::kQuit) return loop_.stop();
    std::fputs("\r\nCtrl-A x  leave the console\r\nCtrl-A h  this help\r\nCtrl-A Ctrl-A  send Ctrl-A\r\n",
               stderr);
  }

  os::EventLoop& loop_;
  os::UnixStream stream_;
  cell::EscapeFilter filter_;
};

Result<void> attach(const std::string& path) {
  auto stream = os::UnixStream::connect(path);
  if (!stream.ok()) {
    return os::os_error(fmt::format("the console '{}' cannot be reached: does the machine run?", path),
                        stream.failure().number);
  }
  const auto loop = TRY(os::EventLoop::create());
  const os::RawTerminal raw(os::kStandardInput);
  ConsoleSession session(*loop, stream.take());
  TRY(session.begin());
  loop->run();
  return {};
}

}  // namespace

ExitStatus attach_console(const std::string& path) {
  const auto done = attach(path);
  if (done.ok()) return kDone;
  std::fprintf(stderr, "cloister: %s\n", done.failure().message.c_str());
  return kRefused;
}

}  // namespace cloister::client
