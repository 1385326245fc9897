// SPDX-License-Identifier: Apache-2.0
#include "cell/control_link.h"

#include <array>
#include <chrono>

#include "base/log.h"
#include "base/os/os_error.h"

namespace cloister::cell {
namespace {

using control::Message;

constexpr auto kReconnect = std::chrono::milliseconds(200);
constexpr int kMostAtOnce = 64;

}  // namespace

Result<std::unique_ptr<ControlLink>> ControlLink::connect(os::EventLoop& loop, std::string path,
                                                          Listener& listener) {
  std::unique_ptr<ControlLink> link(new ControlLink(loop, std::move(path), listener));
  TRY(link->open());
  return link;
}

ControlLink::~ControlLink() {
  loop_.cancel(retry_);
  if (open_) loop_.forget(stream_.fd().get());
}

Result<void> ControlLink::open() {
  auto stream = os::UnixStream::connect(path_, os::SocketKind::kPackets);
  if (!stream.ok()) {
    return os::os_error(fmt::format("cannot reach the daemon at '{}'", path_), stream.failure().number);
  }
  stream_ = stream.take();
  open_ = true;
  watch();
  waiting_.push_back(control::encode(listener_.greeting()));
  flush();
  return {};
}

void ControlLink::watch() {
  watching_writes_ = !waiting_.empty();
  const os::Ready interest = watching_writes_ ? os::Ready::kRead | os::Ready::kWrite : os::Ready::kRead;
  CHECK(loop_.watch(stream_.fd().get(), interest, [this](os::Ready) { on_ready(); }).ok());
}

void ControlLink::on_ready() {
  flush();
  for (int i = 0; i < kMostAtOnce && open_; ++i) {
    if (!read_one()) return;
  }
}

// A daemon that talks nonsense is no daemon of ours: the conversation is begun anew.
bool ControlLink::read_one() {
  std::array<std::byte, control::kMostBytes> bytes;
  auto count = stream_.receive(bytes);
  if (!count.ok() && os::would_block(count.failure())) return false;
  if (!count.ok() || count->bytes == 0) return lose(), false;
  const auto message = control::decode(std::span(bytes).first(count->bytes));
  const auto* welcome = message ? std::get_if<control::Welcome>(&*message) : nullptr;
  const bool greeted = welcome != nullptr && welcome->version == control::kVersion;
  if (!message || (!welcome_ && !greeted)) {
    log(LogLevel::kWarning, "the daemon does not speak version {} of the control channel", control::kVersion);
    return lose(), false;
  }
  welcome_ = ever_ = true;
  listener_.on_order(*message, std::move(count->passed));
  return true;
}

void ControlLink::send(const Message& message) {
  if (!open_ || !welcome_) return;
  if (waiting_.size() >= kMostWaiting) return lose();
  waiting_.push_back(control::encode(message));
  flush();
}

void ControlLink::flush() {
  std::size_t sent = 0;
  for (; open_ && sent < waiting_.size(); ++sent) {
    const auto written = stream_.write(waiting_[sent]);
    if (!written.ok() && os::would_block(written.failure())) break;
    if (!written.ok()) return;  // what is there to read, or its end, comes next
  }
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(sent));
  if (open_ && watching_writes_ != !waiting_.empty()) watch();
}

void ControlLink::send_at_the_end(const Message& message) {
  if (open_ && welcome_) (void)stream_.write(control::encode(message));
}

void ControlLink::lose() {
  if (!open_) return;
  loop_.forget(stream_.fd().get());
  stream_ = os::UnixStream();
  open_ = welcome_ = false;
  waiting_.clear();
  listener_.on_alone(ever_);
  retry_ = loop_.after(kReconnect, [this] { retry(); });
}

void ControlLink::retry() {
  if (!open().ok()) retry_ = loop_.after(kReconnect, [this] { retry(); });
}

}  // namespace cloister::cell
