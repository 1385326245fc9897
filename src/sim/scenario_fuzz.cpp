// SPDX-License-Identifier: Apache-2.0
// Any text as a scenario: it is read or refused. No trace file is opened: there is no folder.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "sim/scenario.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cloister;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)sim::read_scenario(text, "fuzz.toml", "/nowhere").ok();
  return 0;
}
