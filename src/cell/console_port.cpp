// SPDX-License-Identifier: Apache-2.0
#include "cell/console_port.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/log.h"

namespace cloister::cell {
namespace {

constexpr auto kRetry = std::chrono::milliseconds(5);

void take_front(std::vector<std::byte>& bytes, std::size_t count) {
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace

Result<void> ConsoleLog::begin() {
  const u64 first = TRY(files_[0].size()).raw;
  const u64 second = TRY(files_[1].size()).raw;
  current_ = first < kMostEach || second >= kMostEach ? 0 : 1;
  size_ = current_ == 0 ? first : second;
  if (size_ >= kMostEach) {
    TRY(files_[current_].resize(Bytes{0}));
    size_ = 0;
  }
  return {};
}

void ConsoleLog::write(std::span<const std::byte> bytes) {
  if (size_ + bytes.size() > kMostEach) {
    current_ = 1 - current_;
    size_ = 0;
    if (!files_[current_].resize(Bytes{0}).ok()) return;
  }
  // A disk that is full costs the log, not the guest.
  if (files_[current_].write_at(size_, bytes).ok()) size_ += bytes.size();
}

Result<void> ConsolePort::serve(os::EventLoop& loop, os::Fd listener,
                                std::function<std::size_t(std::span<const std::byte>)> type) {
  TRY(log_.begin());
  loop_ = &loop;
  listener_ = std::move(listener);
  type_ = std::move(type);
  return loop.watch(listener_.get(), os::Ready::kRead, [this](os::Ready) { accept(); });
}

void ConsolePort::write(std::span<const std::byte> bytes) {
  bool post = false;
  {
    MutexLock lock(mutex_);
    const std::size_t room = kMostWaiting - std::min(printed_.size(), kMostWaiting);
    const auto part = bytes.first(std::min(bytes.size(), room));
    printed_.insert(printed_.end(), part.begin(), part.end());
    post = loop_ != nullptr && !std::exchange(posted_, true);
  }
  if (post) loop_->post([this] { show(); });
}

void ConsolePort::show() {
  std::vector<std::byte> printed;
  {
    MutexLock lock(mutex_);
    printed.swap(printed_);
    posted_ = false;
  }
  log_.write(printed);
  std::vector<int> ids;
  for (auto& [id, client] : clients_) {
    const std::size_t room = kMostWaiting - std::min(client.unread.size(), kMostWaiting);
    const std::size_t part = std::min(printed.size(), room);
    client.unread.insert(client.unread.end(), printed.begin(),
                         printed.begin() + static_cast<std::ptrdiff_t>(part));
    ids.push_back(id);
  }
  for (const int id : ids) push(id);
}

void ConsolePort::finish() {
  show();
  loop_->forget(listener_.get());
  for (const auto& [id, client] : clients_) loop_->forget(id);
  clients_.clear();
}

void ConsolePort::accept() {
  auto stream = os::UnixListener::accept_from(listener_);
  if (!stream.ok() || clients_.size() >= kMostClients) return;
  const int id = stream->fd().get();
  clients_[id].stream = stream.take();
  push(id);
}

// Writes what waits, and waits for what cannot be written. A client whose typing the guest has no room for is
// not read meanwhile.
void ConsolePort::push(int id) {
  Client& client = clients_.at(id);
  while (!client.unread.empty()) {
    const auto written = client.stream.write(client.unread);
    if (!written.ok() && os::would_block(written.failure())) break;
    if (!written.ok()) return drop(id);
    take_front(client.unread, *written);
  }
  os::Ready interest = client.unread.empty() ? os::Ready::kNone : os::Ready::kWrite;
  if (client.typed.empty()) interest = interest | os::Ready::kRead;
  if (!loop_->watch(id, interest, [this, id](os::Ready ready) { on_client(id, ready); }).ok()) drop(id);
}

void ConsolePort::on_client(int id, os::Ready) {
  Client& client = clients_.at(id);
  if (!client.typed.empty()) return push(id);
  std::array<std::byte, 4096> typed;
  const auto count = client.stream.read(typed);
  if (!count.ok() && os::would_block(count.failure())) return push(id);
  if (!count.ok() || *count == 0) return drop(id);
  client.typed.assign(typed.begin(), typed.begin() + static_cast<std::ptrdiff_t>(*count));
  deliver(id);
}

void ConsolePort::deliver(int id) {
  const auto found = clients_.find(id);
  if (found == clients_.end() || found->second.typed.empty()) return;
  take_front(found->second.typed, type_(found->second.typed));
  if (!found->second.typed.empty()) loop_->after(kRetry, [this, id] { deliver(id); });
  push(id);
}

void ConsolePort::drop(int id) {
  loop_->forget(id);
  clients_.erase(id);
}

}  // namespace cloister::cell
