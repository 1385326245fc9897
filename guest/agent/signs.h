// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace cloister::agent {

// How the guest's memory does, as its kernel tells. Bytes, but where said.
struct Signs {
  std::uint64_t time = 0;  // milliseconds
  std::uint64_t total = 0;
  std::uint64_t free = 0;
  std::uint64_t available = 0;
  std::uint64_t swap_total = 0;
  std::uint64_t swap_free = 0;
  std::uint64_t stalled = 0;      // microseconds that some task has waited for memory, since the start
  std::uint64_t swapped_out = 0;  // since the start
  std::uint64_t refaulted = 0;  // pages that were read back soon after they had been dropped; since the start
};

// From the texts of /proc/meminfo, /proc/vmstat and /proc/pressure/memory. What is not in them stays 0: an
// old kernel has no pressure file.
Signs signs_in(const std::string& meminfo, const std::string& vmstat, const std::string& pressure);

// The files, held open. One that cannot be opened reads as empty.
class SignReader {
 public:
  SignReader();
  ~SignReader();
  SignReader(const SignReader&) = delete;
  SignReader& operator=(const SignReader&) = delete;

  Signs read();

 private:
  int meminfo_;
  int vmstat_;
  int pressure_;
};

}  // namespace cloister::agent
