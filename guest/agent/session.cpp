// SPDX-License-Identifier: Apache-2.0
#include "agent/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

// Three flows through one loop, none of which may grow without bound: what the host sends waits for the
// program to read it, so the socket is not read while much waits; what the program writes waits for the host,
// so the program is not read then; and a file is sent piece by piece, as the socket takes it.
namespace cloister::agent {
namespace {

constexpr std::size_t kMuch = 256 << 10;
constexpr std::size_t kPiece = 32 << 10;
constexpr std::uint64_t kPatience = 5000;  // milliseconds between SIGHUP and SIGKILL
constexpr char kEndOfTransmission = 4;     // what a terminal takes for the end of input

// The group is asked for: the program may have become another one's leader.
void kill_group(pid_t leader, int number) {
  if (kill(-leader, number) != 0) kill(leader, number);
}

std::uint32_t number_in(const std::string& bytes, std::size_t at) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

}  // namespace

Session::Session(Loop& loop, int socket, Done done)
    : loop_(loop), done_(std::move(done)), socket_(socket), socket_events_(EPOLLIN) {
  loop_.watch(socket, socket_events_, [this](std::uint32_t events) { on_socket(events); });
}

Session::~Session() {
  loop_.cancel(leaving_);
  loop_.forget(socket_.fd());
  const bool same = program_.in == program_.out;
  close_one(program_.out);
  if (same) program_.in = -1;
  close_one(program_.in);
  close_one(program_.error);
  close_one(file_);
  if (!temporary_.empty()) unlink(temporary_.c_str());
  if (!program_runs_) {
    close_one(program_.handle);
    return;
  }
  // The program outlives its session for a moment: somebody must still see its end.
  const Process left = program_;
  kill_group(left.id, SIGHUP);
  loop_.forget(left.handle);
  Loop& loop = loop_;
  const Loop::Timer last = loop.after(kPatience, [left] { kill_group(left.id, SIGKILL); });
  loop.watch(left.handle, EPOLLIN, [&loop, left, last](std::uint32_t) {
    loop.cancel(last);
    loop.forget(left.handle);
    end_of(left);
    close(left.handle);
  });
}

void Session::close_one(int& descriptor) {
  if (descriptor < 0) return;
  loop_.forget(descriptor);
  close(descriptor);
  descriptor = -1;
}

// The session may be in the middle of anything: it is destroyed in the loop's next turn, and hears nothing
// until then.
void Session::hang_up() {
  if (phase_ == Phase::kGone) return;
  phase_ = Phase::kGone;
  for (const int one : {socket_.fd(), program_.in, program_.out, program_.error}) loop_.forget(one);
  leaving_ = loop_.after(0, done_);
}

void Session::refuse(const std::string& why) {
  fault(why);
  adjust();
}

void Session::on_socket(std::uint32_t events) {
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !socket_.fill()) return hang_up();
  take_records();
  if (!socket_.flush()) return hang_up();
  if (phase_ == Phase::kGet) send_content();
  if (phase_ == Phase::kLast && socket_.waiting() == 0) return hang_up();
  adjust();
}

void Session::take_records() {
  while (phase_ < Phase::kLast && input_.size() < kMuch) {
    const auto record = socket_.next();
    if (!record) return;
    if (!take(*record)) fault("the request is not understood");
  }
}

bool Session::take(const RecordSocket::Record& record) {
  switch (phase_) {
    case Phase::kRequest:
      return begin(record);
    case Phase::kProgram:
      return control_program(record);
    case Phase::kPut:
      return record.kind == CLOISTER_RECORD_STDIN && take_content(record.bytes);
    default:
      return false;
  }
}

bool Session::begin(const RecordSocket::Record& record) {
  if (record.kind == CLOISTER_RECORD_EXEC) {
    const auto request = read_exec(record.bytes);
    return request && begin_program(*request);
  }
  if (record.kind == CLOISTER_RECORD_PUT) {
    const auto request = read_put(record.bytes);
    return request && begin_put(*request);
  }
  const auto path = record.kind == CLOISTER_RECORD_GET ? read_path(record.bytes) : std::nullopt;
  return path && begin_get(*path);
}

void Session::fault(const std::string& why) {
  socket_.say(CLOISTER_RECORD_FAULT, why);
  phase_ = Phase::kLast;
}

void Session::exit_with(const End& end) {
  const cloister_exit record = {static_cast<std::uint32_t>(end.signal),
                                static_cast<std::uint32_t>(end.status)};
  socket_.say(CLOISTER_RECORD_EXIT, {reinterpret_cast<const char*>(&record), sizeof record});
  phase_ = Phase::kLast;
}

// What is watched follows from what waits.
void Session::adjust() {
  if (phase_ == Phase::kGone) return;
  const bool may_read = phase_ != Phase::kLast && input_.size() < kMuch;
  const bool must_write = socket_.waiting() != 0 || phase_ == Phase::kGet;
  const std::uint32_t wanted = (may_read ? EPOLLIN : 0u) | (must_write ? EPOLLOUT : 0u);
  if (wanted != socket_events_) loop_.change(socket_.fd(), wanted);
  socket_events_ = wanted;
  const bool reads = socket_.waiting() < kMuch;
  if (phase_ != Phase::kProgram || reads == reading_program_) return;
  reading_program_ = reads;
  for (const int one : {program_.out, program_.error}) {
    if (one >= 0)
      loop_.change(one, (reads ? EPOLLIN : 0u) | (feeding_ && one == program_.in ? EPOLLOUT : 0u));
  }
}

// -- A program -------------------------------------------------------------------------------------

bool Session::begin_program(const ExecRequest& request) {
  Refusal refusal;
  if (!start_process(request, program_, refusal)) {
    refuse_program(refusal);
    return true;
  }
  terminal_ = request.terminal;
  program_runs_ = true;
  phase_ = Phase::kProgram;
  watch_program();
  return true;
}

// A program that cannot be started ends as a shell would have it end; all else is the agent's own failure.
void Session::refuse_program(const Refusal& refusal) {
  if (refusal.status == 0) return fault(refusal.why);
  socket_.say(CLOISTER_RECORD_STDERR, "cloister-agent: " + refusal.why + "\n");
  exit_with({0, refusal.status});
}

void Session::watch_program() {
  loop_.watch(program_.handle, EPOLLIN, [this](std::uint32_t) { program_ended(); });
  loop_.watch(program_.out, EPOLLIN, [this](std::uint32_t events) {
    if ((events & EPOLLOUT) != 0) feed_more();
    if ((events & ~EPOLLOUT) != 0) read_program(program_.out, CLOISTER_RECORD_STDOUT);
  });
  if (program_.error >= 0)
    loop_.watch(program_.error, EPOLLIN,
                [this](std::uint32_t) { read_program(program_.error, CLOISTER_RECORD_STDERR); });
}

bool Session::control_program(const RecordSocket::Record& record) {
  const std::string& bytes = record.bytes;
  if (record.kind == CLOISTER_RECORD_STDIN) {
    if (bytes.empty()) input_ends_ = true;
    if (!input_ends_) input_ += bytes;
    feed_program();
    return true;
  }
  if (record.kind == CLOISTER_RECORD_SIGNAL && bytes.size() == 4) {
    send_signal(number_in(bytes, 0));
    return true;
  }
  if (record.kind == CLOISTER_RECORD_WINDOW && bytes.size() == 8) {
    if (terminal_ && program_.in >= 0) set_window(program_.in, number_in(bytes, 0), number_in(bytes, 4));
    return true;
  }
  return false;
}

// With a terminal, to the programs in its foreground, as its keys do.
void Session::send_signal(std::uint32_t number) {
  if (number == 0 || number > 64 || !program_runs_) return;
  const pid_t front = terminal_ && program_.in >= 0 ? tcgetpgrp(program_.in) : -1;
  kill_group(front > 0 ? front : program_.id, static_cast<int>(number));
}

void Session::feed_program() {
  while (!input_.empty() && program_.in >= 0) {
    const ssize_t done = write(program_.in, input_.data(), input_.size());
    if (done > 0) {
      input_.erase(0, static_cast<std::size_t>(done));
    } else if (errno == EAGAIN) {
      break;
    } else {
      close_input();  // it reads no more; what comes for it is dropped
    }
  }
  if (program_.in < 0) input_.clear();
  if (input_.empty() && input_ends_) close_input();
  const bool feeding = !input_.empty();
  if (feeding != feeding_ && program_.in >= 0) {
    const std::uint32_t reading = terminal_ && reading_program_ ? EPOLLIN : 0u;
    if (terminal_) loop_.change(program_.in, reading | (feeding ? EPOLLOUT : 0u));
    if (!terminal_ && feeding) loop_.watch(program_.in, EPOLLOUT, [this](std::uint32_t) { feed_more(); });
    if (!terminal_ && !feeding) loop_.forget(program_.in);
  }
  feeding_ = feeding;
}

// The program has read something: what came meanwhile may follow.
void Session::feed_more() {
  feed_program();
  take_records();
  if (!socket_.flush()) return hang_up();
  adjust();
}

// A terminal stays open for what comes out of it: it is told of the end as by a key.
void Session::close_input() {
  if (program_.in < 0) return;
  if (!terminal_) return close_one(program_.in);
  if (input_ends_) [[maybe_unused]]
    const ssize_t done = write(program_.in, &kEndOfTransmission, 1);
  input_.clear();
  input_ends_ = false;
}

void Session::read_program(int& descriptor, std::uint32_t kind) {
  char bytes[kPiece];
  const ssize_t got = descriptor < 0 ? 0 : read(descriptor, bytes, sizeof bytes);
  if (got > 0) {
    socket_.say(kind, {bytes, static_cast<std::size_t>(got)});
  } else if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
    // Its end. A terminal's is an error, and has the input in it too.
    if (terminal_) {
      loop_.forget(descriptor);
    } else {
      close_one(descriptor);
    }
  }
  if (!socket_.flush()) return hang_up();
  adjust();
}

// All that has been written already, however much: a pipe holds 64 KiB, a terminal less, and nobody adds to
// it but a child, which does not get more than so many turns.
void Session::drain(int& descriptor, std::uint32_t kind) {
  char bytes[kPiece];
  for (int turns = 0; descriptor >= 0 && turns < 64; ++turns) {
    const ssize_t got = read(descriptor, bytes, sizeof bytes);
    if (got <= 0) return;
    socket_.say(kind, {bytes, static_cast<std::size_t>(got)});
  }
}

void Session::program_ended() {
  const End end = end_of(program_);
  program_runs_ = false;
  drain(program_.out, CLOISTER_RECORD_STDOUT);
  drain(program_.error, CLOISTER_RECORD_STDERR);
  close_one(program_.handle);
  if (terminal_) {
    loop_.forget(program_.out);
  } else {
    close_one(program_.out);
    close_one(program_.error);
  }
  if (phase_ == Phase::kGone) return;
  exit_with(end);
  if (!socket_.flush() || socket_.waiting() == 0) return hang_up();
  adjust();
}

// -- A file ----------------------------------------------------------------------------------------

// Written beside its place and moved there, so that nobody ever sees half of it.
bool Session::begin_put(const PutRequest& request) {
  path_ = request.path;
  temporary_ = path_ + ".XXXXXX";
  file_ = mkostemp(temporary_.data(), O_CLOEXEC);
  if (file_ < 0) {
    temporary_.clear();
    fault("cannot write beside " + path_ + ": " + std::strerror(errno));
    return true;
  }
  fchmod(file_, request.mode);
  phase_ = Phase::kPut;
  return true;
}

bool Session::take_content(const std::string& bytes) {
  if (bytes.empty()) return finish_put();
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t done = write(file_, bytes.data() + at, bytes.size() - at);
    if (done < 0) {
      fault("cannot write " + path_ + ": " + std::strerror(errno));
      return true;
    }
    at += static_cast<std::size_t>(done);
  }
  return true;
}

bool Session::finish_put() {
  struct stat there = {};
  if (stat(path_.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) {
    fault("cannot write " + path_ + ": it is there, and no ordinary file");
  } else if (close(file_) != 0 || rename(temporary_.c_str(), path_.c_str()) != 0) {
    file_ = -1;
    fault("cannot write " + path_ + ": " + std::strerror(errno));
  } else {
    file_ = -1;
    temporary_.clear();
    exit_with({});
  }
  return true;
}

bool Session::begin_get(const std::string& path) {
  file_ = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat there = {};
  if (file_ < 0 || fstat(file_, &there) != 0) {
    fault("cannot read " + path + ": " + std::strerror(errno));
  } else if (!S_ISREG(there.st_mode)) {
    fault("cannot read " + path + ": it is no ordinary file");
  } else {
    path_ = path;
    phase_ = Phase::kGet;
  }
  return true;
}

void Session::send_content() {
  char bytes[kPiece];
  while (phase_ == Phase::kGet && socket_.waiting() < kMuch) {
    const ssize_t got = read(file_, bytes, sizeof bytes);
    if (got > 0) socket_.say(CLOISTER_RECORD_STDOUT, {bytes, static_cast<std::size_t>(got)});
    if (got == 0) exit_with({});
    if (got < 0) fault("cannot read " + path_ + ": " + std::strerror(errno));
    if (!socket_.flush()) return hang_up();
  }
}

}  // namespace cloister::agent
