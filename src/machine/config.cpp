// SPDX-License-Identifier: Apache-2.0
#include "machine/config.h"

#include "base/size.h"

namespace cloister::machine {
namespace {

Result<void> check_deterministic(const MachineConfig& config) {
  const auto refuse = [](const char* what) {
    return error("{} cannot be had in deterministic mode: what comes from outside differs from run to run",
                 what);
  };
  if (config.net) return refuse("a network");
  if (!config.vsock.empty()) return refuse("vsock");
  if (!config.shares.empty()) return refuse("a shared folder");
  return {};
}

Result<void> check_verify(const MachineConfig& config) {
  if (config.engine != Engine::kTranslator)
    return error("verify compares the translator with the interpreter: choose engine jit");
  if (!config.deterministic)
    return error("verify needs two machines that go the same way: give a seed, as deterministic 1");
  for (const DiskConfig& disk : config.disks) {
    if (!disk.read_only && disk.overlay.empty())
      return error(
          "verify runs two machines, and disk '{}' can be written by one only: give it an overlay or "
          "make it readonly",
          disk.path);
  }
  return {};
}

}  // namespace

Result<void> check_config(const MachineConfig& config) {
  if (config.cpus < 1 || config.cpus > kMaxCpus)
    return error("{} CPUs cannot be had: ask for 1 to {}", config.cpus, kMaxCpus);
  if (config.memory.raw == 0 || config.memory.raw % kPageSize != 0)
    return error("a memory of {} bytes is no multiple of the page of {}: ask for one, such as {}",
                 config.memory.raw, kPageSize,
                 format_size(Bytes{(config.memory.raw / kPageSize + 1) * kPageSize}));
  if (config.deterministic) TRY(check_deterministic(config));
  if (config.verify) TRY(check_verify(config));
  return {};
}

}  // namespace cloister::machine
