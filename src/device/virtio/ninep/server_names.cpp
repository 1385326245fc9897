// SPDX-License-Identifier: Apache-2.0
#include <cerrno>

#include "device/virtio/ninep/server.h"

namespace cloister::device::virtio::ninep {

// All steps, or an answer with the qids of those that were possible and no new fid. Failing at the first
// step is an error.
os::Errno Server::walk(Reader& in, Writer& out) {
  const u32 from = in.word();
  const u32 to = in.word();
  const u16 count = in.half();
  if (count > kMaxWalk) return {EINVAL};
  std::vector<std::string> names(count);
  for (std::string& name : names) name = in.text();
  if (!in.complete()) return {EINVAL};
  const Fid* start = find(from);
  if (start == nullptr) return {EBADF};
  if (const auto refused = from == to ? os::Errno{} : may_add(to); !refused.ok()) return refused;

  auto at = start->inode.duplicate();
  if (!at.ok()) return at.failure();
  const u64 count_at = out.size();
  out.half(0);
  u16 done = 0;
  for (const std::string& name : names) {
    auto next = folder_.step(*at, name);
    const os::Errno failure = next.ok() ? write_qid(*next, out) : next.failure();
    if (!failure.ok() && done == 0) return failure;
    if (!failure.ok()) break;
    at = std::move(next);
    ++done;
  }
  out.set_half(count_at, done);
  if (done == count && out.fits()) fids_.insert_or_assign(to, Fid{at.take(), std::nullopt});
  return {};
}

// A file that is there is opened like any other, so that its kind is looked at before the host touches it.
os::Attempt<os::OpenFile> Server::create_or_open(const os::Inode& folder, const std::string& name, u32 flags,
                                                 u32 permissions) const {
  const auto mode = open_mode(flags);
  if (!mode || mode->folder) return os::Errno{EINVAL};
  auto file = folder.create(name, *mode, permissions);
  if (file.ok() || file.failure().number != EEXIST || (flags & kExclusive) != 0) return file;
  const auto there = folder.child(name);
  if (!there.ok()) return there.failure();
  return there->open(*mode);
}

os::Errno Server::create(Reader& in, Writer& out) {
  const u32 number = in.word();
  const std::string name = in.text();
  const u32 flags = in.word();
  const u32 permissions = in.word();
  in.word();  // group
  if (!in.complete()) return {EINVAL};
  Fid* fid = find(number);
  if (fid == nullptr || fid->file) return {EBADF};
  if (const auto bad = check_name(name); !bad.ok()) return bad;
  auto file = create_or_open(fid->inode, name, flags, permissions);
  if (!file.ok()) return file.failure();
  auto inode = os::Inode::of(*file);
  if (!inode.ok()) return inode.failure();
  if (const auto failure = write_qid(*inode, out); !failure.ok()) return failure;
  out.word(0);  // no unit of I/O but the message
  *fid = Fid{inode.take(), file.take()};
  return {};
}

os::Errno Server::write_child_qid(const os::Inode& folder, const std::string& name, Writer& out) const {
  const auto child = folder.child(name);
  return child.ok() ? write_qid(*child, out) : child.failure();
}

os::Errno Server::make_folder(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  const std::string name = in.text();
  const u32 permissions = in.word();
  in.word();  // group
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr) return {EBADF};
  if (const auto bad = check_name(name); !bad.ok()) return bad;
  const auto made = fid->inode.make_folder(name, permissions);
  return made.ok() ? write_child_qid(fid->inode, name, out) : made;
}

// Files and fifos; a guest makes no devices on the host.
os::Errno Server::make_node(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  const std::string name = in.text();
  const u32 mode = in.word();
  in.word();  // major
  in.word();  // minor
  in.word();  // group
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr) return {EBADF};
  if (const auto bad = check_name(name); !bad.ok()) return bad;
  const u32 kind = mode & kKindMask;
  if (kind != 0 && kind != kKindFile && kind != kKindFifo) return {EPERM};
  const auto made = kind == kKindFifo ? fid->inode.make_fifo(name, mode) : fid->inode.make_file(name, mode);
  return made.ok() ? write_child_qid(fid->inode, name, out) : made;
}

os::Errno Server::make_symlink(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  const std::string name = in.text();
  const std::string target = in.text();
  in.word();  // group
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr) return {EBADF};
  if (const auto bad = check_name(name); !bad.ok()) return bad;
  const auto made = fid->inode.make_symlink(name, target);
  return made.ok() ? write_child_qid(fid->inode, name, out) : made;
}

os::Errno Server::read_link(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr) return {EBADF};
  const auto target = fid->inode.target();
  if (target.ok()) out.text(*target);
  return target.failure();
}

os::Errno Server::link(Reader& in, Writer&) {
  const Fid* folder = find(in.word());
  const Fid* existing = find(in.word());
  const std::string name = in.text();
  if (!in.complete()) return {EINVAL};
  if (folder == nullptr || existing == nullptr) return {EBADF};
  if (const auto bad = check_name(name); !bad.ok()) return bad;
  return folder->inode.link(name, existing->inode);
}

os::Errno Server::rename(Reader& in, Writer&) {
  const Fid* fid = find(in.word());
  const Fid* to = find(in.word());
  const std::string name = in.text();
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr || to == nullptr) return {EBADF};
  if (const auto bad = check_name(name); !bad.ok()) return bad;
  const auto place = folder_.place_of(fid->inode);
  return place.ok() ? place->folder.rename(place->name, to->inode, name) : place.failure();
}

os::Errno Server::rename_at(Reader& in, Writer&) {
  const Fid* from = find(in.word());
  const std::string old_name = in.text();
  const Fid* to = find(in.word());
  const std::string new_name = in.text();
  if (!in.complete()) return {EINVAL};
  if (from == nullptr || to == nullptr) return {EBADF};
  if (const auto bad = check_name(old_name); !bad.ok()) return bad;
  if (const auto bad = check_name(new_name); !bad.ok()) return bad;
  return from->inode.rename(old_name, to->inode, new_name);
}

os::Errno Server::unlink_at(Reader& in, Writer&) {
  const Fid* fid = find(in.word());
  const std::string name = in.text();
  const u32 flags = in.word();
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr) return {EBADF};
  if (const auto bad = check_name(name); !bad.ok()) return bad;
  if ((flags & ~kRemoveFolder) != 0) return {EINVAL};
  return fid->inode.remove(name, flags == 0 ? os::Inode::Remove::kFile : os::Inode::Remove::kFolder);
}

// The fid is clunked in any case.
os::Errno Server::remove(Reader& in, Writer&) {
  const u32 number = in.word();
  if (!in.complete()) return {EINVAL};
  auto fid = fids_.extract(number);
  if (fid.empty()) return {EBADF};
  if (folder_.read_only()) return {EROFS};
  const os::Inode& inode = fid.mapped().inode;
  const auto status = inode.status();
  if (!status.ok()) return status.failure();
  const auto place = folder_.place_of(inode);
  if (!place.ok()) return place.failure();
  const bool folder = status->kind() == os::FileKind::kFolder;
  return place->folder.remove(place->name, folder ? os::Inode::Remove::kFolder : os::Inode::Remove::kFile);
}

}  // namespace cloister::device::virtio::ninep
