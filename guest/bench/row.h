// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

// The rows of cloister-bench: each a piece of work that takes a fixed number of steps, so that its time on
// two engines can be compared. Sizes are chosen so that the table's native time holds at scale 1 on a 3 GHz
// machine.
namespace cloister::bench {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

// How much to do: `count` steps at scale 1, never fewer than one.
struct Scale {
  double factor = 1.0;
  u64 of(u64 count) const {
    const auto scaled = static_cast<u64>(static_cast<double>(count) * factor);
    return scaled == 0 ? 1 : scaled;
  }
};

struct Row {
  std::string_view name;
  int cpus;           // how many it needs; left out on a smaller machine
  u64 (*run)(Scale);  // returns a checksum: the same on every engine
};

// Integer work.
u64 core_mix(Scale);   // lists, matrix, state machine, CRC
u64 records(Scale);    // Dhrystone-like: records, short strings, calls
u64 fibonacci(Scale);  // recursive calls
u64 bytecode(Scale);   // an interpreter: indirect jumps
u64 quicksort(Scale);
u64 sha256(Scale);
u64 libc_strings(Scale);

// Memory.
u64 copy_64k(Scale);
u64 copy_16m(Scale);
u64 chase_16k(Scale);
u64 chase_4m(Scale);
u64 chase_64m(Scale);

// Double precision.
u64 nbody(Scale);
u64 matrix_product(Scale);
u64 mandelbrot(Scale);

// The kernel.
u64 system_call(Scale);  // getppid
u64 pipe_one_hart(Scale);
u64 pipe_two_harts(Scale);
u64 page_fault(Scale);         // touch and unmap
u64 protect(Scale);            // mprotect, with touches
u64 protect_two_harts(Scale);  // the same while another hart uses the address space
u64 fork_wait(Scale);
u64 exec_wait(Scale);
u64 shell_script(Scale);

// Synchronisation.
u64 mutex_alone(Scale);
u64 lock_two_harts(Scale);
u64 atomic_add(Scale);
u64 compare_and_swap(Scale);

// Code written and run, each round after an instruction fence.
u64 written_code(Scale);

// Keeps the optimiser from knowing a value.
template <typename T>
inline T opaque(T value) {
  asm volatile("" : "+r"(value));
  return value;
}

// A small generator, the same everywhere (xorshift).
struct Noise {
  u64 state = 0x9E3779B97F4A7C15;
  u64 next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
};

}  // namespace cloister::bench
