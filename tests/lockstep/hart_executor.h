// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lockstep/executor.h"

namespace cloister::lockstep {

// Our interpreter: one hart in S-mode, with no machine around it but what answers the program's two calls.
class HartExecutor final : public Executor {
 public:
  // With kSv39 the hart runs through a page table (the same addresses), so that the walker and the soft
  // TLB's permissions take part.
  enum class Paging { kBare, kSv39 };
  explicit HartExecutor(Paging paging) : paging_(paging) {}

  const char* name() const override { return paging_ == Paging::kBare ? "hart, bare" : "hart, Sv39"; }
  Result<std::vector<State>> run(const Program& program, const Image& image) override;

  u64 executed() const { return executed_; }  // instructions, those that load and save states too

 private:
  const Paging paging_;
  u64 executed_ = 0;
};

}  // namespace cloister::lockstep
