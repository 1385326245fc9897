// SPDX-License-Identifier: Apache-2.0
// What a kernel is asked most: system calls, switches between processes, faults, protection, new processes.
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "row.h"

namespace cloister::bench {
namespace {

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(1);
}

void pin(int cpu) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) give_up("sched_setaffinity");
}

void unpin() {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (unsigned cpu = 0; cpu < std::thread::hardware_concurrency(); ++cpu) CPU_SET(cpu, &set);
  sched_setaffinity(0, sizeof set, &set);
}

void echo(int in, int out, u64 rounds) {
  char byte = 0;
  for (; rounds != 0; --rounds)
    if (read(in, &byte, 1) != 1 || write(out, &byte, 1) != 1) give_up("pipe");
}

u64 ping_pong(int first_cpu, int second_cpu, u64 rounds) {
  int there[2], back[2];
  if (pipe(there) != 0 || pipe(back) != 0) give_up("pipe");
  const pid_t child = fork();
  if (child < 0) give_up("fork");
  if (child == 0) {
    pin(second_cpu);
    echo(there[0], back[1], rounds);
    _exit(0);
  }
  pin(first_cpu);
  char byte = 'x';
  if (write(there[1], &byte, 1) != 1) give_up("write");
  echo(back[0], there[1], rounds - 1);
  if (read(back[0], &byte, 1) != 1) give_up("read");
  int status = 0;
  waitpid(child, &status, 0);
  unpin();
  for (const int end : {there[0], there[1], back[0], back[1]}) close(end);
  return static_cast<u64>(byte) + rounds;
}

char* map_pages(u64 size) {
  void* const at = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) give_up("mmap");
  madvise(at, size, MADV_NOHUGEPAGE);  // a kernel without huge pages refuses, which is as well
  return static_cast<char*>(at);
}

u64 flip_protection(u64 rounds) {
  char* const page = map_pages(4096);
  for (; rounds != 0; --rounds) {
    *page = static_cast<char>(rounds);
    if (mprotect(page, 4096, PROT_READ) != 0) give_up("mprotect");
    opaque(*const_cast<volatile char*>(page));
    if (mprotect(page, 4096, PROT_READ | PROT_WRITE) != 0) give_up("mprotect");
  }
  const auto last = static_cast<u64>(*page);
  munmap(page, 4096);
  return last;
}

u64 spawn_all(char* const* arguments, u64 rounds) {
  u64 ended_well = 0;
  for (; rounds != 0; --rounds) {
    pid_t child = 0;
    if (posix_spawn(&child, arguments[0], nullptr, nullptr, arguments, environ) != 0) give_up(arguments[0]);
    int status = 0;
    waitpid(child, &status, 0);
    ended_well += status == 0;
  }
  return ended_well;
}

}  // namespace

u64 system_call(Scale scale) {
  u64 calls = scale.of(1'000'000);
  const u64 asked = calls;
  for (; calls != 0; --calls) opaque(getppid());
  return asked;
}

u64 pipe_one_hart(Scale scale) { return ping_pong(0, 0, scale.of(10'000)); }
u64 pipe_two_harts(Scale scale) { return ping_pong(0, 1, scale.of(4'000)); }

u64 page_fault(Scale scale) {
  const u64 pages = scale.of(256 << 8);
  char* const area = map_pages(pages * 4096);
  for (u64 page = 0; page < pages; ++page) area[page * 4096] = static_cast<char>(page);
  const auto last = static_cast<u64>(area[(pages - 1) * 4096] & 0xFF);
  munmap(area, pages * 4096);
  return last;
}

u64 protect(Scale scale) { return flip_protection(scale.of(40'000)); }

u64 protect_two_harts(Scale scale) {
  std::atomic<bool> done{false};
  u64 turns = 0;
  std::thread other{[&] {
    pin(1);
    while (!done.load(std::memory_order_relaxed)) opaque(++turns);
  }};
  pin(0);
  const u64 result = flip_protection(scale.of(20'000));
  done = true;
  other.join();
  unpin();
  return result;
}

u64 fork_wait(Scale scale) {
  u64 left = scale.of(600), ended_well = 0;
  char* const used = map_pages(256 * 4096);
  for (int page = 0; page < 256; ++page) used[page * 4096] = 1;
  for (; left != 0; --left) {
    const pid_t child = fork();
    if (child < 0) give_up("fork");
    if (child == 0) _exit(0);
    int status = 0;
    waitpid(child, &status, 0);
    ended_well += status == 0;
  }
  munmap(used, 256 * 4096);
  return ended_well;
}

u64 exec_wait(Scale scale) {
  char self[] = "/proc/self/exe", flag[] = "--exit";
  char* const arguments[] = {self, flag, nullptr};
  return spawn_all(arguments, scale.of(200));
}

u64 shell_script(Scale scale) {
  const std::string script =
      "i=0; while [ $i -lt " + std::to_string(scale.of(200)) +
      " ]; do x=$(echo $i | (read y; echo $y)); case $x in *7) : ;; esac; i=$((i+1)); done";
  char shell[] = "/bin/sh", flag[] = "-c";
  std::string text = script;
  char* const arguments[] = {shell, flag, text.data(), nullptr};
  return spawn_all(arguments, 1);
}

}  // namespace cloister::bench
