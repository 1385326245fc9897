// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "hart/hart.h"
#include "jit/translator.h"
#include "memory/guest_memory.h"

// A program of lockstep/loops.h, lockstep/calls.h or lockstep/mixture.h on two bare harts, translating and
// interpreting: in turns of the same random budgets, after each of which the harts must be equal in all that
// a guest can see.
namespace cloister::lockstep {

enum class Programs : u8 { kLoops, kCalls, kMixture };

struct TwinOptions {
  const char* name = "";
  u32 tlb_entries = 1024;
  Bytes code_cache{16 * kMiB};
  u64 longest_turn = 4000;
  // The soft TLB and the epochs of the one that translates are thrown away now and then between turns.
  bool forgets = false;
  // Pages of its data come to be a vault's between turns, so what is written to one moves it meanwhile.
  bool shares = false;
  // Regions are made by another thread, while the hart goes on.
  bool beside = false;
  // Beside, and what is made serves others too: two more machines run meanwhile, one with the same program,
  // one with another at the same place.
  bool shelf = false;
  Programs programs = Programs::kLoops;
  bool plain = false;  // the translator uses no instruction that x86-64's baseline lacks
};

class Twins {
 public:
  Twins(u64 seed, const TwinOptions& options);
  ~Twins();

  // Empty, or what is different.
  std::string run(u64 turns);
  u64 instructions() const;
  u64 traps() const;
  u64 wide_regions() const;    // that were made of several pages
  u64 remade_regions() const;  // that were made anew because they were very hot
  // The one that translates; ask_for_safe_point() may be called by any thread meanwhile.
  hart::Hart& tested();

 private:
  class Machine;
  struct Neighbour;
  void disturb();
  std::string difference(bool memory_too) const;

  const TwinOptions options_;
  Random random_;
  std::shared_ptr<jit::Workshop> workshop_;  // nullptr: none
  std::unique_ptr<jit::Translator> translator_;
  std::unique_ptr<Machine> tested_, reference_;
  std::vector<Neighbour> neighbours_;
};

}  // namespace cloister::lockstep
