// SPDX-License-Identifier: Apache-2.0
#include "machine/engine.h"

#include "jit/translator.h"

namespace cloister::machine {
namespace {

// Bound: the code of all harts together. What is known of it takes about as much again, and a cell is to take
// less than 64 MiB for itself. The working set of a kernel and a program is a few MiB.
constexpr Bytes kTranslatedCode{24 * kMiB};

}  // namespace

Result<Translators> make_translators(const MachineConfig& config) {
  Translators translators(config.cpus);
  if (config.engine == Engine::kInterpreter) return translators;
  jit::TranslatorOptions options;
  options.code_cache.raw = kTranslatedCode.raw / config.cpus / kPageSize * kPageSize;
  for (auto& translator : translators) translator = TRY(jit::Translator::create(options));
  return translators;
}

}  // namespace cloister::machine
