// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "agent/loop.h"
#include "agent/process.h"
#include "agent/record_socket.h"

namespace cloister::agent {

// One request of the host: a program that runs, or a file that is copied. It ends with EXIT or FAULT, or when
// the host hangs up: then the program gets SIGHUP, and SIGKILL a while later.
//
// A program's end is told once all that it had written itself is sent. What its children write afterwards is
// not waited for.
class Session {
 public:
  using Done = std::function<void()>;  // destroys the session; never called from within one of its calls

  Session(Loop& loop, int socket, Done done);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Says no, and nothing else.
  void refuse(const std::string& why);

 private:
  enum class Phase { kRequest, kProgram, kPut, kGet, kLast, kGone };

  void on_socket(std::uint32_t events);
  void take_records();
  bool take(const RecordSocket::Record& record);
  bool begin(const RecordSocket::Record& record);
  bool begin_program(const ExecRequest& request);
  void refuse_program(const Refusal& refusal);
  bool begin_put(const PutRequest& request);
  bool begin_get(const std::string& path);
  bool control_program(const RecordSocket::Record& record);
  void send_signal(std::uint32_t number);
  void feed_program();
  void feed_more();
  void close_input();
  void watch_program();
  void read_program(int& descriptor, std::uint32_t kind);
  void drain(int& descriptor, std::uint32_t kind);
  void program_ended();
  bool take_content(const std::string& bytes);
  bool finish_put();
  void send_content();
  void adjust();
  void fault(const std::string& why);
  void exit_with(const End& end);
  void hang_up();
  void close_one(int& descriptor);

  Loop& loop_;
  Done done_;
  RecordSocket socket_;
  std::uint32_t socket_events_;
  Phase phase_ = Phase::kRequest;
  Process program_;
  bool program_runs_ = false;
  bool terminal_ = false;
  bool reading_program_ = true;
  std::string input_;  // for the program
  bool input_ends_ = false;
  bool feeding_ = false;
  Loop::Timer leaving_ = 0;
  int file_ = -1;
  std::string path_;       // of a file that is put
  std::string temporary_;  // where it is written first
};

}  // namespace cloister::agent
