// SPDX-License-Identifier: Apache-2.0
#include "host/cell.h"

#include <filesystem>

#include "base/log.h"
#include "base/os/clock.h"
#include "base/os/inode.h"
#include "base/os/os_error.h"
#include "base/os/users.h"

namespace cloister::host {

using cell::control::Hello;
using cell::control::Message;
using cell::control::PowerOrder;

std::string_view name_of(CellState state) {
  switch (state) {
    case CellState::kStopped:
      return "stopped";
    case CellState::kStarting:
      return "starting";
    case CellState::kRunning:
      return "running";
    case CellState::kPaused:
      return "paused";
    case CellState::kStopping:
      return "stopping";
    case CellState::kAway:
      return "away";
  }
  return "";
}

namespace {

// A cell that runs already as another user owns the folder: it must be able to come back.
Result<void> let_in_the_owner_of_the_folder(const std::string& path) {
  if (os::file_owner().user != 0) return {};
  const auto folder = TRY(os::Inode::open_folder(std::filesystem::path(path).parent_path()));
  const auto status = folder.status();
  if (!status.ok()) return os::os_error(fmt::format("cannot look at '{}'", path), status.failure().number);
  return os::give_to(path, os::Owner{status->owner, status->group});
}

}  // namespace

Cell::~Cell() {
  port_.reset();
  if (listener_) loop_.forget(listener_->fd().get());
  if (process_) loop_.forget(process_->fd().get());
}

Result<void> Cell::listen(const std::string& path) {
  listener_.emplace(TRY(os::UnixListener::listen(path, os::SocketKind::kPackets)));
  TRY(let_in_the_owner_of_the_folder(path));
  return loop_.watch(listener_->fd().get(), os::Ready::kRead, [this](os::Ready) { on_connection(); });
}

Result<void> Cell::attach(std::unique_ptr<CellProcess> process, CellState state) {
  CHECK(!process_ && (state == CellState::kStarting || state == CellState::kAway));
  process_ = std::move(process);
  state_ = state;
  heard_ = os::monotonic_now();
  return loop_.watch(process_->fd().get(), os::Ready::kRead, [this](os::Ready) { on_process_end(); });
}

// Who is at the other end is the host kernel's word: nobody else can take this cell's place. A new
// connection of the right process replaces the old one, which it has closed without our hearing yet.
void Cell::on_connection() {
  auto stream = listener_->accept();
  if (!stream.ok()) return;
  const auto peer = stream->peer();
  if (!process_ || !peer.ok() || peer->process != process_->id().number) {
    log(LogLevel::kWarning, "{}: a process that is not its cell came to its control socket", name());
    return;
  }
  registered_ = false;
  CellPort::Listener& listener = *this;
  port_ = std::make_unique<CellPort>(loop_, stream.take(), listener);
}

void Cell::on_message(const Message& message) {
  heard_ = os::monotonic_now();
  if (const auto* hello = std::get_if<Hello>(&message)) return on_hello(*hello);
  if (!registered_) return cut("it spoke before it had said what it is");
  owner_.cell_said(*this, message);
}

void Cell::on_hello(const Hello& hello) {
  if (hello.version != cell::control::kVersion) {
    return cut(fmt::format("it speaks version {} of the control channel and this daemon {}", hello.version,
                           cell::control::kVersion));
  }
  if (registered_ || hello.configured_pages != order_.size().raw) return cut("its greeting makes no sense");
  registered_ = true;
  if (state_ != CellState::kStopping) state_ = hello.paused != 0 ? CellState::kPaused : CellState::kRunning;
  owner_.cell_registered(*this, hello);
}

void Cell::on_closed(std::string why) {
  port_.reset();
  const bool known = std::exchange(registered_, false);
  if (state_ == CellState::kRunning || state_ == CellState::kPaused) state_ = CellState::kAway;
  if (known) owner_.cell_lost(*this, why);
}

void Cell::cut(const std::string& why) {
  if (!port_) return;
  log(LogLevel::kWarning, "{}: the channel to its cell was cut: {}", name(), why);
  on_closed(why);
}

void Cell::send(const Message& message) {
  if (connected()) port_->send(message);
}
void Cell::send(const Message& message, const os::Fd& passed) {
  if (connected()) port_->send(message, passed);
}

void Cell::order_power(PowerOrder what) {
  send(cell::control::Power{what, 0});
  if (what == PowerOrder::kStop) state_ = CellState::kStopping;
  if (!connected()) return;
  if (what == PowerOrder::kPause && state_ == CellState::kRunning) state_ = CellState::kPaused;
  if (what == PowerOrder::kResume && state_ == CellState::kPaused) state_ = CellState::kRunning;
}

void Cell::kill() {
  if (process_) process_->kill();
}

void Cell::on_process_end() {
  const os::ProcessEnd end = process_->end();
  // Its last message may still wait to be read.
  while (port_ && port_->read_rest()) {
  }
  release();
  owner_.cell_ended(*this, end);
}

void Cell::release() {
  port_.reset();
  registered_ = false;
  if (listener_) loop_.forget(listener_->fd().get());
  listener_.reset();
  loop_.forget(process_->fd().get());
  process_.reset();
  state_ = CellState::kStopped;
}

}  // namespace cloister::host
