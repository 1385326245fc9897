// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/os/inode.h"
#include "base/result.h"
#include "device/virtio/ninep/protocol.h"

namespace cloister::device::virtio::ninep {

enum class Writing : u8 { kAllowed, kRefused };

// The shared folder, and the fence around it.
//
// Invariant: every Inode that this class gives out lay inside the folder at the moment it was found. Steps
// down take one plain name and follow no link. A step up is taken, and then the result is climbed from to see
// that the folder is above it; at the folder itself "up" stays. A guest can therefore not leave by "..", by a
// link that it made, or by renaming folders while it walks. If somebody on the host moves a folder out while
// the guest uses it, the guest keeps that folder and what is below, but gets no further.
//
// Owners: the guest sees files of the host's user (and group) who runs the cell as its root's, all others as
// nobody's. What it makes belongs to that host user; it cannot give files to others.
class Folder {
 public:
  // Refused: what is no folder, or cannot be read.
  static Result<Folder> open(const std::string& path, Writing writing);

  bool read_only() const { return writing_ == Writing::kRefused; }
  os::Attempt<os::Inode> root() const { return root_.duplicate(); }
  // One step of a walk: a plain name, or "..".
  os::Attempt<os::Inode> step(const os::Inode& from, const std::string& name) const;

  // The folder and the name by which the file is found now. EBUSY for the root, ENOENT when it has none.
  struct Place {
    os::Inode folder;
    std::string name;
  };
  os::Attempt<Place> place_of(const os::Inode& file) const;

  Qid qid(const os::FileStatus& status) const;
  Qid qid(const os::FolderEntry& entry, const os::FileStatus& folder) const;
  bool is_root(const os::FileStatus& status) const { return status.same_file(root_status_); }
  u32 shown_owner(u32 user) const;
  u32 shown_group(u32 group) const;

 private:
  Folder(os::Inode root, const os::FileStatus& status, Writing writing)
      : root_(std::move(root)), root_status_(status), writing_(writing), owner_(os::file_owner()) {}
  bool below_root(const os::Inode& folder) const;
  u64 identity(u64 device, u64 inode) const;

  os::Inode root_;
  os::FileStatus root_status_;
  Writing writing_;
  os::Owner owner_;
};

// 0 for a name that may be made or looked up in a folder.
os::Errno check_name(const std::string& name);

}  // namespace cloister::device::virtio::ninep
