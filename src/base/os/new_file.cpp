// SPDX-License-Identifier: Apache-2.0
#include "base/os/new_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <span>

#include "base/os/os_error.h"

namespace cloister::os {
namespace {

// No other process and no other call has it. What a process with the same number left behind is removed.
std::string name_beside(const std::string& path) {
  static std::atomic<unsigned> count{0};
  std::string name = fmt::format("{}.new-{}-{}", path, ::getpid(), ++count);
  ::unlink(name.c_str());
  return name;
}

Result<void> sync_folder_of(const std::string& path) {
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  const std::string folder = parent.empty() ? "." : parent.string();
  const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.valid() && ::fsync(fd.get()) == 0) return {};
  return os_error(fmt::format("cannot flush the folder '{}'", folder));
}

Result<void> fill_and_rename(const std::string& from, const std::string& to,
                             const std::function<Result<void>(File&)>& fill, unsigned flags,
                             Outlives what = Outlives::kTheMachine) {
  File file = TRY(File::open(from, Open::kCreateNew));
  TRY(fill(file));
  if (what == Outlives::kTheMachine) TRY(file.sync_data());
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) != 0) {
    return os_error(fmt::format("cannot create '{}'", to));
  }
  return what == Outlives::kTheMachine ? sync_folder_of(to) : Result<void>();
}

}  // namespace

Result<void> create_whole(const std::string& path, const std::function<Result<void>(File&)>& fill) {
  const std::string beside = name_beside(path);
  auto result = fill_and_rename(beside, path, fill, RENAME_NOREPLACE);
  if (!result.ok()) ::unlink(beside.c_str());
  return result;
}

Result<void> replace_whole(const std::string& path, std::string_view text, Outlives what) {
  const std::string beside = name_beside(path);
  const auto fill = [&](File& file) { return file.write_at(0, std::as_bytes(std::span(text))); };
  auto result = fill_and_rename(beside, path, fill, 0, what);
  if (!result.ok()) ::unlink(beside.c_str());
  return result;
}

}  // namespace cloister::os
