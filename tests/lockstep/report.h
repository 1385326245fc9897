// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lockstep/executor.h"

namespace cloister::lockstep {

// The index of the first state in which the two differ.
std::optional<u64> first_difference(const std::vector<State>& ours, const std::vector<State>& oracles);

// For a person: finds the first instruction after which the two machines differ, by running all beginnings of
// the snippet on both from that initial state, and prints the snippet's disassembly up to there and the
// state's parts before and after.
std::string explain_difference(Executor& ours, Executor& oracle, const Program& program, Run run);

// Likewise for a program that a machine does not bring to its end.
std::string explain_loss(Executor& lost, const Program& program);

}  // namespace cloister::lockstep
