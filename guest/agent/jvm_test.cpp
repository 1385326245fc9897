// SPDX-License-Identifier: Apache-2.0
// A real Java virtual machine is attached to and shrinks; without a JDK on this machine there is nothing to
// see.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "agent/program.h"

namespace cloister::agent {
namespace {

constexpr std::uint64_t kMiB = 1 << 20;

// Fills 200 MiB, lets go of it, says so, and waits.
constexpr const char* kSource = R"(
public class Eater {
  public static void main(String[] words) throws Exception {
    byte[][] pieces = new byte[200][];
    for (int i = 0; i < pieces.length; i++) pieces[i] = new byte[1 << 20];
    pieces = null;
    System.out.println("up");
    System.in.read();
  }
}
)";

// The machine, with its standard streams in pipes; it ends when its input does.
class Java {
 public:
  Java(const std::string& folder, const char* collector) {
    int in[2], out[2];
    if (pipe(in) != 0 || pipe(out) != 0) return;
    id_ = fork();
    if (id_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      for (const int one : {in[0], in[1], out[0], out[1]}) close(one);
      execlp("java", "java", collector, "-Xmx512m", "-cp", folder.c_str(), "Eater", nullptr);
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    input_ = in[1];
    char word[3];
    up_ = read(out[0], word, 3) == 3;
    close(out[0]);
    std::ofstream(folder + "/pid") << id_ << "\n";
  }
  ~Java() {
    close(input_);
    kill(id_, SIGKILL);
    waitpid(id_, nullptr, 0);
  }
  bool is_up() const { return up_; }

 private:
  pid_t id_ = -1;
  int input_ = -1;
  bool up_ = false;
};

class JvmTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (std::system("command -v javac >/dev/null 2>&1 && command -v java >/dev/null 2>&1") != 0)
      GTEST_SKIP() << "there is no JDK on this machine";
    char name[] = "/tmp/cloister-jvm-XXXXXX";
    folder_ = mkdtemp(name);
    std::ofstream(folder_ + "/Eater.java") << kSource;
    ASSERT_EQ(std::system(("javac -d " + folder_ + " " + folder_ + "/Eater.java").c_str()), 0);
  }
  void TearDown() override {
    if (!folder_.empty()) std::filesystem::remove_all(folder_);
  }

  Program::Figures ask(Program& program) {
    Program::Figures answer;
    bool done = false;
    program.ask([&](const std::optional<Program::Figures>& figures, const std::string& why) {
      EXPECT_EQ(why, "");
      answer = figures.value_or(Program::Figures{});
      done = true;
    });
    while (!done) loop_.turn(50);
    return answer;
  }

  Loop loop_;
  std::string folder_;
};

TEST_P(JvmTest, ShrinksToItsNewSize) {
  const Java java(folder_, GetParam());
  if (!java.is_up()) GTEST_SKIP() << "this JDK has no " << GetParam();
  ProgramSettings settings;
  settings.pid_file = folder_ + "/pid";
  settings.collect = true;
  const auto program = make_jvm(loop_, settings);
  const Program::Figures before = ask(*program);
  EXPECT_GE(before.used, 200 * kMiB);
  EXPECT_EQ(before.ceiling, 512 * kMiB);
  std::string why = "not yet";
  program->turn_to(96 * kMiB, [&](const std::string& what) { why = what; });
  while (why == "not yet") loop_.turn(50);
  EXPECT_EQ(why, "");
  while (ask(*program).used > before.used / 2) usleep(50'000);
  EXPECT_EQ(ask(*program).limit, 96 * kMiB);
}

INSTANTIATE_TEST_SUITE_P(Collectors, JvmTest, testing::Values("-XX:+UseG1GC", "-XX:+UseShenandoahGC"),
                         [](const auto& one) { return std::string(one.param).substr(8); });

TEST(Jvm, WhatIsNoneIsLeftInPeace) {
  Loop loop;
  char name[] = "/tmp/cloister-pid-XXXXXX";
  const int file = mkstemp(name);
  const std::string own = std::to_string(getpid());
  ASSERT_EQ(write(file, own.data(), own.size()), static_cast<ssize_t>(own.size()));
  close(file);
  ProgramSettings settings;
  settings.pid_file = name;
  const auto program = make_jvm(loop, settings);
  std::string why;
  program->ask([&](const std::optional<Program::Figures>& figures, const std::string& what) {
    EXPECT_FALSE(figures);
    why = what;
  });
  while (why.empty()) loop.turn(50);
  EXPECT_NE(why.find("no Java virtual machine"), std::string::npos) << why;
  unlink(name);
}

}  // namespace
}  // namespace cloister::agent
