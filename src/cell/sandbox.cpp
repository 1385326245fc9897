// SPDX-License-Identifier: Apache-2.0
#include "cell/sandbox.h"

#include <filesystem>

#include "base/log.h"
#include "base/os/confinement.h"

namespace cloister::cell {
namespace {

using os::FileRight;
using Kind = os::FileRight::Kind;

std::string folder_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

// An overlay that is to be made needs its folder; one that is there only itself.
void add_disk(const machine::DiskConfig& disk, std::vector<FileRight>& rights) {
  const bool written = !disk.read_only && disk.overlay.empty();
  rights.push_back({disk.path, written ? Kind::kReadWrite : Kind::kRead});
  if (disk.overlay.empty()) return;
  std::error_code ignored;
  const bool there = std::filesystem::exists(disk.overlay, ignored);
  rights.push_back(there ? FileRight{disk.overlay, Kind::kReadWrite}
                         : FileRight{folder_of(disk.overlay), Kind::kWholeTree});
}

std::vector<FileRight> rights_for(const machine::MachineConfig& config) {
  std::vector<FileRight> rights{{config.kernel, Kind::kRead}, {"/proc/self", Kind::kReadTree}};
  if (!config.initrd.empty()) rights.push_back({config.initrd, Kind::kRead});
  for (const auto& disk : config.disks) add_disk(disk, rights);
  for (const auto& share : config.shares)
    rights.push_back({share.path, share.read_only ? Kind::kReadTree : Kind::kWholeTree});
  if (!config.vsock.empty()) rights.push_back({folder_of(config.vsock), Kind::kWholeTree});
  if (config.net) rights.push_back({"/etc/resolv.conf", Kind::kRead});
  return rights;
}

os::Network network_of(const machine::MachineConfig& config) {
  return config.net ? os::Network::kHosts : os::Network::kNone;
}

}  // namespace

Result<void> shut_in(const machine::MachineConfig& config) {
  if (!TRY(os::separate_namespaces(network_of(config)))) {
    log(LogLevel::kInfo, "the host allows no namespaces of its own to this cell");
  }
  if (!TRY(os::restrict_files(rights_for(config)))) {
    log(LogLevel::kWarning, "the host's kernel cannot restrict this cell to its files (no Landlock)");
  }
  return {};
}

Result<void> shut_the_door(const machine::MachineConfig& config) {
  return os::restrict_calls(network_of(config));
}

}  // namespace cloister::cell
