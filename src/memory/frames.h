// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/os/mapping.h"
#include "base/os/mem_file.h"
#include "base/result.h"
#include "base/units.h"
#include "memory/condition_page.h"

namespace cloister::memory {

// What makes a page a balloon page is a secret at its head; the rest is zero, so writing it is cheap.
inline constexpr std::size_t kMarkBytes = 32;

// The host memory behind a guest: a memory file with a place for each page, and the three pages that many
// guest pages read instead. A place that was never written, or was given back, is a hole and costs nothing.
class Frames {
 public:
  static constexpr u64 kZeroRun = 64;  // pages of zeros in a row: how long a run of zero pages may be

  // For `pages` pages, with a balloon value of their own.
  static Result<Frames> create(Pages pages);

  std::byte* place(u64 index) const { return places_.data() + (index << kPageShift); }
  std::byte* zeros() const { return zeros_.data(); }
  std::byte* balloon_page() const { return balloon_.data(); }
  ConditionPage& condition() { return condition_; }
  const ConditionPage& condition() const { return condition_; }

  // Makes holes of `count` places from `first` on: what they held is gone, and the host's kernel clears a
  // frame before anyone gets it again.
  void give_back(u64 first, Pages count) {
    CHECK(file_.punch_hole(first << kPageShift, bytes_of(count)).ok());
  }
  Bytes allocated() const { return file_.allocated(); }

 private:
  Frames(os::MemFile file, os::Mapping places, os::Mapping zeros, os::Mapping balloon,
         ConditionPage condition)
      : file_(std::move(file)),
        places_(std::move(places)),
        zeros_(std::move(zeros)),
        balloon_(std::move(balloon)),
        condition_(std::move(condition)) {}

  os::MemFile file_;
  os::Mapping places_, zeros_, balloon_;
  ConditionPage condition_;
};

}  // namespace cloister::memory
