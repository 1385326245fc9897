// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "base/result.h"
#include "hart/hart.h"
#include "hart/translator.h"
#include "machine/config.h"

namespace cloister::machine {

// One translator for each hart, or as many nullptr where the machine interprets. Refused: no address space
// left for code.
using Translators = std::vector<std::unique_ptr<hart::Translator>>;
Result<Translators> make_translators(const MachineConfig& config);

// What the machine's harts are made with, but for their translators.
hart::HartOptions hart_options(const MachineConfig& config);

}  // namespace cloister::machine
