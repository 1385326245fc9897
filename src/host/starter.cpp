// SPDX-License-Identifier: Apache-2.0
#include "host/starter.h"

#include <filesystem>
#include <utility>

#include "base/os/file.h"
#include "base/os/new_file.h"
#include "base/os/unix_socket.h"
#include "base/os/users.h"

namespace cloister::host {
namespace {

// Bounds: of descriptors and threads a cell has few; a folder shared with the guest may need many files open.
constexpr u64 kDescriptors = 4096;
constexpr u64 kMostWords = 2000;

class RealProcess final : public CellProcess {
 public:
  explicit RealProcess(os::Process process) : process_(std::move(process)) {}
  os::ProcessId id() const override { return process_.id(); }
  const os::Fd& fd() const override { return process_.fd(); }
  void kill() override { process_.kill(); }
  os::ProcessEnd end() override { return process_.end(); }
  std::optional<os::ProcessMemory> memory() const override {
    return os::memory_of_process(process_.id().number);
  }
  std::optional<Bytes> mapped_in_parts() const override { return os::mapped_in_parts(process_.id().number); }

 private:
  os::Process process_;
};

// As whom cells run: this user, unless that is root.
Result<std::optional<os::Owner>> cell_owner(const Settings& settings) {
  if (os::file_owner().user != 0) return std::optional<os::Owner>{};
  if (!settings.cell_user.empty()) {
    const auto owner = os::find_user(settings.cell_user);
    if (!owner)
      return error("cell-user '{}' is no user of this machine; make it, or name another", settings.cell_user);
    return owner;
  }
  for (const char* name : {"cloister", "nobody"}) {
    if (const auto owner = os::find_user(name)) return owner;
  }
  return error("cells would run as root: name another user with cell-user");
}

}  // namespace

Result<std::unique_ptr<CellProcess>> CloisterCells::start(const MachineOrder& order, Bytes swap) {
  const std::string folder = records_.machine_folder(order.name);
  os::File log = TRY(os::File::open(log_path(order.name), os::Open::kCreate));
  TRY(log.resize(Bytes{0}));
  const os::File first = TRY(os::File::open(folder + "/console.0", os::Open::kCreate));
  const os::File second = TRY(os::File::open(folder + "/console.1", os::Open::kCreate));
  const os::File swap_file = TRY(os::File::unnamed(settings_.swap_folder));
  auto console = TRY(os::UnixListener::listen(records_.console_path(order.name)));
  auto vsock = TRY(os::UnixListener::listen(records_.vsock_path(order.name)));
  os::Launch launch;
  launch.program = "cloister-cell";
  launch.arguments = order.cell_flags();
  launch.arguments.push_back("--control=" + records_.control_path(order.name));
  launch.arguments.push_back(fmt::format("--swap={}", swap.raw));
  launch.arguments.push_back("--sandbox=" + settings_.sandbox);
  launch.folder = order.folder;
  launch.log = &log.fd();
  launch.descriptors = {&console.fd(), &first.fd(), &second.fd(), &swap_file.fd(), &vsock.fd()};
  launch.descriptor_limit = kDescriptors;
  launch.owner = TRY(cell_owner(settings_));
  if (launch.owner) TRY(os::give_to(records_.control_path(order.name), *launch.owner));
  if (launch.owner) TRY(os::give_to(records_.cell_folder(order.name), *launch.owner));
  auto started = os::Process::start(launch);
  if (!started.ok() && launch.owner)
    return error(
        "{} (cells run as another user: let it reach the program, or name one that can with cell-user)",
        started.failure().message);
  os::Process process = TRY(std::move(started));
  console.leave_to_another();
  vsock.leave_to_another();
  return std::unique_ptr<CellProcess>(new RealProcess(std::move(process)));
}

Result<std::unique_ptr<CellProcess>> CloisterCells::find(os::ProcessId id) {
  return std::unique_ptr<CellProcess>(new RealProcess(TRY(os::Process::find(id))));
}

std::string CloisterCells::last_words(const std::string& name) {
  const auto text = os::read_text_file(log_path(name), Bytes{kMiB});
  if (!text.ok()) return "";
  std::string words = text->substr(text->size() - std::min<std::size_t>(text->size(), kMostWords));
  while (words.ends_with('\n')) words.pop_back();
  return words.substr(words.rfind('\n') + 1);
}

}  // namespace cloister::host
