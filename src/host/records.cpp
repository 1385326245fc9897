// SPDX-License-Identifier: Apache-2.0
//
// What is written where, and why files
//
// There are two kinds of truth. What a person ordered (machines, settings changed at run time) must outlive
// the host; it changes only when a person says so, one machine at a time. A file for each machine, replaced
// whole (written beside, flushed, renamed, the folder flushed), is atomic for exactly that unit, can be read
// and mended with any editor, and a broken one costs one machine and not all: a database would add a library
// and nothing else.
//
// What is true only as long as cells run (which process, how many frames) lies in the runtime folder. It
// changes a thousand times a second while a guest grows, and is worth nothing after the host's restart, when
// the cells are gone too. It must outlive the daemon's death alone, for which the page cache is enough: which
// process it is is written beside and renamed, the eight bytes of an allowance in place, and neither is ever
// flushed. So the event loop waits for no disk; what is flushed is the clerk's (clerk.h).
#include "host/records.h"

#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <system_error>

#include "base/os/new_file.h"

namespace cloister::host {
namespace {

namespace fs = std::filesystem;

constexpr Bytes kMostText{kMiB};

Result<void> make_private_folder(const std::string& path) {
  std::error_code failure;
  fs::create_directories(path, failure);
  if (failure) return error("the folder '{}' cannot be made: {}; choose another", path, failure.message());
  fs::permissions(path, fs::perms::owner_all, failure);
  return {};
}

// So that a process of an earlier life of the host is not taken for a cell.
std::string boot_id() {
  const auto text = os::read_text_file("/proc/sys/kernel/random/boot_id", Bytes{100});
  return text.ok() ? text->substr(0, text->find('\n')) : "";
}

Result<nlohmann::json> read_json(const std::string& path) try {
  return nlohmann::json::parse(TRY(os::read_text_file(path, kMostText)));
} catch (const nlohmann::json::exception& failure) {
  return error("'{}' is damaged: {}; mend or remove it", path, failure.what());
}

Result<MachineOrder> read_order(const fs::path& folder) {
  const auto json = TRY(read_json(folder / "order.json"));
  return MachineOrder::read(folder.filename(), TRY(words_of(json)));
}

}  // namespace

Result<HeldFile> HeldFile::create(const std::string& path) {
  HeldFile file(TRY(os::File::open(path, os::Open::kCreate)), Pages{});
  TRY(file.write(Pages{}));
  return file;
}

Result<HeldFile> HeldFile::open(const std::string& path) {
  os::File file = TRY(os::File::open(path, os::Open::kReadWrite));
  Pages held;
  TRY(file.read_at(0, std::as_writable_bytes(std::span(&held.raw, 1))));
  return HeldFile(std::move(file), held);
}

Result<void> HeldFile::write(Pages held) {
  held_ = held;
  return file_.write_at(0, std::as_bytes(std::span(&held.raw, 1)));
}

Result<Records> Records::open(std::string state_folder, std::string runtime_folder) {
  Records records(std::move(state_folder), std::move(runtime_folder));
  TRY(make_private_folder(records.state_folder_));
  TRY(make_private_folder(records.state_folder_ + "/machines"));
  // Cells of other users pass through these two on the way to their own.
  for (const std::string& folder : {records.runtime_folder_, records.runtime_folder_ + "/cells"}) {
    TRY(make_private_folder(folder));
    std::error_code failure;
    fs::permissions(folder, fs::perms::group_exec | fs::perms::others_exec, fs::perm_options::add, failure);
  }
  return records;
}

Result<os::File> Records::lock() const {
  os::File file = TRY(os::File::open(runtime_folder_ + "/lock", os::Open::kCreate));
  TRY(file.lock(os::Lock::kExclusive));
  return file;
}

Result<void> Records::make_folders(const std::string& name) const {
  TRY(make_private_folder(machine_folder(name)));
  return make_private_folder(cell_folder(name));
}

Result<void> Records::save(const MachineOrder& order) const {
  TRY(make_private_folder(machine_folder(order.name)));
  return os::replace_whole(machine_folder(order.name) + "/order.json", json_of(order).dump(2) + "\n");
}

Result<void> Records::remove(const std::string& name) const {
  std::error_code failure;
  // First what makes it a machine: a half-removed one must not come back.
  fs::remove(machine_folder(name) + "/order.json", failure);
  if (!failure) fs::remove_all(machine_folder(name), failure);
  if (failure) return error("'{}' cannot be removed: {}", machine_folder(name), failure.message());
  fs::remove_all(cell_folder(name), failure);
  return {};
}

std::vector<MachineOrder> Records::load(std::vector<Error>& problems) const {
  std::vector<MachineOrder> orders;
  std::error_code failure;
  for (const auto& entry : fs::directory_iterator(state_folder_ + "/machines", failure)) {
    if (!fs::exists(entry.path() / "order.json", failure)) continue;
    auto order = read_order(entry.path());
    if (order.ok()) {
      orders.push_back(order.take());
    } else {
      problems.push_back(order.failure());
    }
  }
  return orders;
}

Result<void> Records::save_settings(const std::vector<Word>& words) const {
  nlohmann::json object = nlohmann::json::object();
  for (const Word& word : words) object[word.key] = word.text;
  return os::replace_whole(state_folder_ + "/settings.json", object.dump(2) + "\n");
}

Result<std::vector<Word>> Records::load_settings() const {
  const std::string path = state_folder_ + "/settings.json";
  std::error_code failure;
  if (!fs::exists(path, failure)) return std::vector<Word>{};
  return words_of(TRY(read_json(path)));
}

Result<void> Records::note_running(const std::string& name, os::ProcessId id) const {
  const nlohmann::json object = {{"process", id.number}, {"started", id.started}, {"boot", boot_id()}};
  return os::replace_whole(cell_folder(name) + "/process.json", object.dump() + "\n",
                           os::Outlives::kPrograms);
}

std::optional<os::ProcessId> Records::running(const std::string& name) const try {
  const auto object = read_json(cell_folder(name) + "/process.json");
  if (!object.ok() || object->at("boot").get<std::string>() != boot_id()) return std::nullopt;
  return os::ProcessId{object->at("process").get<int>(), object->at("started").get<u64>()};
} catch (const nlohmann::json::exception&) {
  return std::nullopt;
}

void Records::forget_running(const std::string& name) const {
  std::error_code failure;
  fs::remove(cell_folder(name) + "/process.json", failure);
  fs::remove(held_path(name), failure);
}

}  // namespace cloister::host
