// SPDX-License-Identifier: Apache-2.0
// Java virtual machines, as far as they are attached to; a real one is shrunk in tests/guest/debian_test.py.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <vector>

#include "agent/program.h"
#include "agent/testing_servers.h"

namespace cloister::agent {
namespace {

using testing_servers::kMiB;
using testing_servers::turn;

// What listens for commands in a machine with G1: a full collection leaves what lives, and what may be free
// of it.
class Listener : public testing_servers::Server {
 public:
  using Server::Server;
  std::uint64_t heap = 264 * kMiB, live = 60 * kMiB, most = 512 * kMiB, soft = 0;
  std::uint64_t free_ratio = 70;
  std::vector<std::string> orders;  // but questions
  std::string refusal;

 protected:
  bool ends() const override { return true; }
  // Five words, each ended by a zero; the first is the protocol's version.
  std::string answer(const std::string& request) override {
    std::vector<std::string> words;
    for (std::size_t at = 0; at < request.size(); at += words.back().size() + 1)
      words.push_back(request.c_str() + at);
    if (words.size() != 5 || words[0] != "1") return "101\n";
    if (!refusal.empty() && words[1] == "setflag") return "1\n" + refusal + "\n";
    if (words[1] == "printflag")
      return "0\n-XX:" + words[2] + "=" + std::to_string(words[2] == "MaxHeapSize" ? most : soft) + "\n";
    if (words[2] == "GC.heap_info")
      return "0\n garbage-first heap   total " + std::to_string(heap >> 10) +
             "K, used 1536K [0x1, 0x2)\n  region size 1024K\n";
    orders.push_back(words[1] + " " + words[2] + " " + words[3]);
    if (words[2] == "SoftMaxHeapSize") soft = std::stoull(words[3]);
    if (words[2] == "MaxHeapFreeRatio") free_ratio = std::stoull(words[3]);
    if (words[2] == "GC.run") heap = live * 100 / (100 - free_ratio);
    return "0\nCommand executed successfully\n";
  }
};

int told = -1;  // in the child: where it says that a signal came

// A process with libjvm.so mapped, which begins to listen when it is asked to: by a file and SIGQUIT.
class Machine {
 public:
  Machine(Loop& loop, const std::string& folder) : loop_(loop) {
    const std::string library = folder + "/libjvm.so";
    std::ofstream(library) << std::string(4096, 'x');
    EXPECT_EQ(pipe2(pipe_, O_CLOEXEC), 0);
    id_ = fork();
    if (id_ == 0) become(library);
    char byte = 0;
    EXPECT_EQ(read(pipe_[0], &byte, 1), 1);
    loop_.watch(pipe_[0], 1, [this](std::uint32_t) { begin_to_listen(); });
    std::ofstream(folder + "/pid") << id_ << "\n";
  }
  ~Machine() {
    loop_.forget(pipe_[0]);
    kill(id_, SIGKILL);
    waitpid(id_, nullptr, 0);
    listener_.reset();
    unlink(socket().c_str());
    close(pipe_[0]);
    close(pipe_[1]);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  bool listens() const { return listener_ != nullptr; }
  Listener& listener() { return *listener_; }
  std::string mark() const { return "/tmp/.attach_pid" + std::to_string(id_); }
  int signals = 0;

 private:
  [[noreturn]] void become(const std::string& library) const {
    const int file = open(library.c_str(), O_RDONLY);
    told = pipe_[1];
    mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE, file, 0);
    const auto tell = [](int) { [[maybe_unused]] const ssize_t done = write(told, "s", 1); };
    signal(SIGQUIT, tell);
    tell(0);
    for (;;) pause();
  }
  void begin_to_listen() {
    char byte = 0;
    EXPECT_EQ(read(pipe_[0], &byte, 1), 1);
    ++signals;
    EXPECT_TRUE(std::filesystem::exists(mark()));
    if (!listener_) listener_ = std::make_unique<Listener>(loop_, socket());
  }
  std::string socket() const { return "/tmp/.java_pid" + std::to_string(id_); }

  Loop& loop_;
  int pipe_[2] = {-1, -1};
  pid_t id_ = -1;
  std::unique_ptr<Listener> listener_;
};

class JvmTest : public testing_servers::FolderTest {
 protected:
  std::unique_ptr<Program> program(bool collect) {
    ProgramSettings settings;
    settings.pid_file = folder_ + "/pid";
    settings.collect = collect;
    return make_jvm(loop_, settings);
  }
  Program::Figures figures_of(Program& program) {
    const auto answer = testing_servers::ask(loop_, program);
    EXPECT_EQ(answer.why, "");
    return answer.figures.value_or(Program::Figures{});
  }
};

TEST_F(JvmTest, IsAskedToListenOnceAndAnswers) {
  Machine machine(loop_, folder_);
  const auto jvm = program(false);
  const Program::Figures figures = figures_of(*jvm);
  EXPECT_TRUE(machine.listens());
  EXPECT_EQ(figures.used, 264 * kMiB);
  EXPECT_EQ(figures.ceiling, 512 * kMiB);
  EXPECT_EQ(figures.limit, 512 * kMiB) << "none is the whole heap";
  EXPECT_EQ(figures.least, 44 * kMiB);
  figures_of(*jvm);
  EXPECT_EQ(machine.signals, 1);
  EXPECT_FALSE(std::filesystem::exists(machine.mark()));
}

TEST_F(JvmTest, ShrinksByACollectionWhereThatIsWished) {
  Machine machine(loop_, folder_);
  const auto jvm = program(true);
  EXPECT_EQ(turn(loop_, *jvm, 96 * kMiB), "");
  using Orders = std::vector<std::string>;
  EXPECT_EQ(machine.listener().orders,
            (Orders{"setflag SoftMaxHeapSize 100663296", "setflag MinHeapFreeRatio 5",
                    "setflag MaxHeapFreeRatio 10", "jcmd GC.run "}));
  const Program::Figures after = figures_of(*jvm);
  EXPECT_EQ(after.limit, 96 * kMiB);
  EXPECT_LT(after.used, 70 * kMiB);
  machine.listener().orders.clear();
  EXPECT_EQ(turn(loop_, *jvm, 200 * kMiB), "");
  EXPECT_EQ(machine.listener().orders, (Orders{"setflag SoftMaxHeapSize 209715200"})) << "growth needs none";
}

TEST_F(JvmTest, CollectsNothingByItself) {
  Machine machine(loop_, folder_);
  const auto jvm = program(false);
  EXPECT_EQ(turn(loop_, *jvm, 96 * kMiB), "");
  EXPECT_EQ(machine.listener().orders.size(), 1u);
}

TEST_F(JvmTest, WhatItRefusesIsTold) {
  Machine machine(loop_, folder_);
  const auto jvm = program(false);
  figures_of(*jvm);
  machine.listener().refusal = "only 'writeable' flags can be set";
  EXPECT_EQ(turn(loop_, *jvm, 96 * kMiB), machine.listener().refusal);
}

TEST_F(JvmTest, WhatIsNoneIsLeftInPeace) {
  std::ofstream(folder_ + "/pid") << getpid() << "\n";
  const auto jvm = program(true);
  std::string why;
  jvm->ask([&](const std::optional<Program::Figures>& figures, const std::string& what) {
    EXPECT_FALSE(figures);
    why = what;
  });
  while (why.empty()) loop_.turn(50);
  EXPECT_NE(why.find("no Java virtual machine"), std::string::npos) << why;
}

}  // namespace
}  // namespace cloister::agent
