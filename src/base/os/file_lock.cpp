// SPDX-License-Identifier: Apache-2.0
// Locks on whole files.
//
// Open-file-description locks: they belong to the open file, not to the process, so two disks of one cell
// on the same file exclude each other too, and closing another descriptor of the same file does not drop
// them. Their price is that the kernel does not say who holds one. The holder is found by looking through
// /proc for a process of this user with a descriptor of the same file whose fdinfo shows a lock.
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <optional>

#include "base/os/file.h"
#include "base/os/os_error.h"

namespace cloister::os {
namespace {

namespace fs = std::filesystem;

bool same_file(const struct stat& file, const fs::path& descriptor) {
  struct stat other {};
  return ::stat(descriptor.c_str(), &other) == 0 && other.st_dev == file.st_dev &&
         other.st_ino == file.st_ino;
}

bool shows_lock(const fs::path& fdinfo) {
  std::ifstream lines(fdinfo);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("lock:")) return true;
  }
  return false;
}

bool holds_lock(const fs::path& process, const struct stat& file) {
  std::error_code denied;
  for (fs::directory_iterator fd(process / "fd", denied), end; !denied && fd != end; fd.increment(denied)) {
    if (same_file(file, fd->path()) && shows_lock(process / "fdinfo" / fd->path().filename())) return true;
  }
  return false;
}

std::optional<std::string> holder_of(const Fd& fd) {
  struct stat file {};
  if (::fstat(fd.get(), &file) != 0) return std::nullopt;
  std::error_code denied;
  for (fs::directory_iterator process("/proc", denied), end; !denied && process != end;
       process.increment(denied)) {
    const std::string name = process->path().filename();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    if (holds_lock(process->path(), file)) return name;
  }
  return std::nullopt;
}

}  // namespace

Result<void> File::lock(Lock kind) {
  struct flock wanted {};
  wanted.l_type = kind == Lock::kShared ? F_RDLCK : F_WRLCK;
  wanted.l_whence = SEEK_SET;
  if (::fcntl(fd_.get(), F_OFD_SETLK, &wanted) == 0) return {};
  if (errno != EAGAIN && errno != EACCES) return failure("lock");
  const auto holder = holder_of(fd_);
  const std::string who = holder ? "process " + *holder : "another user's process";
  return error("'{}' is in use by {}; stop that first, or give this machine an overlay or a file of its own",
               path_, who);
}

}  // namespace cloister::os
