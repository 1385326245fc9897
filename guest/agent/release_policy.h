// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest_abi.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace cloister::agent {

// A program with a knob, as it is now. Bytes.
struct ProgramState {
  std::uint64_t used = 0;
  std::uint64_t limit = 0;    // that its knob stands at; never above the ceiling
  std::uint64_t ceiling = 0;  // that it was given by whoever runs it
  std::uint64_t floor = 0;    // that it keeps in any case
  std::uint64_t weight = 1;
  std::uint64_t resident = 0;  // what the guest's kernel has for it, where that is known
  std::uint64_t least = 0;     // a cut of less is not worth what it costs
};

// What is wanted, from the condition and the guest.
struct Need {
  std::uint64_t time = 0;       // milliseconds
  std::uint32_t level = 0;      // CLOISTER_AMPLE to CLOISTER_CRITICAL
  std::uint64_t release = 0;    // suggested to be released by all together
  std::uint64_t spare = 0;      // what the host gets without anybody being asked
  std::uint64_t available = 0;  // what programs may use without the host taking it from elsewhere
  std::uint64_t usable = 0;     // what they may use for all that the guest's kernel knows
  std::uint64_t read_back = 0;  // bytes a second that the host brings back of what it swapped
  std::uint64_t deadline = 0;   // milliseconds from now; 0: none
};

// A knob to turn, and when: milliseconds from now.
struct Turn {
  std::size_t program;
  std::uint64_t limit;
  std::uint64_t after;
};

// What lies free in a guest and has frames that the host can take. It takes what is idle first, so pages
// without frames are free ones, as far as there are so many.
std::uint64_t free_and_held(std::uint64_t free, const cloister_condition& condition);

// Who gives how much, and when. Pure; called at each change of the condition and every few seconds while
// memory is wanted or a limit is below its ceiling. The programs are always the same, in the same order.
class ReleasePolicy {
 public:
  // `spread`: milliseconds from one program's turn to the next.
  explicit ReleasePolicy(std::uint64_t spread);

  std::vector<Turn> decide(const Need& need, const std::vector<ProgramState>& programs);

 private:
  bool is_following(std::size_t program, std::uint64_t time) const;
  std::uint64_t under_way(const Need& need, const std::vector<ProgramState>& programs) const;
  void note_need(std::uint64_t time);
  void note_loss(const Need& need);
  std::vector<Turn> cut(const Need& need, const std::vector<ProgramState>& programs);
  std::vector<Turn> raise(const Need& need, const std::vector<ProgramState>& programs);

  std::uint64_t spread_;
  struct Cut {
    std::uint64_t time = 0;    // 0: never
    std::uint64_t wanted = 0;  // in all
  };
  std::vector<Cut> cuts_;        // each program's last
  std::uint64_t loss_ = 0;       // bytes read back of late, beyond what is no loss
  std::uint64_t told_at_ = 0;    // when it was told of last
  std::uint64_t wanted_at_ = 0;  // when memory was wanted last
  std::uint64_t raised_at_ = 0;
  std::uint64_t calm_;   // milliseconds without need before limits rise
  std::uint64_t trial_;  // a part of the ceiling: by so much they may, whatever is available
};

}  // namespace cloister::agent
