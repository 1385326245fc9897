// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lockstep/executor.h"

namespace cloister::lockstep {

// Our hart in S-mode, interpreting or translating, with no machine around it but what answers the program's
// two calls.
class HartExecutor final : public Executor {
 public:
  // With kSv39 the hart runs through a page table (the same addresses), so that the walker and the soft
  // TLB's permissions take part.
  enum class Paging { kBare, kSv39 };
  // kTranslatorPlain: with nothing but x86-64's baseline. kTranslatorTight: each block is translated at its
  // second entry, the code cache holds little and so is cleared all the time, and the soft TLB has four
  // entries.
  enum class Engine { kInterpreter, kTranslator, kTranslatorPlain, kTranslatorTight };
  HartExecutor(Paging paging, Engine engine) : paging_(paging), engine_(engine) {}

  const char* name() const override;
  Result<std::vector<State>> run(const Program& program, const Image& image) override;

  u64 executed() const { return executed_; }  // instructions, those that load and save states too

 private:
  const Paging paging_;
  const Engine engine_;
  u64 executed_ = 0;
};

}  // namespace cloister::lockstep
