// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace cloister::agent {

// How the guest's memory does, as its kernel tells. Bytes, but where said.
struct Signs {
  std::uint64_t time = 0;  // milliseconds
  std::uint64_t total = 0;
  std::uint64_t free = 0;
  std::uint64_t available = 0;
  std::uint64_t kept = 0;  // by the kernel for itself: no less is available than what is free less this
  std::uint64_t swap_total = 0;
  std::uint64_t swap_free = 0;
  // The counts, and when they were taken, which may be earlier.
  std::uint64_t counted = 0;
  std::uint64_t stalled = 0;      // microseconds that some task has waited for memory, since the start
  std::uint64_t swapped_out = 0;  // since the start
  std::uint64_t refaulted = 0;  // pages that were read back soon after they had been dropped; since the start
  std::uint64_t missed = 0;     // of these: would not have been with a little more memory
};

// From the texts of /proc/meminfo, /proc/vmstat and /proc/pressure/memory. What is not in them becomes 0: an
// old kernel has no pressure file.
void read_memory(const char* meminfo, Signs& signs);
void read_traffic(const char* vmstat, Signs& signs);
void read_stalls(const char* pressure, Signs& signs);

// What is free now, by a call that costs a hundredth of what reading a file does.
std::uint64_t free_memory();

// The files, held open. One that cannot be opened reads as empty.
class SignReader {
 public:
  SignReader();
  ~SignReader();
  SignReader(const SignReader&) = delete;
  SignReader& operator=(const SignReader&) = delete;

  enum class Extent : std::uint8_t { kMemory, kAll };  // the first leaves the counts as they were read last
  Signs read(Extent extent);

 private:
  const char* whole(int file);

  Signs signs_;
  char text_[16384];
  int meminfo_;
  int vmstat_;
  int pressure_;
};

}  // namespace cloister::agent
