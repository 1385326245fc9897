// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/ninep/folder.h"

#include <cerrno>
#include <optional>
#include <string_view>

namespace cloister::device::virtio::ninep {
namespace {

// Bound: of a climb. Longer paths cannot be made by name, only by nesting on purpose.
constexpr int kMaxDepth = 4096;
constexpr u32 kRoot = 0;
constexpr u32 kNobody = 65534;
constexpr u8 kEntryFolder = 4;    // DT_DIR
constexpr u8 kEntrySymlink = 10;  // DT_LNK

// What of `path` lies below `root`, without a slash in front; nothing when it does not.
std::optional<std::string_view> below(std::string_view path, std::string_view root) {
  if (root == "/") root = "";
  if (path.size() <= root.size() + 1 || !path.starts_with(root) || path[root.size()] != '/') {
    return std::nullopt;
  }
  return path.substr(root.size() + 1);
}

}  // namespace

os::Errno check_name(const std::string& name) {
  if (os::plain_name(name)) return {};
  if (name.empty()) return {ENOENT};
  if (name == "." || name == "..") return {EINVAL};
  return {name.size() > 255 ? ENAMETOOLONG : EINVAL};
}

Result<Folder> Folder::open(const std::string& path, Writing writing) {
  os::Inode root = TRY(os::Inode::open_folder(path));
  const os::Attempt<os::FileStatus> status = root.status();
  const os::Attempt<os::OpenFile> listing = root.open({.read = true, .folder = true});
  if (!status.ok() || !listing.ok()) {
    return error("cannot list the folder '{}'; grant this user permission to read it, or share another",
                 path);
  }
  return Folder(std::move(root), *status, writing);
}

os::Attempt<os::Inode> Folder::step(const os::Inode& from, const std::string& name) const {
  if (name != "..") {
    const os::Errno bad = check_name(name);
    return bad.ok() ? from.child(name) : os::Attempt<os::Inode>(bad);
  }
  const os::Attempt<os::FileStatus> status = from.status();
  if (!status.ok()) return status.failure();
  if (is_root(*status)) return root();
  os::Attempt<os::Inode> up = from.parent();
  if (up.ok() && !below_root(*up)) return os::Errno{EACCES};
  return up;
}

// Climbs until the shared folder is met, or the top of the host's tree, which is its own parent.
bool Folder::below_root(const os::Inode& folder) const {
  os::Attempt<os::Inode> at = folder.duplicate();
  for (int depth = 0; depth < kMaxDepth && at.ok(); ++depth) {
    const os::Attempt<os::FileStatus> here = at->status();
    if (!here.ok()) return false;
    if (is_root(*here)) return true;
    os::Attempt<os::Inode> up = at->parent();
    if (!up.ok()) return false;
    const os::Attempt<os::FileStatus> above = up->status();
    if (!above.ok() || above->same_file(*here)) return false;
    at = up.take();
  }
  return false;
}

os::Attempt<Folder::Place> Folder::place_of(const os::Inode& file) const {
  const os::Attempt<os::FileStatus> wanted = file.status();
  const os::Attempt<std::string> path = file.path();
  const os::Attempt<std::string> root_path = root_.path();
  if (!wanted.ok()) return wanted.failure();
  if (!path.ok()) return path.failure();
  if (!root_path.ok()) return root_path.failure();
  if (is_root(*wanted)) return os::Errno{EBUSY};
  auto rest = below(*path, *root_path);
  os::Attempt<os::Inode> folder = root();
  while (rest && folder.ok()) {
    const size_t slash = rest->find('/');
    const std::string name(rest->substr(0, slash));
    os::Attempt<os::Inode> child = step(*folder, name);
    if (!child.ok()) return child.failure();
    if (slash == std::string_view::npos) {
      const os::Attempt<os::FileStatus> found = child->status();
      if (!found.ok() || !found->same_file(*wanted)) break;
      return Place{folder.take(), name};
    }
    rest = rest->substr(slash + 1);
    folder = std::move(child);
  }
  return os::Errno{ENOENT};
}

// Files of other file systems mounted inside the folder get their device mixed in, so that two files with
// one inode number are two to the guest.
u64 Folder::identity(u64 device, u64 inode) const {
  constexpr u64 kSpread = 0x9e3779b97f4a7c15;
  return device == root_status_.device ? inode : inode ^ (device * kSpread);
}

Qid Folder::qid(const os::FileStatus& status) const {
  Qid qid;
  const os::FileKind kind = status.kind();
  if (kind == os::FileKind::kFolder) qid.type = kQidFolder;
  if (kind == os::FileKind::kSymlink) qid.type = kQidSymlink;
  qid.version =
      status.modified.nanos ^ static_cast<u32>(status.modified.seconds) ^ static_cast<u32>(status.size << 8);
  qid.path = identity(status.device, status.inode);
  return qid;
}

Qid Folder::qid(const os::FolderEntry& entry, const os::FileStatus& folder) const {
  Qid qid;
  if (entry.kind == kEntryFolder) qid.type = kQidFolder;
  if (entry.kind == kEntrySymlink) qid.type = kQidSymlink;
  const bool above_root = entry.name == ".." && is_root(folder);
  qid.path = identity(folder.device, above_root ? folder.inode : entry.inode);
  return qid;
}

u32 Folder::shown_owner(u32 user) const { return user == owner_.user ? kRoot : kNobody; }
u32 Folder::shown_group(u32 group) const { return group == owner_.group ? kRoot : kNobody; }

}  // namespace cloister::device::virtio::ninep
