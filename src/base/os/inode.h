// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/os/attempt.h"
#include "base/os/fd.h"
#include "base/result.h"
#include "base/units.h"

// Files and folders of the host by identity, not by path: for a server that hands a folder's tree to a guest
// and must not be led out of it. No call here follows a symbolic link, and no name may hold a slash.
// Not thread safe, but for distinct objects.
namespace cloister::os {

enum class FileKind : u8 { kFile, kFolder, kSymlink, kOther };

struct Timestamp {
  i64 seconds = 0;
  u32 nanos = 0;
};

struct FileStatus {
  u64 device = 0;
  u64 inode = 0;
  u32 mode = 0;  // kind and permissions, as Linux numbers them
  u32 owner = 0;
  u32 group = 0;
  u64 links = 0;
  u64 raw_device = 0;
  u64 size = 0;
  u64 block_size = 0;
  u64 blocks = 0;  // of 512 bytes
  Timestamp accessed, modified, changed;

  FileKind kind() const;
  bool same_file(const FileStatus& other) const { return device == other.device && inode == other.inode; }
};

struct FileSystemStatus {
  u32 block_size = 0;
  u64 blocks = 0, blocks_free = 0, blocks_available = 0;
  u64 files = 0, files_free = 0;
  u32 longest_name = 0;
};

// How a file is opened. Nothing else of what a guest may ask reaches the host.
struct OpenMode {
  bool read = false;
  bool write = false;
  bool append = false;
  bool truncate = false;
  bool folder = false;  // refuse anything but a folder
  bool sync = false;    // each write is on disk before it returns
};

struct TimeChange {
  enum class To : u8 { kKeep, kNow, kGiven };
  To to = To::kKeep;
  Timestamp given;
};

struct FolderEntry {
  std::string name;
  u64 inode = 0;
  u64 next = 0;  // where the listing goes on after this entry: an opaque place, not a count
  u8 kind = 0;   // DT_*, as Linux numbers them
};

// An opened file or folder.
class OpenFile {
 public:
  explicit OpenFile(Fd fd) : fd_(std::move(fd)) {}
  const Fd& fd() const { return fd_; }

  // As many bytes as there are now; 0 at the end.
  Attempt<u64> read_at(u64 offset, std::span<std::byte> to) const;
  Attempt<u64> write_at(u64 offset, std::span<const std::byte> from) const;
  // Entries from `place` (0: the first) on, about `bytes` worth of them; empty at the end.
  Attempt<std::vector<FolderEntry>> entries(u64 place, u64 bytes) const;
  enum class Sync : u8 { kAll, kData };
  Errno sync(Sync what) const;
  Errno resize(u64 size) const;

 private:
  Fd fd_;
};

// A file, folder or anything else, pinned but not opened (O_PATH): looking at a device or a fifo this way
// does nothing to it. Remains the same file when it is renamed or removed.
class Inode {
 public:
  // Follows links in `path`: the user named it. Refused: what is no folder.
  static Result<Inode> open_folder(const std::string& path);

  Attempt<Inode> duplicate() const;
  Attempt<Inode> child(const std::string& name) const;  // Precondition: plain_name(name)
  Attempt<Inode> parent() const;                        // "..": may lie outside of what one wants to show
  static Attempt<Inode> of(const OpenFile& file);

  Attempt<FileStatus> status() const;
  Attempt<FileSystemStatus> file_system() const;
  Attempt<std::string> target() const;  // of a symbolic link
  Attempt<std::string> path() const;    // where the host's kernel sees it now

  // ENXIO for what is neither a file nor a folder, ELOOP for a symbolic link.
  Attempt<OpenFile> open(OpenMode mode) const;

  // In this folder. Precondition: plain_name() of every name.
  Attempt<OpenFile> create(const std::string& name, OpenMode mode,
                           u32 permissions) const;  // EEXIST when there
  Errno make_folder(const std::string& name, u32 permissions) const;
  Errno make_file(const std::string& name, u32 permissions) const;
  Errno make_fifo(const std::string& name, u32 permissions) const;
  Errno make_symlink(const std::string& name, const std::string& target) const;
  Errno link(const std::string& name, const Inode& existing) const;
  enum class Remove : u8 { kFile, kFolder };
  Errno remove(const std::string& name, Remove what) const;
  Errno rename(const std::string& name, const Inode& to_folder, const std::string& to_name) const;

  Errno set_permissions(u32 permissions) const;
  Errno set_times(const TimeChange& accessed, const TimeChange& modified) const;

 private:
  explicit Inode(Fd fd) : fd_(std::move(fd)) {}
  static Attempt<Inode> adopt(int raw);

  Fd fd_;
};

// One component that means itself: not empty, not "." or "..", no slash, no zero byte, at most 255 bytes.
bool plain_name(const std::string& name);

// The user and group that this process creates files as.
struct Owner {
  u32 user = 0;
  u32 group = 0;
};
Owner file_owner();

// Raises this process's limit of descriptors as far as it may; returns the limit.
u64 raise_descriptor_limit();

}  // namespace cloister::os
