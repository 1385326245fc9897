// SPDX-License-Identifier: Apache-2.0
// A pinned file (O_PATH) is opened for use through /proc/self/fd/N. That "magic link" leads to the very file
// that the descriptor holds, whatever its name has become, so between looking at a file (is it a device?) and
// opening it nobody can put another in its place. The folder /proc/self/fd itself is held open from the
// first use on, so that a sandbox without /proc changes nothing.
#include "base/os/inode.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>

#include "base/os/os_error.h"

namespace cloister::os {
namespace {

constexpr int kPin = O_PATH | O_NOFOLLOW | O_CLOEXEC;

const Fd& own_descriptors() {
  static const Fd folder(::open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC));
  return folder;
}

std::string magic_link(const Fd& fd) { return std::to_string(fd.get()); }

Errno outcome(int returned) { return {returned < 0 ? errno : 0}; }

int open_flags(OpenMode mode) {
  int flags = mode.write ? (mode.read ? O_RDWR : O_WRONLY) : O_RDONLY;
  if (mode.append) flags |= O_APPEND;
  if (mode.truncate) flags |= O_TRUNC;
  if (mode.folder) flags |= O_DIRECTORY;
  if (mode.sync) flags |= O_SYNC;
  return flags | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
}

Timestamp timestamp(const timespec& time) { return {time.tv_sec, static_cast<u32>(time.tv_nsec)}; }

timespec timespec_of(const TimeChange& change) {
  timespec time{};
  switch (change.to) {
    case TimeChange::To::kKeep:
      time.tv_nsec = UTIME_OMIT;
      break;
    case TimeChange::To::kNow:
      time.tv_nsec = UTIME_NOW;
      break;
    case TimeChange::To::kGiven:
      time.tv_sec = change.given.seconds;
      time.tv_nsec = std::min<u32>(change.given.nanos, 999'999'999);
      break;
  }
  return time;
}

FileStatus status_of(const struct stat& raw) {
  FileStatus status;
  status.device = raw.st_dev;
  status.inode = raw.st_ino;
  status.mode = raw.st_mode;
  status.owner = raw.st_uid;
  status.group = raw.st_gid;
  status.links = raw.st_nlink;
  status.raw_device = raw.st_rdev;
  status.size = static_cast<u64>(raw.st_size);
  status.block_size = static_cast<u64>(raw.st_blksize);
  status.blocks = static_cast<u64>(raw.st_blocks);
  status.accessed = timestamp(raw.st_atim);
  status.modified = timestamp(raw.st_mtim);
  status.changed = timestamp(raw.st_ctim);
  return status;
}

// The kernel's linux_dirent64, read from bytes: d_ino, d_off, d_reclen, d_type, d_name.
constexpr size_t kRecordHead = 19;

FolderEntry entry_at(const char* record, u16 length) {
  FolderEntry entry;
  std::memcpy(&entry.inode, record, 8);
  std::memcpy(&entry.next, record + 8, 8);
  entry.kind = static_cast<u8>(record[18]);
  entry.name.assign(record + kRecordHead, ::strnlen(record + kRecordHead, length - kRecordHead));
  return entry;
}

std::vector<FolderEntry> entries_in(std::span<const char> records) {
  std::vector<FolderEntry> entries;
  size_t at = 0;
  while (at + kRecordHead <= records.size()) {
    u16 length = 0;
    std::memcpy(&length, records.data() + at + 16, 2);
    if (length < kRecordHead || length > records.size() - at) break;
    entries.push_back(entry_at(records.data() + at, length));
    at += length;
  }
  return entries;
}

}  // namespace

FileKind FileStatus::kind() const {
  if (S_ISREG(mode)) return FileKind::kFile;
  if (S_ISDIR(mode)) return FileKind::kFolder;
  return S_ISLNK(mode) ? FileKind::kSymlink : FileKind::kOther;
}

bool plain_name(const std::string& name) {
  return !name.empty() && name.size() <= NAME_MAX && name != "." && name != ".." &&
         name.find('/') == std::string::npos && name.find('\0') == std::string::npos;
}

Owner file_owner() { return {::geteuid(), ::getegid()}; }

u64 raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return 1024;
  const rlimit raised{limit.rlim_max, limit.rlim_max};
  return ::setrlimit(RLIMIT_NOFILE, &raised) == 0 ? raised.rlim_cur : limit.rlim_cur;
}

// -- OpenFile ------------------------------------------------------------------------------------------

Attempt<u64> OpenFile::read_at(u64 offset, std::span<std::byte> to) const {
  if (offset > INT64_MAX) return Errno{EINVAL};
  const ssize_t count = ::pread(fd_.get(), to.data(), to.size(), static_cast<off_t>(offset));
  if (count < 0) return Errno{errno};
  return static_cast<u64>(count);
}

Attempt<u64> OpenFile::write_at(u64 offset, std::span<const std::byte> from) const {
  if (offset > INT64_MAX) return Errno{EFBIG};
  const ssize_t count = ::pwrite(fd_.get(), from.data(), from.size(), static_cast<off_t>(offset));
  if (count < 0) return Errno{errno};
  return static_cast<u64>(count);
}

Attempt<std::vector<FolderEntry>> OpenFile::entries(u64 place, u64 bytes) const {
  // At least one record of the longest name must fit, or the listing could not go on.
  std::vector<char> records(std::clamp<u64>(bytes, 512, 64 * kKiB));
  if (::lseek(fd_.get(), static_cast<off_t>(place), SEEK_SET) < 0) return Errno{errno};
  const long count = ::syscall(SYS_getdents64, fd_.get(), records.data(), records.size());
  if (count < 0) return Errno{errno};
  return entries_in({records.data(), static_cast<size_t>(count)});
}

Errno OpenFile::sync(Sync what) const {
  return outcome(what == Sync::kAll ? ::fsync(fd_.get()) : ::fdatasync(fd_.get()));
}

Errno OpenFile::resize(u64 size) const {
  if (size > INT64_MAX) return {EFBIG};
  return outcome(::ftruncate(fd_.get(), static_cast<off_t>(size)));
}

// -- Inode ---------------------------------------------------------------------------------------------

Attempt<Inode> Inode::adopt(int raw) {
  if (raw < 0) return Errno{errno};
  return Inode(Fd(raw));
}

Result<Inode> Inode::open_folder(const std::string& path) {
  if (!own_descriptors().valid())
    return os_error("cannot open '/proc/self/fd', which sharing a folder needs");
  Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return os_error(fmt::format("cannot share the folder '{}'", path));
  return Inode(std::move(fd));
}

Attempt<Inode> Inode::duplicate() const { return adopt(::fcntl(fd_.get(), F_DUPFD_CLOEXEC, 0)); }

Attempt<Inode> Inode::child(const std::string& name) const {
  CHECK(plain_name(name));
  return adopt(::openat(fd_.get(), name.c_str(), kPin));
}

Attempt<Inode> Inode::parent() const { return adopt(::openat(fd_.get(), "..", kPin)); }

Attempt<Inode> Inode::of(const OpenFile& file) {
  return adopt(::openat(own_descriptors().get(), magic_link(file.fd()).c_str(), O_PATH | O_CLOEXEC));
}

Attempt<FileStatus> Inode::status() const {
  struct stat raw {};
  if (::fstat(fd_.get(), &raw) != 0) return Errno{errno};
  return status_of(raw);
}

Attempt<FileSystemStatus> Inode::file_system() const {
  struct statfs raw {};
  if (::fstatfs(fd_.get(), &raw) != 0) return Errno{errno};
  FileSystemStatus status;
  status.block_size = static_cast<u32>(raw.f_bsize);
  status.blocks = raw.f_blocks;
  status.blocks_free = raw.f_bfree;
  status.blocks_available = raw.f_bavail;
  status.files = raw.f_files;
  status.files_free = raw.f_ffree;
  status.longest_name = static_cast<u32>(raw.f_namelen);
  return status;
}

Attempt<std::string> Inode::target() const {
  std::array<char, PATH_MAX> text{};
  const ssize_t length = ::readlinkat(fd_.get(), "", text.data(), text.size());
  // The kernel says ENOENT for what is no link.
  if (length < 0) return Errno{errno == ENOENT ? EINVAL : errno};
  return std::string(text.data(), static_cast<size_t>(length));
}

Attempt<std::string> Inode::path() const {
  std::array<char, PATH_MAX> text{};
  const ssize_t length =
      ::readlinkat(own_descriptors().get(), magic_link(fd_).c_str(), text.data(), text.size());
  if (length < 0) return Errno{errno};
  return std::string(text.data(), static_cast<size_t>(length));
}

Attempt<OpenFile> Inode::open(OpenMode mode) const {
  const Attempt<FileStatus> now = status();
  if (!now.ok()) return now.failure();
  if (now->kind() == FileKind::kSymlink) return Errno{ELOOP};
  if (now->kind() == FileKind::kOther) return Errno{ENXIO};
  Fd fd(::openat(own_descriptors().get(), magic_link(fd_).c_str(), open_flags(mode)));
  if (!fd.valid()) return Errno{errno};
  return OpenFile(std::move(fd));
}

Attempt<OpenFile> Inode::create(const std::string& name, OpenMode mode, u32 permissions) const {
  CHECK(plain_name(name));
  const int flags = open_flags(mode) | O_CREAT | O_EXCL | O_NOFOLLOW;
  Fd fd(::openat(fd_.get(), name.c_str(), flags, permissions & 01777));
  if (!fd.valid()) return Errno{errno};
  return OpenFile(std::move(fd));
}

Errno Inode::make_folder(const std::string& name, u32 permissions) const {
  CHECK(plain_name(name));
  return outcome(::mkdirat(fd_.get(), name.c_str(), permissions & 01777));
}

Errno Inode::make_file(const std::string& name, u32 permissions) const {
  CHECK(plain_name(name));
  return outcome(::mknodat(fd_.get(), name.c_str(), S_IFREG | (permissions & 01777), 0));
}

Errno Inode::make_fifo(const std::string& name, u32 permissions) const {
  CHECK(plain_name(name));
  return outcome(::mknodat(fd_.get(), name.c_str(), S_IFIFO | (permissions & 01777), 0));
}

Errno Inode::make_symlink(const std::string& name, const std::string& target) const {
  CHECK(plain_name(name));
  if (target.find('\0') != std::string::npos) return {EINVAL};
  return outcome(::symlinkat(target.c_str(), fd_.get(), name.c_str()));
}

Errno Inode::link(const std::string& name, const Inode& existing) const {
  CHECK(plain_name(name));
  return outcome(::linkat(own_descriptors().get(), magic_link(existing.fd_).c_str(), fd_.get(), name.c_str(),
                          AT_SYMLINK_FOLLOW));
}

Errno Inode::remove(const std::string& name, Remove what) const {
  CHECK(plain_name(name));
  return outcome(::unlinkat(fd_.get(), name.c_str(), what == Remove::kFolder ? AT_REMOVEDIR : 0));
}

Errno Inode::rename(const std::string& name, const Inode& to_folder, const std::string& to_name) const {
  CHECK(plain_name(name));
  CHECK(plain_name(to_name));
  return outcome(::renameat(fd_.get(), name.c_str(), to_folder.fd_.get(), to_name.c_str()));
}

Errno Inode::set_permissions(u32 permissions) const {
  const Attempt<FileStatus> now = status();
  if (!now.ok()) return now.failure();
  if (now->kind() == FileKind::kSymlink) return {EOPNOTSUPP};
  return outcome(::fchmodat(own_descriptors().get(), magic_link(fd_).c_str(), permissions & 01777, 0));
}

Errno Inode::set_times(const TimeChange& accessed, const TimeChange& modified) const {
  const timespec times[2] = {timespec_of(accessed), timespec_of(modified)};
  return outcome(::utimensat(fd_.get(), "", times, AT_EMPTY_PATH));
}

}  // namespace cloister::os
