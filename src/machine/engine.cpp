// SPDX-License-Identifier: Apache-2.0
#include "machine/engine.h"

#include "jit/translator.h"

namespace cloister::machine {
namespace {

// Bound: the translated code of all harts together, and each hart's decoded blocks, which are used no more
// once they are translated. What is known of translated code takes two thirds as much again, and a cell is to
// take less than 64 MiB for itself. When the code has no more room all of it is dropped, and what is hot
// comes to lie together: with 36 MiB one hart takes a third longer for exec and shell. Two harts that run
// programs of all kinds have 24 MiB; with room for 20 all of that takes them 5 % longer.
struct Room {
  Bytes translated;
  Bytes decoded;
};
constexpr Room kRoomForOne{Bytes{20 * kMiB}, Bytes{6 * kMiB}};
constexpr Room kRoomForSeveral{Bytes{36 * kMiB}, Bytes{4 * kMiB}};
const Room& room_for(u32 harts) { return harts == 1 ? kRoomForOne : kRoomForSeveral; }

constexpr Bytes kTinyCode{256 * kKiB};

// Bound: so much of what was made for one hart is kept for the others. A boot makes 22 MiB of it; with all of
// that kept, four harts make 9,600 regions, with this 11,000, with none 21,000.
constexpr Bytes kShelf{8 * kMiB};

}  // namespace

hart::HartOptions hart_options(const MachineConfig& config) {
  hart::HartOptions options;
  if (config.engine == Engine::kTranslator) options.code_cache = room_for(config.cpus).decoded;
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
  const Bytes room = room_for(config.cpus).translated;
  const u64 own = config.cpus == 1 ? room.raw : room.raw / 2 / config.cpus;
  options.code_cache.raw = own / kPageSize * kPageSize;
  if (config.cpus > 1) options.more_code = std::make_shared<jit::CodeAllowance>(Bytes{room.raw / 2});
  if (config.stress.code) {
    options.code_cache = kTinyCode;
    options.more_code = nullptr;
  }
  const auto workshop = std::make_shared<jit::Workshop>(options.is_alone ? Bytes{} : kShelf);
  for (auto& translator : translators) translator = TRY(jit::Translator::create(options, workshop));
  return translators;
}

}  // namespace cloister::machine
