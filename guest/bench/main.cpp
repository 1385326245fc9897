// SPDX-License-Identifier: Apache-2.0
// cloister-bench [--scale X] [--rows a,b,…] [--list]
//
// Runs the rows and prints a line for each:   row NAME seconds S instructions N check C
// N counts the guest instructions that the row's own hart retired in user mode and below it, 0 where the
// machine does not tell (natively, or when the kernel keeps the counter to itself).

#include <csetjmp>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <thread>

#include "row.h"

namespace cloister::bench {
namespace {

constexpr Row kRows[] = {
    {"coremark-like", 1, core_mix},
    {"dhrystone-like", 1, records},
    {"fibonacci", 1, fibonacci},
    {"bytecode", 1, bytecode},
    {"quicksort", 1, quicksort},
    {"sha256", 1, sha256},
    {"libc-strings", 1, libc_strings},
    {"memcpy-64k", 1, copy_64k},
    {"memcpy-16m", 1, copy_16m},
    {"chase-16k", 1, chase_16k},
    {"chase-4m", 1, chase_4m},
    {"chase-64m", 1, chase_64m},
    {"nbody", 1, nbody},
    {"matrix", 1, matrix_product},
    {"mandelbrot", 1, mandelbrot},
    {"getppid", 1, system_call},
    {"pipe", 1, pipe_one_hart},
    {"pipe-2", 2, pipe_two_harts},
    {"page-fault", 1, page_fault},
    {"mprotect", 1, protect},
    {"mprotect-2", 2, protect_two_harts},
    {"fork", 1, fork_wait},
    {"exec", 1, exec_wait},
    {"shell", 1, shell_script},
    {"mutex", 1, mutex_alone},
    {"lock-2", 2, lock_two_harts},
    {"atomic-add", 1, atomic_add},
    {"cas", 1, compare_and_swap},
    {"written-code", 1, written_code},
};

double now() {
  timespec time{};
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

#if defined(__riscv)
sigjmp_buf no_counter;
u64 retired() {
  u64 count = 0;
  asm volatile("rdinstret %0" : "=r"(count));
  return count;
}
bool counter_is_open() {
  struct sigaction trap {
  }, before{};
  trap.sa_handler = [](int) { siglongjmp(no_counter, 1); };
  sigaction(SIGILL, &trap, &before);
  const bool open = sigsetjmp(no_counter, 1) == 0 && (retired(), true);
  sigaction(SIGILL, &before, nullptr);
  return open;
}
#else
u64 retired() { return 0; }
bool counter_is_open() { return false; }
#endif

bool wanted(const std::string& rows, std::string_view name) {
  return rows.empty() || ("," + rows + ",").find("," + std::string{name} + ",") != std::string::npos;
}

void run(const Row& row, Scale scale, bool counted) {
  const u64 instructions = counted ? retired() : 0;
  const double start = now();
  const u64 check = row.run(scale);
  const double seconds = now() - start;
  const u64 done = counted ? retired() - instructions : 0;
  std::printf("row %s seconds %.6f instructions %llu check %llx\n", std::string{row.name}.c_str(), seconds,
              static_cast<unsigned long long>(done), static_cast<unsigned long long>(check));
  std::fflush(stdout);
}

int usage() {
  std::fprintf(stderr, "usage: cloister-bench [--scale X] [--rows a,b,...] [--list]\n");
  return 2;
}

int bench_main(int argc, char** argv) {
  Scale scale;
  std::string rows;
  for (int i = 1; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--exit") return 0;  // what the exec row runs
    if (flag == "--list") {
      for (const Row& row : kRows) std::printf("%s\n", std::string{row.name}.c_str());
      return 0;
    }
    if (i + 1 == argc) return usage();
    if (flag == "--scale")
      scale.factor = std::strtod(argv[++i], nullptr);
    else if (flag == "--rows")
      rows = argv[++i];
    else
      return usage();
  }
  if (!(scale.factor > 0)) return usage();
  const bool counted = counter_is_open();
  const int cpus = static_cast<int>(std::thread::hardware_concurrency());
  std::printf("rows begin\n");
  std::fflush(stdout);
  for (const Row& row : kRows)
    if (row.cpus <= cpus && wanted(rows, row.name)) run(row, scale, counted);
  std::printf("rows end\n");
  return 0;
}

}  // namespace
}  // namespace cloister::bench

int main(int argc, char** argv) { return cloister::bench::bench_main(argc, argv); }
