// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "policy/memory/states.h"
#include "policy/memory/targets.h"

// Decisions in words, with the numbers that led to them: what `cloister explain` prints.
namespace cloister::policy::memory {

// One line, for tables: "its minimum", "its price".
std::string reason_in_short(const Decision& decision);
// Several sentences, a line each.
std::string explain(const ClientTree& tree, const Decision& decision);
// How much it is thought to use, by which average, and how far that may be off.
std::string explain(const ActivityEstimator& estimator);
// What its next and its last memory are worth by the miss-ratio curve, `step` more and less than it holds.
std::string explain(const MissRatioCurve& curve, Units held, Units step);
// What the state of the host means for everybody.
std::string explain(HostState state, const Thresholds& thresholds, Pages free);

}  // namespace cloister::policy::memory
