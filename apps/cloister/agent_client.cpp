// SPDX-License-Identifier: Apache-2.0
#include "agent_client.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>

#include "base/os/event_loop.h"
#include "base/os/file.h"
#include "base/os/os_error.h"
#include "base/os/signals.h"
#include "base/os/standard_streams.h"
#include "base/os/terminal.h"
#include "base/os/unix_socket.h"
#include "cell/record_stream.h"

namespace cloister::client {
namespace {

using cell::Record;

constexpr std::size_t kPiece = 32768;
// Bound: so much of the input waits for a guest that does not read.
constexpr std::size_t kMostWaiting = 256 * kKiB;
constexpr std::chrono::milliseconds kLookAtWindow{250};
constexpr std::size_t kLongestLine = 32;
constexpr int kInterrupt = 2;

std::vector<std::byte> bytes_of_text(const std::string& text) {
  const auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

template <typename T>
void append(std::vector<std::byte>& to, const T& value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

void append_text(std::vector<std::byte>& to, const std::string& text) {
  const auto bytes = std::as_bytes(std::span(text.c_str(), text.size() + 1));
  to.insert(to.end(), bytes.begin(), bytes.end());
}

// -- The conversation -------------------------------------------------------------------------------------

// One request to the agent, to its end. Calls what it is given for what comes; sends what is asked of it.
class Talk {
 public:
  using Output = std::function<bool(u32 kind, std::span<const std::byte> bytes)>;  // false: no use to go on
  Talk(os::EventLoop& loop, os::UnixStream stream, Output output)
      : loop_(loop), stream_(std::move(stream), CLOISTER_RECORD_MOST), output_(std::move(output)) {}

  Result<void> begin(u32 kind, std::span<const std::byte> body) {
    const std::string line = fmt::format("CONNECT {}\n", u32{CLOISTER_PORT_AGENT});
    const auto sent = stream_.stream().write(std::as_bytes(std::span(line)));
    if (!sent.ok() || *sent != line.size()) return error("the machine does not take connections");
    stream_.put(kind, body);
    watch();
    return {};
  }
  void say(u32 kind, std::span<const std::byte> body) {
    stream_.put(kind, body);
    if (connected_) flush();
  }
  bool has_room() const { return stream_.waiting() < kMostWaiting; }
  // Called when there is room again.
  void set_thirsty(std::function<void()> thirsty) { thirsty_ = std::move(thirsty); }
  // Nothing when the conversation broke; then failure() says why.
  std::optional<cloister_exit> end() const { return end_; }
  const std::string& failure() const { return failure_; }
  void fail(std::string why) {
    if (failure_.empty()) failure_ = std::move(why);
    loop_.stop();
  }

 private:
  void watch() {
    const bool writes = connected_ && stream_.waiting() != 0;
    const auto interest = writes ? os::Ready::kRead | os::Ready::kWrite : os::Ready::kRead;
    if (!loop_.watch(stream_.fd(), interest, [this](os::Ready) { ready(); }).ok())
      fail("it cannot be waited for");
  }
  // Who has more to say is not asked here: saying it comes here again.
  void flush() {
    if (!stream_.flush()) return;  // what was said before that is there to read
    watch();
  }
  void ready() {
    if (!connected_ && !read_line()) return;
    if (!connected_) return;
    const bool more = stream_.read();
    while (auto record = stream_.next()) {
      if (take(*record)) return;
    }
    if (!more || !stream_.sound()) return fail("the agent in the guest broke off");
    flush();
    if (has_room() && thirsty_) thirsty_();
  }
  // "OK <port>\n" comes before the records.
  bool read_line() {
    for (std::byte next{}; line_.size() < kLongestLine && !line_.ends_with('\n');) {
      const auto got = stream_.stream().read(std::span(&next, 1));
      if (!got.ok() && os::would_block(got.failure())) return true;
      if (!got.ok() || *got == 0)
        return fail("no agent answers there: does cloister-agent run in it?"), false;
      line_.push_back(static_cast<char>(next));
    }
    if (!line_.starts_with("OK ")) return fail("what answers there is no guest"), false;
    connected_ = true;
    return true;
  }
  // True: that was the last.
  bool take(const Record& record) {
    if (record.kind == CLOISTER_RECORD_EXIT) {
      end_ = record.as<cloister_exit>();
      if (!end_) failure_ = "the agent in the guest speaks another language";
      loop_.stop();
      return true;
    }
    if (record.kind == CLOISTER_RECORD_FAULT) {
      fail({reinterpret_cast<const char*>(record.body.data()), record.body.size()});
      return true;
    }
    if (output_(record.kind, record.body)) return false;
    loop_.stop();
    return true;
  }

  os::EventLoop& loop_;
  cell::RecordStream stream_;
  const Output output_;
  std::function<void()> thirsty_;
  std::string line_;
  bool connected_ = false;
  std::optional<cloister_exit> end_;
  std::string failure_;
};

// Standard input to the guest, at the guest's speed.
class Input {
 public:
  Input(os::EventLoop& loop, Talk& talk) : loop_(loop), talk_(talk) {
    talk_.set_thirsty([this] { listen(); });
    listen();
  }

 private:
  // A file that was redirected here cannot be watched and is always ready.
  void listen() {
    if (ended_ || listening_ || !talk_.has_room()) return;
    listening_ = true;
    if (!loop_.watch(os::kStandardInput, os::Ready::kRead, [this](os::Ready) { read(); }).ok())
      loop_.post([this] { read(); });
  }
  void read() {
    loop_.forget(os::kStandardInput);
    listening_ = false;
    std::array<std::byte, kPiece> piece;
    const std::size_t count = os::read_standard_input(piece);
    ended_ = count == 0;
    talk_.say(CLOISTER_RECORD_STDIN, std::span(piece).first(count));
    listen();
  }

  os::EventLoop& loop_;
  Talk& talk_;
  bool listening_ = false;
  bool ended_ = false;
};

// This terminal's size, and its changes.
class Window {
 public:
  Window(os::EventLoop& loop, Talk& talk, os::WindowSize size) : loop_(loop), talk_(talk), size_(size) {
    wait();
  }

 private:
  void wait() {
    loop_.after(kLookAtWindow, [this] { look(); });
  }
  void look() {
    const auto now = os::window_size(os::kStandardInput);
    if (now && *now != size_) {
      size_ = *now;
      const std::array<u32, 2> told{size_.rows, size_.columns};
      talk_.say(CLOISTER_RECORD_WINDOW, std::as_bytes(std::span(told)));
    }
    wait();
  }

  os::EventLoop& loop_;
  Talk& talk_;
  os::WindowSize size_;
};

int complain(const std::string& why) {
  std::fprintf(stderr, "cloister: %s\n", why.c_str());
  return kAgentFailed;
}

int status_of(const Talk& talk) {
  if (!talk.end()) return complain(talk.failure().empty() ? "it was broken off" : talk.failure());
  return static_cast<int>(talk.end()->signal != 0 ? 128 + talk.end()->signal : talk.end()->status);
}

Result<os::UnixStream> connect(const std::string& vsock) {
  auto stream = os::UnixStream::connect(vsock);
  if (stream.ok()) return stream.take();
  return os::os_error(fmt::format("'{}' cannot be reached: does the machine run?", vsock),
                      stream.failure().number);
}

// -- exec -------------------------------------------------------------------------------------------------

std::vector<std::byte> encode(const ExecOrder& order, os::WindowSize window) {
  cloister_exec head{};
  head.arguments = static_cast<u32>(order.command.size());
  head.settings = static_cast<u32>(order.settings.size());
  head.terminal = order.terminal ? 1 : 0;
  head.rows = window.rows;
  head.columns = window.columns;
  std::vector<std::byte> body;
  append(body, head);
  for (const std::string& text : order.command) append_text(body, text);
  for (const std::string& text : order.settings) append_text(body, text);
  append_text(body, order.folder);
  return body;
}

bool print(u32 kind, std::span<const std::byte> bytes) {
  if (kind == CLOISTER_RECORD_STDOUT) {
    os::write_standard_output(bytes);
  } else if (kind == CLOISTER_RECORD_STDERR) {
    std::fwrite(bytes.data(), 1, bytes.size(), stderr);
    std::fflush(stderr);
  }
  return true;
}

Result<int> exec(const std::string& vsock, const ExecOrder& order) {
  os::ignore_broken_pipes();
  auto signals = TRY(os::ShutdownSignals::create_with_others());
  const auto loop = TRY(os::EventLoop::create());
  Talk talk(*loop, TRY(connect(vsock)), print);
  const os::WindowSize window = os::window_size(os::kStandardInput).value_or(os::WindowSize{24, 80});
  const std::vector<std::byte> request = encode(order, window);
  if (request.size() > CLOISTER_RECORD_MOST)
    return error("the command has {} bytes, and {} are allowed", request.size(), u32{CLOISTER_RECORD_MOST});
  TRY(talk.begin(CLOISTER_RECORD_EXEC, request));
  const os::RawTerminal raw(order.terminal ? os::kStandardInput : -1);
  const Input input(*loop, talk);
  std::optional<Window> watched;
  if (order.terminal) watched.emplace(*loop, talk, window);
  TRY(loop->watch(signals.fd(), os::Ready::kRead, [&](os::Ready) {
    const u32 signal = static_cast<u32>(signals.take().value_or(kInterrupt));
    talk.say(CLOISTER_RECORD_SIGNAL, std::as_bytes(std::span(&signal, 1)));
  }));
  loop->run();
  return status_of(talk);
}

// -- copy -------------------------------------------------------------------------------------------------

// Sends a file piece by piece as the guest takes it.
class FileSender {
 public:
  FileSender(Talk& talk, os::File file, u64 size) : talk_(talk), file_(std::move(file)), size_(size) {
    talk_.set_thirsty([this] { send(); });
  }
  void send() {
    std::array<std::byte, kPiece> piece;
    while (!ended_ && talk_.has_room()) {
      const auto part = std::span(piece).first(std::min<u64>(kPiece, size_ - at_));
      const auto done = file_.read_at(at_, part);
      if (!done.ok()) return talk_.fail(done.failure().message);
      at_ += part.size();
      ended_ = part.empty();
      talk_.say(CLOISTER_RECORD_STDIN, part);
    }
  }

 private:
  Talk& talk_;
  const os::File file_;
  const u64 size_;
  u64 at_ = 0;
  bool ended_ = false;
};

u32 mode_of(const std::string& path) {
  std::error_code ignored;
  return static_cast<u32>(std::filesystem::status(path, ignored).permissions()) & 0777;
}

Result<int> put(const std::string& vsock, const std::string& from, const std::string& to) {
  const auto loop = TRY(os::EventLoop::create());
  std::vector<std::byte> request;
  append(request, cloister_put{from == "-" ? 0644 : mode_of(from)});
  const auto path = bytes_of_text(to);
  request.insert(request.end(), path.begin(), path.end());
  Talk talk(*loop, TRY(connect(vsock)), [](u32, std::span<const std::byte>) { return true; });
  std::optional<FileSender> sender;
  std::optional<Input> input;
  if (from != "-") {
    os::File file = TRY(os::File::open(from, os::Open::kRead));
    const u64 size = TRY(file.size()).raw;
    sender.emplace(talk, std::move(file), size);
  }
  TRY(talk.begin(CLOISTER_RECORD_PUT, request));
  if (from == "-") input.emplace(*loop, talk);
  loop->run();
  return status_of(talk);
}

// What is copied comes to its name whole or not at all.
Result<int> get(const std::string& vsock, const std::string& from, const std::string& to) {
  const auto loop = TRY(os::EventLoop::create());
  const std::string beside = to + ".part";
  std::optional<os::File> file;
  if (to != "-") {
    file = TRY(os::File::open(beside, os::Open::kCreate));
    TRY(file->resize(Bytes{0}));
  }
  u64 at = 0;
  Result<void> written;
  Talk talk(*loop, TRY(connect(vsock)), [&](u32 kind, std::span<const std::byte> bytes) {
    if (kind != CLOISTER_RECORD_STDOUT) return true;
    if (!file) return print(kind, bytes);
    written = file->write_at(at, bytes);
    at += bytes.size();
    return written.ok();
  });
  TRY(talk.begin(CLOISTER_RECORD_GET, bytes_of_text(from)));
  loop->run();
  std::error_code failed;
  const bool whole = written.ok() && talk.end();
  if (file && whole) std::filesystem::rename(beside, to, failed);
  if (file && (!whole || failed)) std::filesystem::remove(beside);
  if (!written.ok()) return written.failure();
  if (failed) return error("'{}' cannot be written: {}", to, failed.message());
  return status_of(talk);
}

int status_or_complaint(const Result<int>& result) {
  return result.ok() ? *result : complain(result.failure().message);
}

// A folder stands for a file of the same name in it.
std::string within(const std::string& place, const std::string& from) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(place, ignored)) return place;
  return std::filesystem::path(place) / std::filesystem::path(from).filename();
}

}  // namespace

int exec_in_guest(const std::string& vsock, const ExecOrder& order) {
  return status_or_complaint(exec(vsock, order));
}

int copy_to_guest(const std::string& vsock, const std::string& from, const std::string& to) {
  const bool folder = to.ends_with('/');
  return status_or_complaint(
      put(vsock, from, folder ? to + std::filesystem::path(from).filename().string() : to));
}

int copy_from_guest(const std::string& vsock, const std::string& from, const std::string& to) {
  return status_or_complaint(get(vsock, from, to == "-" ? to : within(to, from)));
}

}  // namespace cloister::client
