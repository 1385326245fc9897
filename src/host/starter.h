// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "base/os/process.h"
#include "base/result.h"
#include "host/order.h"
#include "host/records.h"
#include "host/settings.h"

namespace cloister::host {

// The process of a cell, or what stands for one.
class CellProcess {
 public:
  virtual ~CellProcess() = default;
  virtual os::ProcessId id() const = 0;
  // Readable when it has ended.
  virtual const os::Fd& fd() const = 0;
  virtual void kill() = 0;
  virtual os::ProcessEnd end() = 0;
  // By the host kernel's figures; nothing when it has ended.
  virtual std::optional<os::ProcessMemory> memory() const = 0;
  virtual std::optional<Bytes> mapped_in_parts() const = 0;
};

// Where cells come from. The daemon knows no more of a cell's making than this, for there will be other
// kinds.
class CellStarter {
 public:
  virtual ~CellStarter() = default;
  // The cell will connect to records.control_path(order.name), where the daemon listens already.
  virtual Result<std::unique_ptr<CellProcess>> start(const MachineOrder& order, Bytes swap) = 0;
  // One that an earlier daemon started; refused when it has ended.
  virtual Result<std::unique_ptr<CellProcess>> find(os::ProcessId id) = 0;
  // The end of what the cell said on its way down, for a person; empty when it said nothing.
  virtual std::string last_words(const std::string& name) = 0;
};

// cloister-cell, the program beside this one.
class CloisterCells final : public CellStarter {
 public:
  CloisterCells(const Settings& settings, const Records& records) : settings_(settings), records_(records) {}

  Result<std::unique_ptr<CellProcess>> start(const MachineOrder& order, Bytes swap) override;
  Result<std::unique_ptr<CellProcess>> find(os::ProcessId id) override;
  std::string last_words(const std::string& name) override;

 private:
  std::string log_path(const std::string& name) const { return records_.machine_folder(name) + "/cell.log"; }

  const Settings& settings_;
  const Records& records_;
};

}  // namespace cloister::host
