// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/os/file.h"
#include "base/os/process.h"
#include "base/result.h"
#include "base/units.h"
#include "host/order.h"

// What a restart of the daemon must find, in files. (essay in records.cpp)
namespace cloister::host {

// The allowance of one running cell, written before the cell hears of any that it gained and after it gave
// back: so this figure is never below what the cell really has. Move-only.
class HeldFile {
 public:
  // Made anew with 0, or as the last daemon left it.
  static Result<HeldFile> create(const std::string& path);
  static Result<HeldFile> open(const std::string& path);

  Pages held() const { return held_; }
  Result<void> write(Pages held);

 private:
  HeldFile(os::File file, Pages held) : file_(std::move(file)), held_(held) {}
  os::File file_;
  Pages held_;
};

class Records {
 public:
  // Makes the folders, readable to their owner alone.
  static Result<Records> open(std::string state_folder, std::string runtime_folder);

  // Keeps every other daemon out as long as the file lives. Refused: when one runs on these folders.
  Result<os::File> lock() const;

  // -- Machines that are defined.
  Result<void> save(const MachineOrder& order) const;
  Result<void> remove(const std::string& name) const;  // with its logs
  // All that can be read; what cannot is left where it is, and named in `problems`.
  std::vector<MachineOrder> load(std::vector<Error>& problems) const;

  // -- Settings changed while the daemon ran; they count over its configuration.
  Result<void> save_settings(const std::vector<Word>& words) const;
  Result<std::vector<Word>> load_settings() const;

  // -- Cells that run.
  Result<void> note_running(const std::string& name, os::ProcessId id) const;
  std::optional<os::ProcessId> running(const std::string& name) const;
  void forget_running(const std::string& name) const;

  std::string machine_folder(const std::string& name) const { return state_folder_ + "/machines/" + name; }
  std::string cell_folder(const std::string& name) const { return runtime_folder_ + "/cells/" + name; }
  std::string control_path(const std::string& name) const { return cell_folder(name) + "/control"; }
  std::string console_path(const std::string& name) const { return cell_folder(name) + "/console"; }
  std::string vsock_path(const std::string& name) const { return cell_folder(name) + "/vsock"; }
  std::string held_path(const std::string& name) const { return cell_folder(name) + "/held"; }
  std::string api_path() const { return runtime_folder_ + "/api"; }
  // Makes the folders of one machine.
  Result<void> make_folders(const std::string& name) const;

 private:
  Records(std::string state_folder, std::string runtime_folder)
      : state_folder_(std::move(state_folder)), runtime_folder_(std::move(runtime_folder)) {}

  std::string state_folder_;
  std::string runtime_folder_;
};

}  // namespace cloister::host
