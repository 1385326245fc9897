// SPDX-License-Identifier: Apache-2.0
#include "agent/session.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "agent/door.h"

namespace cloister::agent {
namespace {

// The host's side of one request, in the same thread as the agent.
class Caller {
 public:
  Caller(Loop& loop, Door& door) : loop_(loop) {
    int both[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both), 0);
    socket_ = both[0];
    door.admit(both[1]);
  }
  ~Caller() { hang_up(); }
  void hang_up() {
    if (socket_ >= 0) close(socket_);
    socket_ = -1;
  }

  void say(std::uint32_t kind, const std::string& bytes) {
    const cloister_record head = {kind, static_cast<std::uint32_t>(bytes.size())};
    std::string all(reinterpret_cast<const char*>(&head), sizeof head);
    all += bytes;
    for (std::size_t at = 0; at < all.size();) {
      const ssize_t done = send(socket_, all.data() + at, all.size() - at, MSG_NOSIGNAL);
      if (done > 0) at += static_cast<std::size_t>(done);
      if (done < 0 && errno != EAGAIN) return;
      loop_.turn(0);
      listen();
    }
  }

  // Turns the loop until the session has said its last.
  void finish() {
    while (last_ == 0 && !over_) {
      loop_.turn(10);
      listen();
    }
  }
  template <typename Until>
  void turn_until(Until until) {
    while (!until()) {
      loop_.turn(10);
      listen();
    }
  }

  std::string output, errors, fault;
  cloister_exit end = {};
  std::uint32_t last_ = 0;

 private:
  void listen() {
    char bytes[65536];
    for (ssize_t got; (got = recv(socket_, bytes, sizeof bytes, 0)) >= 0;) {
      if (got == 0) {
        over_ = true;
        return;
      }
      in_.append(bytes, static_cast<std::size_t>(got));
      parse();
    }
  }
  void parse() {
    cloister_record head;
    while (in_.size() >= sizeof head) {
      std::memcpy(&head, in_.data(), sizeof head);
      if (in_.size() < sizeof head + head.size) return;
      const std::string body = in_.substr(sizeof head, head.size);
      in_.erase(0, sizeof head + head.size);
      if (head.kind == CLOISTER_RECORD_STDOUT) output += body;
      if (head.kind == CLOISTER_RECORD_STDERR) errors += body;
      if (head.kind == CLOISTER_RECORD_FAULT) fault = body;
      if (head.kind == CLOISTER_RECORD_EXIT) std::memcpy(&end, body.data(), sizeof end);
      if (head.kind == CLOISTER_RECORD_EXIT || head.kind == CLOISTER_RECORD_FAULT) last_ = head.kind;
    }
  }

  Loop& loop_;
  int socket_ = -1;
  bool over_ = false;
  std::string in_;
};

std::string exec_of(std::initializer_list<std::string> arguments,
                    std::initializer_list<std::string> settings = {}, const std::string& folder = "",
                    bool terminal = false) {
  const cloister_exec head = {static_cast<std::uint32_t>(arguments.size()),
                              static_cast<std::uint32_t>(settings.size()), terminal ? 1u : 0u, 24, 80};
  std::string bytes(reinterpret_cast<const char*>(&head), sizeof head);
  for (const auto& list : {arguments, settings}) {
    for (const std::string& one : list) bytes += one + '\0';
  }
  return bytes + folder + '\0';
}

std::string number(std::uint32_t value) { return {reinterpret_cast<const char*>(&value), sizeof value}; }

class SessionTest : public testing::Test {
 protected:
  void SetUp() override {
    signal(SIGPIPE, SIG_IGN);
    char name[] = "/tmp/cloister-session-XXXXXX";
    folder_ = mkdtemp(name);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Loop loop_;
  Door door_{loop_, 3};
  std::string folder_;
};

TEST_F(SessionTest, RunsAProgramAndTellsItsStatus) {
  Caller caller(loop_, door_);
  caller.say(CLOISTER_RECORD_EXEC, exec_of({"sh", "-c", "echo out; echo err >&2; exit 7"}));
  caller.finish();
  EXPECT_EQ(caller.output, "out\n");
  EXPECT_EQ(caller.errors, "err\n");
  EXPECT_EQ(caller.end.status, 7u);
  EXPECT_EQ(caller.end.signal, 0u);
}

TEST_F(SessionTest, GivesItSettingsAndAFolder) {
  Caller caller(loop_, door_);
  caller.say(CLOISTER_RECORD_EXEC, exec_of({"sh", "-c", "echo $COLOUR; pwd"}, {"COLOUR=green"}, "/usr"));
  caller.finish();
  EXPECT_EQ(caller.output, "green\n/usr\n");
}

TEST_F(SessionTest, PassesInputOnToItsEnd) {
  Caller caller(loop_, door_);
  caller.say(CLOISTER_RECORD_EXEC, exec_of({"cat"}));
  caller.say(CLOISTER_RECORD_STDIN, "some ");
  caller.say(CLOISTER_RECORD_STDIN, "text");
  caller.say(CLOISTER_RECORD_STDIN, "");
  caller.finish();
  EXPECT_EQ(caller.output, "some text");
  EXPECT_EQ(caller.end.status, 0u);
}

// Far more than any buffer on the way holds.
TEST_F(SessionTest, MovesMuchInBothDirections) {
  Caller caller(loop_, door_);
  caller.say(CLOISTER_RECORD_EXEC, exec_of({"cat"}));
  const std::string piece(60000, 'x');
  for (int i = 0; i < 100; ++i) caller.say(CLOISTER_RECORD_STDIN, piece);
  caller.say(CLOISTER_RECORD_STDIN, "");
  caller.finish();
  EXPECT_EQ(caller.output.size(), 100 * piece.size());
  EXPECT_EQ(caller.output.find_first_not_of('x'), std::string::npos);
}

TEST_F(SessionTest, AProgramThatDoesNotReadItsInputEndsWell) {
  Caller caller(loop_, door_);
  caller.say(CLOISTER_RECORD_EXEC, exec_of({"true"}));
  for (int i = 0; i < 20; ++i) caller.say(CLOISTER_RECORD_STDIN, std::string(60000, 'x'));
  caller.finish();
  EXPECT_EQ(caller.end.status, 0u);
}

TEST_F(SessionTest, ASignalReachesThePrograms) {
  Caller caller(loop_, door_);
  caller.say(CLOISTER_RECORD_EXEC, exec_of({"sh", "-c", "echo up; sleep 1000"}));
  caller.turn_until([&] { return caller.output == "up\n"; });
  caller.say(CLOISTER_RECORD_SIGNAL, number(SIGTERM));
  caller.finish();
  EXPECT_EQ(caller.end.signal, static_cast<std::uint32_t>(SIGTERM));
}

TEST_F(SessionTest, ATerminalIsOne) {
  Caller caller(loop_, door_);
  caller.say(
      CLOISTER_RECORD_EXEC,
      exec_of({"sh", "-c", "test -t 0 && test -t 2 && stty size; read line; echo got $line"}, {}, "", true));
  caller.say(CLOISTER_RECORD_STDIN, "word\n");
  caller.finish();
  EXPECT_NE(caller.output.find("24 80"), std::string::npos);
  EXPECT_NE(caller.output.find("got word"), std::string::npos);
  EXPECT_EQ(caller.end.status, 0u);
}

TEST_F(SessionTest, ATerminalsWindowChangesAndItsInputEnds) {
  Caller caller(loop_, door_);
  caller.say(CLOISTER_RECORD_EXEC,
             exec_of({"sh", "-c", "read line; stty size; cat; echo end"}, {}, "", true));
  caller.say(CLOISTER_RECORD_WINDOW, number(50) + number(132));
  caller.say(CLOISTER_RECORD_STDIN, "go\n");
  caller.turn_until([&] { return caller.output.find("50 132") != std::string::npos; });
  caller.say(CLOISTER_RECORD_STDIN, "");
  caller.finish();
  EXPECT_NE(caller.output.find("end"), std::string::npos);
}

TEST_F(SessionTest, WhatCannotBeStartedEndsAsInAShell) {
  const std::string text = folder_ + "/text";
  std::ofstream(text) << "no program\n";
  for (const auto& [program, status] : {std::pair<std::string, std::uint32_t>{"no-such-program", 127},
                                        {folder_ + "/none", 127},
                                        {text, 126},
                                        {folder_, 126}}) {
    for (const bool terminal : {false, true}) {
      Caller caller(loop_, door_);
      caller.say(CLOISTER_RECORD_EXEC, exec_of({program}, {}, "", terminal));
      caller.finish();
      EXPECT_EQ(caller.fault, "");
      EXPECT_EQ(caller.end.status, status) << program;
      EXPECT_EQ(caller.errors, "cloister-agent: cannot start " + program + ": " +
                                   std::strerror(status == 127 ? ENOENT : EACCES) + "\n");
    }
  }
}

TEST_F(SessionTest, AFolderThatIsNotThereIsAFaultWithItsName) {
  Caller caller(loop_, door_);
  caller.say(CLOISTER_RECORD_EXEC, exec_of({"true"}, {}, "/no/such/folder"));
  caller.finish();
  EXPECT_EQ(caller.last_, CLOISTER_RECORD_FAULT);
  EXPECT_NE(caller.fault.find("/no/such/folder"), std::string::npos) << caller.fault;
}

TEST_F(SessionTest, NonsenseIsAFault) {
  for (const auto& [kind, bytes] : {std::pair<std::uint32_t, std::string>{77, "x"},
                                    {CLOISTER_RECORD_EXEC, "short"},
                                    {CLOISTER_RECORD_EXEC, exec_of({})},
                                    {CLOISTER_RECORD_EXEC, exec_of({"true"}) + "more"},
                                    {CLOISTER_RECORD_STDIN, "x"},
                                    {CLOISTER_RECORD_PUT, "x"},
                                    {CLOISTER_RECORD_GET, ""}}) {
    Caller caller(loop_, door_);
    caller.say(kind, bytes);
    caller.finish();
    EXPECT_FALSE(caller.fault.empty()) << kind;
  }
}

TEST_F(SessionTest, ManyAtOnceHaveABound) {
  Caller first(loop_, door_), second(loop_, door_), third(loop_, door_);
  for (Caller* one : {&first, &second, &third}) one->say(CLOISTER_RECORD_EXEC, exec_of({"cat"}));
  Caller fourth(loop_, door_);
  fourth.finish();
  EXPECT_NE(fourth.fault.find("too many"), std::string::npos);
  for (Caller* one : {&first, &second, &third}) {
    one->say(CLOISTER_RECORD_STDIN, "");
    one->finish();
    EXPECT_EQ(one->end.status, 0u);
  }
  first.turn_until([&] { return door_.sessions() == 0; });
}

TEST_F(SessionTest, AHostThatHangsUpEndsTheProgram) {
  Caller caller(loop_, door_), other(loop_, door_);
  caller.say(CLOISTER_RECORD_EXEC, exec_of({"sh", "-c", "echo $$; sleep 1000"}));
  caller.turn_until([&] { return !caller.output.empty(); });
  const pid_t program = static_cast<pid_t>(std::stol(caller.output));
  caller.hang_up();
  other.turn_until([&] { return kill(program, 0) != 0; });
  EXPECT_LE(door_.sessions(), 1u);
}

TEST_F(SessionTest, AFileGoesThereAndBack) {
  const std::string path = folder_ + "/file";
  std::string content;
  for (int i = 0; i < 300000; ++i) content += static_cast<char>(i * 7);
  {
    Caller caller(loop_, door_);
    caller.say(CLOISTER_RECORD_PUT, number(0640) + path);
    for (std::size_t at = 0; at < content.size(); at += 50000)
      caller.say(CLOISTER_RECORD_STDIN, content.substr(at, 50000));
    caller.say(CLOISTER_RECORD_STDIN, "");
    caller.finish();
    EXPECT_EQ(caller.last_, static_cast<std::uint32_t>(CLOISTER_RECORD_EXIT)) << caller.fault;
  }
  struct stat there = {};
  ASSERT_EQ(stat(path.c_str(), &there), 0);
  EXPECT_EQ(there.st_mode & 07777, 0640u);
  Caller caller(loop_, door_);
  caller.say(CLOISTER_RECORD_GET, path);
  caller.finish();
  EXPECT_EQ(caller.output, content);
  EXPECT_EQ(caller.end.status, 0u);
}

TEST_F(SessionTest, HalfAFileIsNeverSeen) {
  const std::string path = folder_ + "/file";
  Caller caller(loop_, door_), other(loop_, door_);
  caller.say(CLOISTER_RECORD_PUT, number(0644) + path);
  caller.say(CLOISTER_RECORD_STDIN, "half");
  caller.turn_until([&] { return !std::filesystem::is_empty(folder_); });
  caller.hang_up();
  other.turn_until([&] { return door_.sessions() == 1; });
  EXPECT_TRUE(std::filesystem::is_empty(folder_));
}

TEST_F(SessionTest, WhatIsNoOrdinaryFileIsNotCopied) {
  for (const auto& [kind, bytes] : {std::pair<std::uint32_t, std::string>{CLOISTER_RECORD_GET, "/dev/zero"},
                                    {CLOISTER_RECORD_GET, folder_},
                                    {CLOISTER_RECORD_GET, folder_ + "/none"},
                                    {CLOISTER_RECORD_PUT, number(0644) + folder_ + "/no/folder"}}) {
    Caller caller(loop_, door_);
    caller.say(kind, bytes);
    caller.finish();
    EXPECT_FALSE(caller.fault.empty()) << bytes;
  }
}

}  // namespace
}  // namespace cloister::agent
