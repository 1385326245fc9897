// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/os/event_loop.h"
#include "base/os/process.h"
#include "base/os/program.h"
#include "base/os/unix_socket.h"
#include "cell/control.h"
#include "host/host.h"

// Cells in the test's own process, behind real sockets: they speak the control channel and hold nothing but
// numbers.
namespace cloister::host::testing {

using cell::control::Message;

// An unwilling one gives nothing but by force, and a slow one then kSlowly pages at a time.
enum class Manner { kHonest, kSilent, kLying, kUnwilling, kSlow };
constexpr u64 kSlowly = 1000;

class FakeCell {
 public:
  FakeCell(os::EventLoop& loop, std::string path, u64 size, u64 min, Manner manner)
      : loop_(loop), path_(std::move(path)), size_(size), min_(min), manner_(manner) {
    auto ends = os::UnixStream::pair(os::SocketKind::kStream);
    CHECK(ends.ok());
    alive_ = std::move(ends->first);
    ended_ = std::move(ends->second);
    static u64 count = 0;
    id_ = {os::own_process(), ++count};
    connect();
  }
  ~FakeCell() { die(); }

  void die() {
    loop_.cancel(retry_);
    hang_up();
    alive_ = os::UnixStream();
    dead_ = true;
  }

  void connect() {
    if (dead_ || connected_) return;
    auto stream = os::UnixStream::connect(path_, os::SocketKind::kPackets);
    if (!stream.ok()) return try_again();
    stream_ = stream.take();
    connected_ = true;
    CHECK(loop_.watch(stream_.fd().get(), os::Ready::kRead, [this](os::Ready) { read(); }).ok());
    cell::control::Hello hello;
    hello.configured_pages = size_;
    hello.held_pages = manner_ == Manner::kLying && ever_ ? size_ * 2 : held_;
    say(hello);
  }

  void say(const Message& message) {
    if (connected_) (void)stream_.write(cell::control::encode(message));
  }
  void want(u64 pages) { say(cell::control::Want{pages, 1, 0}); }
  void give_back(u64 pages) {
    held_ -= pages;
    say(cell::control::Back{0, pages});
  }
  // Its guest touched `touched` of 100 pages, in a period that ends now.
  void report(u32 touched, const cell::control::Curve& curve = {}) {
    cell::control::Report report;
    report.sequence = ++reports_;
    report.period = reports_;
    report.used_pages = manner_ == Manner::kLying ? ~u64{0} / 2 : held_;
    report.last_sampled = report.sampled = 100;
    report.last_touched = report.touched = touched;
    report.curve = curve;
    say(report);
  }

  // Says nothing of its guest, but that it will be silent for so long.
  void rest(Nanos time) {
    cell::control::Report report;
    report.sequence = ++reports_;
    report.used_pages = held_;
    report.next_nanos = time.raw;
    say(report);
  }

  // Its guest's balloon gives frames up.
  void give_by_balloon(u64 pages) {
    give_back(pages);
    cell::control::Done done;
    done.by_way[static_cast<std::size_t>(cell::control::Way::kBalloon)] = pages;
    say(done);
  }

  // Hears what it is told, and a question for hashes that came before.
  void listen(std::function<void(const Message&)> listener) {
    listener_ = std::move(listener);
    if (unheard_) listener_(*unheard_);
  }

  u64 held() const { return held_; }
  const cell::control::Standing& standing() const { return standing_; }
  u64 size() const { return size_; }
  bool dead() const { return dead_; }
  bool welcome() const { return connected_ && welcome_; }
  bool still() const { return still_; }
  Manner manner() const { return manner_; }
  os::ProcessId id() const { return id_; }
  const os::Fd& ended() const { return ended_.fd(); }
  u64 below_min() const { return below_min_; }  // orders that would have taken what is reserved

 private:
  void read() {
    std::array<std::byte, cell::control::kMostBytes> bytes;
    while (connected_) {
      auto count = stream_.receive(bytes);
      if (!count.ok() && os::would_block(count.failure())) return;
      if (!count.ok() || count->bytes == 0) {
        hang_up();
        return try_again();
      }
      const auto message = cell::control::decode(std::span(bytes).first(count->bytes));
      CHECK(message.has_value());
      hear(*message);
    }
  }
  void hear(const Message& message) {
    using namespace cell::control;
    if (std::holds_alternative<Welcome>(message)) ever_ = welcome_ = true;
    if (const auto* grant = std::get_if<Grant>(&message)) held_ += grant->pages;
    if (const auto* still = std::get_if<Still>(&message)) still_ = still->on != 0;
    if (const auto* standing = std::get_if<Standing>(&message)) standing_ = *standing;
    if (const auto* power = std::get_if<Power>(&message);
        power != nullptr && power->what == PowerOrder::kStop) {
      Ended ended;
      set_text(ended.reason, "it was told to");
      say(ended);
      die();
    }
    if (const auto* reclaim = std::get_if<Reclaim>(&message)) obey(*reclaim);
    if (listener_) listener_(message);
    if (!listener_ && std::holds_alternative<HashPages>(message)) unheard_ = message;
    if (const auto* ping = std::get_if<Ping>(&message); ping != nullptr && manner_ != Manner::kSilent)
      say(Pong{ping->serial});
  }
  void obey(const cell::control::Reclaim& order) {
    if (manner_ == Manner::kSilent) return;
    cell::control::Done done;
    done.order = order.order;
    if (order.keep == 0) {
      if (order.least_pages < min_) ++below_min_;
      const bool gives = manner_ < Manner::kUnwilling || order.ways == cell::control::kEveryWay;
      const u64 most = gives ? std::min(order.pages, held_ - std::min(held_, order.least_pages)) : 0;
      const u64 pages = manner_ == Manner::kSlow ? std::min(most, kSlowly) : most;
      held_ -= pages;
      done.by_way[0] = pages;
      say(cell::control::Back{order.order, manner_ == Manner::kLying ? pages + size_ * 3 : pages});
      if (manner_ == Manner::kLying) held_ += pages;
    }
    say(done);
  }
  void hang_up() {
    if (connected_) loop_.forget(stream_.fd().get());
    stream_ = os::UnixStream();
    connected_ = welcome_ = false;
  }
  // As the real one: before its first welcome it gives up.
  void try_again() {
    if (!ever_) return die();
    retry_ = loop_.after(std::chrono::milliseconds(3), [this] { connect(); });
  }

  os::EventLoop& loop_;
  const std::string path_;
  const u64 size_, min_;
  const Manner manner_;
  os::ProcessId id_;
  os::UnixStream alive_, ended_, stream_;
  os::EventLoop::TimerId retry_ = 0;
  bool connected_ = false, welcome_ = false, ever_ = false, dead_ = false, still_ = false;
  u64 held_ = 0, reports_ = 0, below_min_ = 0;
  cell::control::Standing standing_;
  std::function<void(const Message&)> listener_;
  std::optional<Message> unheard_;
};

class FakeProcess final : public CellProcess {
 public:
  explicit FakeProcess(std::shared_ptr<FakeCell> cell)
      : cell_(std::move(cell)), fd_(cell_->ended().duplicate()) {}
  os::ProcessId id() const override { return cell_->id(); }
  const os::Fd& fd() const override { return fd_; }
  void kill() override { cell_->die(); }
  os::ProcessEnd end() override { return {os::ProcessEnd::How::kSignal, 9}; }
  std::optional<os::ProcessMemory> memory() const override {
    return os::ProcessMemory{bytes_of(Pages{cell_->held()}) + Bytes{4 * kMiB + 64 * kKiB}, Bytes{kMiB}};
  }
  std::optional<Bytes> mapped_in_parts() const override { return Bytes{kMiB}; }

 private:
  std::shared_ptr<FakeCell> cell_;
  os::Fd fd_;
};

// They outlive the daemon, as cells do.
class FakeCells final : public CellStarter {
 public:
  FakeCells(os::EventLoop& loop, const Records& records) : loop_(loop), records_(records) {}

  Result<std::unique_ptr<CellProcess>> start(const MachineOrder& order, Bytes) override {
    if (refuse) return error("no process can be made");
    auto cell = std::make_shared<FakeCell>(loop_, records_.control_path(order.name), order.size().raw,
                                           order.terms.policy.min.raw, manner);
    cells[order.name] = cell;
    return std::unique_ptr<CellProcess>(new FakeProcess(cell));
  }
  Result<std::unique_ptr<CellProcess>> find(os::ProcessId id) override {
    for (const auto& [name, cell] : cells) {
      if (cell->id() == id && !cell->dead()) return std::unique_ptr<CellProcess>(new FakeProcess(cell));
    }
    return error("process {} has ended", id.number);
  }
  std::string last_words(const std::string&) override { return ""; }

  std::map<std::string, std::shared_ptr<FakeCell>> cells;
  Manner manner = Manner::kHonest;  // of the next one
  bool refuse = false;

 private:
  os::EventLoop& loop_;
  const Records& records_;
};

}  // namespace cloister::host::testing
