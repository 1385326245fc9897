// SPDX-License-Identifier: Apache-2.0
//
// The translator held to the interpreter
//
// Two whole machines with the same seed, one on each engine, in deterministic mode: the same turns, of the
// same lengths, at the same virtual times. After each round of turns all that a guest can see of the harts is
// compared, so the first difference is found within a few thousand instructions of where it began, with
// devices, traps, timers and several harts at work. Memory is compared now and then and at the end.
//
// Tried instead, on paper: running each region a second time on the interpreter, against a copy of the State
// and a log of its stores. It finds the instruction itself, but needs every store and every device access
// undone, in the very code that is under test; two machines need nothing of the engines.
//
// Both machines stop at the same block boundaries, which the engines promise. What is typed meanwhile cannot
// be given to both at the same instruction, so the machine refuses it. A stop from outside comes in the
// middle of a turn of one of them: what they came to then is not compared.
#include "machine/run_verified.h"

#include <fmt/format.h>

#include "hart/snapshot.h"
#include "machine/digest.h"
#include "machine/turns.h"

namespace cloister::machine {
namespace {

constexpr Turns::Lengths kLengths{1, 4'000};
constexpr u64 kRoundsBetweenDigests = 200'000;

class Comparison {
 public:
  explicit Comparison(Twin tested, Twin reference) : tested_(tested), reference_(reference) {}

  std::string harts() {
    std::string found;
    for (u32 id = 0; id < tested_.board.harts().count(); ++id) found += hart(id);
    if (found.empty()) ++equal_rounds_;
    return found;
  }

  std::string memory() const {
    const u64 tested = digest(tested_.board.memory()), reference = digest(reference_.board.memory());
    if (tested == reference) return {};
    return fmt::format("memory differs after {} equal rounds: {:016x}, reference {:016x}\n", equal_rounds_,
                       tested, reference);
  }

 private:
  std::string hart(u32 id) {
    const HartSlot& tested = tested_.board.harts()[id];
    const HartSlot& reference = reference_.board.harts()[id];
    const hart::Snapshot now = tested.hart.snapshot(), wanted = reference.hart.snapshot();
    if (now == wanted && tested.state.load() == reference.state.load()) {
      last_equal_.resize(tested_.board.harts().count());
      last_equal_[id] = {tested.hart.pc(), tested.hart.instructions()};
      return {};
    }
    const Place last = id < last_equal_.size() ? last_equal_[id] : Place{};
    return fmt::format("hart {} was equal at pc {:#x} after {} instructions, then:\n{}", id, last.pc,
                       last.instructions, hart::differences(now, wanted));
  }

  struct Place {
    u64 pc = 0;
    u64 instructions = 0;
  };
  const Twin tested_;
  const Twin reference_;
  std::vector<Place> last_equal_;
  u64 equal_rounds_ = 0;
};

const char* name_of(hart::Exit exit) {
  switch (exit) {
    case hart::Exit::kBudget:
      return "its budget";
    case hart::Exit::kWait:
      return "a wait";
    case hart::Exit::kRequest:
      return "a request";
  }
  return "";
}

// The turns of the round that went apart.
std::string turns_of(const char* whose, const Turns& turns) {
  std::string text;
  for (const Turns::Turn& turn : turns.last_round()) {
    text += fmt::format("{} turn of hart {} at {} ns: {} of {} instructions, ended by {}\n", whose, turn.hart,
                        turn.began.raw, turn.executed, turn.budget, name_of(turn.exit));
  }
  return text;
}

}  // namespace

std::string run_verified(Twin tested, Twin reference) {
  const Turns::Lengths lengths = Turns::lengths_for(tested.board, kLengths);
  Turns turns(tested.board, tested.clock, tested.random, lengths);
  Turns reference_turns(reference.board, reference.clock, reference.random, lengths);
  Comparison comparison(tested, reference);
  std::string found;
  for (u64 rounds = 1; found.empty() && tested.board.power().on(); ++rounds) {
    turns.round();
    if (reference.board.power().on()) reference_turns.round();
    found = comparison.harts();
    if (!found.empty()) found += turns_of("tested", turns) + turns_of("reference", reference_turns);
    if (found.empty() && rounds % kRoundsBetweenDigests == 0) found = comparison.memory();
  }
  tested.board.after_slice();
  if (tested.board.power().event() == PowerEvent::kStop) return {};
  return found.empty() ? comparison.memory() : found;
}

}  // namespace cloister::machine
