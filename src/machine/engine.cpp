// SPDX-License-Identifier: Apache-2.0
#include "machine/engine.h"

#include "jit/translator.h"

namespace cloister::machine {
namespace {

// Bound: the code of all harts together. What is known of it takes two thirds as much again. Two harts that
// run programs of all kinds have 24 MiB of it; when they had room for 20, fork, exec and shell took a tenth
// more.
constexpr Bytes kTranslatedCode{36 * kMiB};

// What runs often is translated, and its decoded form used no more.
constexpr Bytes kDecodedBesideTranslated{4 * kMiB};
constexpr Bytes kTinyCode{256 * kKiB};

// Bound: so much of what was made for one hart is kept for the others. A boot makes 22 MiB of it; with all of
// that kept, four harts make 9,600 regions, with this 11,000, with none 21,000.
constexpr Bytes kShelf{8 * kMiB};

}  // namespace

hart::HartOptions hart_options(const MachineConfig& config) {
  hart::HartOptions options;
  if (config.engine == Engine::kTranslator) options.code_cache = kDecodedBesideTranslated;
  if (config.stress.code) options.code_cache = kTinyCode;
  if (config.stress.tlb) options.tlb_entries = 4;
  return options;
}

Result<Translators> make_translators(const MachineConfig& config) {
  Translators translators(config.cpus);
  if (config.engine == Engine::kInterpreter) return translators;
  jit::TranslatorOptions options;
  options.is_alone = config.cpus == 1;
  // Half of it is for whoever needs it.
  const u64 own = config.cpus == 1 ? kTranslatedCode.raw : kTranslatedCode.raw / 2 / config.cpus;
  options.code_cache.raw = own / kPageSize * kPageSize;
  if (config.cpus > 1)
    options.more_code = std::make_shared<jit::CodeAllowance>(Bytes{kTranslatedCode.raw / 2});
  if (config.stress.code) {
    options.code_cache = kTinyCode;
    options.more_code = nullptr;
  }
  const auto workshop = std::make_shared<jit::Workshop>(options.is_alone ? Bytes{} : kShelf);
  for (auto& translator : translators) translator = TRY(jit::Translator::create(options, workshop));
  return translators;
}

}  // namespace cloister::machine
