// SPDX-License-Identifier: Apache-2.0
#include "base/os/process.h"

#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string_view>

#include "base/os/os_error.h"
#include "base/os/program.h"

namespace cloister::os {
namespace {

// Descriptors are gathered up here before they go to their places, so that none is overwritten on the way.
constexpr int kGathered = 512;

Fd pidfd_of(int number) { return Fd(static_cast<int>(::syscall(SYS_pidfd_open, number, 0))); }

// All that the child needs, made before the fork: after it only calls that are safe there.
struct Prepared {
  std::string path;
  std::vector<std::string> words;
  std::vector<char*> argv;
  std::vector<int> descriptors;  // for 0, 1, 2, 3, …
};

[[noreturn]] void give_up(int report, int problem) {
  (void)!::write(report, &problem, sizeof problem);
  ::_exit(127);
}

bool set_limit(int what, u64 limit) {
  const rlimit both{limit, limit};
  return ::setrlimit(static_cast<__rlimit_resource>(what), &both) == 0;
}

bool become_owner(const Owner& owner) {
  return ::setgroups(0, nullptr) == 0 && ::setresgid(owner.group, owner.group, owner.group) == 0 &&
         ::setresuid(owner.user, owner.user, owner.user) == 0;
}

// `report` becomes the descriptor after the last one that the child keeps, and closes by itself when the
// program begins.
bool place_descriptors(const Prepared& prepared, int report) {
  const int count = static_cast<int>(prepared.descriptors.size());
  for (int i = 0; i < count; ++i) {
    if (::dup2(prepared.descriptors[static_cast<std::size_t>(i)], kGathered + i) < 0) return false;
  }
  if (::dup2(report, kGathered + count) < 0) return false;
  for (int i = 0; i <= count; ++i) {
    if (::dup2(kGathered + i, i) < 0) return false;
  }
  return ::fcntl(count, F_SETFD, FD_CLOEXEC) == 0 &&
         ::syscall(SYS_close_range, static_cast<unsigned>(count + 1), ~0u, 0) == 0;
}

bool set_limits(const Launch& launch) {
  if (!set_limit(RLIMIT_CORE, 0)) return false;
  if (launch.descriptor_limit != 0 && !set_limit(RLIMIT_NOFILE, launch.descriptor_limit)) return false;
  return launch.process_limit == 0 || set_limit(RLIMIT_NPROC, launch.process_limit);
}

void reset_signals() {
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::signal(SIGPIPE, SIG_DFL);
}

[[noreturn]] void become_child(const Launch& launch, Prepared& prepared, int report) {
  ::setsid();
  reset_signals();
  if (!place_descriptors(prepared, report)) give_up(report, errno);
  const int moved = static_cast<int>(prepared.descriptors.size());
  if (!set_limits(launch)) give_up(moved, errno);
  if (launch.owner && !become_owner(*launch.owner)) give_up(moved, errno);
  if (!launch.folder.empty() && ::chdir(launch.folder.c_str()) != 0) give_up(moved, errno);
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  ::execv(prepared.path.c_str(), prepared.argv.data());
  give_up(moved, errno);
}

Result<Prepared> prepare(const Launch& launch, const Fd& empty) {
  Prepared prepared;
  prepared.path = TRY(neighbour_path(launch.program));
  prepared.words = launch.arguments;
  prepared.argv.push_back(prepared.path.data());
  for (std::string& word : prepared.words) prepared.argv.push_back(word.data());
  prepared.argv.push_back(nullptr);
  const int log = launch.log != nullptr ? launch.log->get() : empty.get();
  prepared.descriptors = {empty.get(), log, log};
  for (const Fd* fd : launch.descriptors) prepared.descriptors.push_back(fd->get());
  return prepared;
}

// What the child wrote before its program began; 0: it began.
int read_report(const Fd& from) {
  int problem = 0;
  ssize_t count = 0;
  do count = ::read(from.get(), &problem, sizeof problem);
  while (count < 0 && errno == EINTR);
  return count == static_cast<ssize_t>(sizeof problem) ? problem : 0;
}

// The number after "NAME:", in KiB.
Bytes kilobytes(std::string_view status, std::string_view name) {
  const std::size_t at = status.find(name);
  if (at == status.npos) return {};
  const std::size_t digits = status.find_first_of("0123456789", at + name.size());
  u64 number = 0;
  if (digits != status.npos) std::from_chars(status.data() + digits, status.data() + status.size(), number);
  return Bytes{number * kKiB};
}

std::optional<std::string> read_proc(int number, const char* name) {
  std::ifstream file(fmt::format("/proc/{}/{}", number, name));
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) return std::nullopt;
  return text.str();
}

}  // namespace

Result<Process> Process::start(const Launch& launch) {
  const Fd empty(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!empty.valid()) return os_error("cannot open /dev/null");
  Prepared prepared = TRY(prepare(launch, empty));
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return os_error("cannot make a pipe");
  const Fd from(ends[0]);
  Fd to(ends[1]);
  const int child = ::fork();
  if (child < 0) return os_error(fmt::format("cannot start {}", prepared.path));
  if (child == 0) become_child(launch, prepared, to.get());
  to.close();
  Fd fd = pidfd_of(child);
  const int problem = read_report(from);
  if (problem != 0 || !fd.valid()) {
    ::kill(child, SIGKILL);
    ::waitpid(child, nullptr, 0);
    return os_error(fmt::format("cannot start {}", prepared.path), problem != 0 ? problem : errno);
  }
  return Process(std::move(fd), identify_process(child).value_or(ProcessId{child, 0}));
}

Result<Process> Process::find(ProcessId id) {
  // First the handle, then the look at who it is: so the two are of one process.
  Fd fd = pidfd_of(id.number);
  if (!fd.valid() || identify_process(id.number) != id) return error("process {} has ended", id.number);
  return Process(std::move(fd), id);
}

void Process::kill() const { ::syscall(SYS_pidfd_send_signal, fd_.get(), SIGKILL, nullptr, 0); }

ProcessEnd Process::end() const {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(fd_.get()), &info, WEXITED | WNOHANG) != 0 || info.si_pid == 0) {
    return {};
  }
  if (info.si_code == CLD_EXITED) return {ProcessEnd::How::kExit, info.si_status};
  return {ProcessEnd::How::kSignal, info.si_status};
}

int own_process() { return ::getpid(); }

std::optional<ProcessId> identify_process(int number) {
  const auto stat = read_proc(number, "stat");
  if (!stat) return std::nullopt;
  // The name, in parentheses, may hold anything; the start is the 20th field after it.
  const std::size_t close = stat->rfind(')');
  if (close == stat->npos) return std::nullopt;
  std::istringstream fields(stat->substr(close + 1));
  std::string field;
  for (int i = 0; i < 19; ++i) fields >> field;
  ProcessId id{number, 0};
  if (!(fields >> id.started)) return std::nullopt;
  return id;
}

std::optional<ProcessMemory> memory_of_process(int number) {
  const auto status = read_proc(number, "status");
  if (!status || status->find("RssAnon:") == status->npos) return std::nullopt;
  return ProcessMemory{kilobytes(*status, "RssAnon:") + kilobytes(*status, "VmPTE:"),
                       kilobytes(*status, "RssFile:") + kilobytes(*status, "RssShmem:")};
}

std::optional<Bytes> mapped_in_parts(int number) {
  const auto shares = read_proc(number, "smaps_rollup");
  if (!shares || shares->find("Pss_File:") == shares->npos) return std::nullopt;
  return kilobytes(*shares, "Pss_File:") + kilobytes(*shares, "Pss_Shmem:");
}

}  // namespace cloister::os
