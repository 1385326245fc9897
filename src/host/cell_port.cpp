// SPDX-License-Identifier: Apache-2.0
#include "host/cell_port.h"

#include <array>
#include <cerrno>
#include <utility>

#include "base/log.h"

namespace cloister::host {
namespace {

using cell::control::Message;

// Bound: so many messages of one cell before the loop looks at the others.
constexpr int kMostAtOnce = 64;

template <typename... Types>
bool is_one_of(const Message& message) {
  return (std::holds_alternative<Types>(message) || ...);
}

bool comes_from_cells(const Message& message) {
  using namespace cell::control;
  return is_one_of<Hello, Want, Back, Done, Report, Ended, Hashes, Content, Unshared, Pong>(message);
}

}  // namespace

CellPort::CellPort(os::EventLoop& loop, os::UnixStream stream, Listener& listener)
    : loop_(loop), stream_(std::move(stream)), listener_(listener) {
  watch();
}

CellPort::~CellPort() {
  *self_ = nullptr;
  loop_.forget(stream_.fd().get());
}

void CellPort::watch() {
  watching_writes_ = !waiting_.empty();
  const os::Ready interest = watching_writes_ ? os::Ready::kRead | os::Ready::kWrite : os::Ready::kRead;
  const auto watched = loop_.watch(stream_.fd().get(), interest, [this](os::Ready) { on_ready(); });
  if (!watched.ok()) close_soon(watched.failure().message);
}

void CellPort::on_ready() {
  if (!closing_.empty()) return;
  flush();
  for (int i = 0; i < kMostAtOnce; ++i) {
    if (!read_one()) return;
  }
}

bool CellPort::read_one() {
  std::array<std::byte, cell::control::kMostBytes> bytes;
  const auto count = stream_.receive(bytes);
  if (!count.ok() && os::would_block(count.failure())) return false;
  if (!count.ok() || count->bytes == 0) {
    close("the cell closed its end");
    return false;
  }
  const auto message = cell::control::decode(std::span(bytes).first(count->bytes));
  if (!message || !comes_from_cells(*message)) {
    close("the cell sent what is no message of this version");
    return false;
  }
  const auto self = self_;
  listener_.on_message(*message);
  return *self != nullptr && closing_.empty();
}

os::Attempt<u64> CellPort::write(const Packet& packet) const {
  return packet.passed.valid() ? stream_.send(packet.bytes, packet.passed) : stream_.write(packet.bytes);
}

void CellPort::flush() {
  while (!waiting_.empty()) {
    const auto written = write(waiting_.front());
    if (!written.ok() && os::would_block(written.failure())) break;
    if (!written.ok()) return close_soon("the cell cannot be written to any more");
    waiting_.pop_front();
  }
  if (watching_writes_ != !waiting_.empty()) watch();
}

void CellPort::send(const Message& message) { send(message, os::Fd()); }

void CellPort::send(const Message& message, const os::Fd& passed) {
  if (!closing_.empty()) return;
  if (waiting_.size() >= kMostWaiting) return close_soon("the cell does not read what it is told");
  waiting_.push_back({cell::control::encode(message), passed.duplicate()});
  flush();
}

void CellPort::close_soon(std::string why) {
  if (!closing_.empty()) return;
  closing_ = std::move(why);
  loop_.forget(stream_.fd().get());
  loop_.post([self = self_] {
    if (*self != nullptr) (*self)->listener_.on_closed((*self)->closing_);
  });
}

void CellPort::close(const std::string& why) {
  loop_.forget(stream_.fd().get());
  if (closing_.empty()) closing_ = why;
  listener_.on_closed(closing_);
}

}  // namespace cloister::host
