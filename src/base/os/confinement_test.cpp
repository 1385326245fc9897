// SPDX-License-Identifier: Apache-2.0
#include "base/os/confinement.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <functional>
#include <thread>

#include "base/os/file.h"

namespace cloister::os {
namespace {

// Runs in a process of its own, which may shut itself in; returns its exit status.
int in_a_child(const std::function<int()>& body) {
  const int child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

bool can_open(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), flags, 0600);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

class Confinement : public ::testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/cloister-confinement-XXXXXX";
    folder_ = ::mkdtemp(name);
    for (const char* file : {"mine", "read", "other"}) {
      ASSERT_TRUE(File::open(folder_ + "/" + file, Open::kCreate).ok());
    }
    ::mkdir((folder_ + "/tree").c_str(), 0700);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_;
};

TEST_F(Confinement, OnlyTheNamedFilesCanBeOpened) {
  const int status = in_a_child([&] {
    const auto done = restrict_files({{folder_ + "/mine", FileRight::Kind::kReadWrite},
                                      {folder_ + "/read", FileRight::Kind::kRead},
                                      {folder_ + "/tree", FileRight::Kind::kWholeTree},
                                      {folder_ + "/missing", FileRight::Kind::kRead}});
    if (!done.ok()) return 1;
    if (!*done) return 77;
    if (!can_open(folder_ + "/mine", O_RDWR | O_TRUNC)) return 2;
    if (!can_open(folder_ + "/read", O_RDONLY) || can_open(folder_ + "/read", O_RDWR)) return 3;
    if (can_open(folder_ + "/other", O_RDONLY) || can_open("/etc/passwd", O_RDONLY)) return 4;
    if (!can_open(folder_ + "/tree/new", O_RDWR | O_CREAT) || can_open(folder_ + "/new", O_RDWR | O_CREAT))
      return 5;
    if (::unlink((folder_ + "/other").c_str()) == 0) return 6;
    return 0;
  });
  if (status == 77) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_EQ(status, 0);
}

TEST_F(Confinement, NoProgramCanBeStartedAndNoProcessMade) {
  const int status = in_a_child([&] {
    if (!restrict_calls(Network::kNone).ok()) return 1;
    char program[] = "/bin/true";
    char* words[] = {program, nullptr};
    ::execv(program, words);
    if (errno != ENOSYS) return 2;
    if (::fork() != -1) return 3;
    if (::kill(::getppid(), 0) == 0) return 4;
    if (::socket(AF_INET, SOCK_STREAM, 0) >= 0) return 5;
    if (::socket(AF_UNIX, SOCK_STREAM, 0) < 0) return 6;
    int made = 0;
    std::thread([&] { made = 1; }).join();
    return made == 1 ? 0 : 7;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(Confinement, AMachineWithANetworkMayHaveSocketsOfIt) {
  const int status = in_a_child([&] {
    if (!restrict_calls(Network::kHosts).ok()) return 1;
    if (::socket(AF_INET, SOCK_DGRAM, 0) < 0) return 2;
    return ::socket(AF_NETLINK, SOCK_RAW, 0) < 0 ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
}

TEST_F(Confinement, ANamespaceOfItsOwnGivesNoPower) {
  const int status = in_a_child([&] {
    const auto done = separate_namespaces(Network::kNone);
    if (!done.ok()) return 1;
    if (::sethostname("x", 1) == 0) return 2;
    if (!*done) return 77;
    return can_open(folder_ + "/mine", O_RDWR) ? 0 : 3;
  });
  if (status == 77) GTEST_SKIP() << "this host allows no namespaces";
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace cloister::os
