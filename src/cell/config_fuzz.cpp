// SPDX-License-Identifier: Apache-2.0
// Whatever a config file holds, it is read or refused with a message.
#include <cstdint>

#include "cell/options.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cloister;
  machine::MachineConfig config;
  const auto result = cell::read_config({reinterpret_cast<const char*>(data), size}, "fuzz.toml", config);
  if (!result.ok()) CHECK(!result.failure().message.empty());
  if (result.ok()) CHECK(config.cpus >= 1 && config.cpus <= machine::kMaxCpus);
  return 0;
}
