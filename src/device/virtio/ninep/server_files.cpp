// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cerrno>

#include "device/virtio/ninep/server.h"

namespace cloister::device::virtio::ninep {
namespace {

constexpr u64 kEntryHead = 13 + 8 + 1 + 2;  // qid, place of the next, kind, length of the name
constexpr u32 kUnchanged = UINT32_MAX;      // an owner or group that stays

os::TimeChange time_change(bool change, bool given, os::Timestamp time) {
  if (!change) return {};
  return {given ? os::TimeChange::To::kGiven : os::TimeChange::To::kNow, time};
}

os::Timestamp read_time(Reader& in) {
  const auto seconds = static_cast<i64>(in.quad());
  return {seconds, static_cast<u32>(std::min<u64>(in.quad(), 999'999'999))};
}

void write_time(const os::Timestamp& time, Writer& out) {
  out.quad(static_cast<u64>(time.seconds)).quad(time.nanos);
}

// setuid and setgid files would run as the host's user for other users of the host.
constexpr u32 kPrivileged = 06000;

}  // namespace

std::optional<os::OpenMode> open_mode(u32 flags) {
  const u32 access = flags & kAccessMode;
  if (access == kAccessMode) return std::nullopt;
  return os::OpenMode{.read = access != kWriteOnly,
                      .write = access != 0,
                      .append = (flags & kAppend) != 0,
                      .truncate = (flags & kTruncate) != 0,
                      .folder = (flags & kFolderOnly) != 0,
                      .sync = (flags & (kDataSync | kFullSync)) != 0};
}

os::Errno Server::open(Reader& in, Writer& out) {
  Fid* fid = find(in.word());
  const auto mode = open_mode(in.word());
  if (!in.complete() || !mode) return {EINVAL};
  if (fid == nullptr || fid->file) return {EBADF};
  if (folder_.read_only() && (mode->write || mode->truncate)) return {EROFS};
  auto file = fid->inode.open(*mode);
  if (!file.ok()) return file.failure();
  if (const auto failure = write_qid(fid->inode, out); !failure.ok()) return failure;
  out.word(0);  // no unit of I/O but the message
  fid->file = file.take();
  return {};
}

os::Errno Server::read(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  const u64 offset = in.quad();
  const u32 count = in.word();
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr || !fid->file) return {EBADF};
  const u64 count_at = out.size();
  out.word(0);
  const auto to = out.space(std::min<u64>(count, out.left()));
  const auto got = fid->file->read_at(offset, to);
  if (!got.ok()) return got.failure();
  out.give_back(to.size() - *got);
  if (out.fits()) out.set_word(count_at, static_cast<u32>(*got));
  return {};
}

os::Errno Server::write(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  const u64 offset = in.quad();
  const u32 count = in.word();
  const auto data = in.take(count);
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr || !fid->file) return {EBADF};
  const auto put = fid->file->write_at(offset, data);
  if (put.ok()) out.word(static_cast<u32>(*put));
  return put.failure();
}

// Whole entries, as many as fit. One that does not fit at all is an error, as "none" would mean the end.
os::Errno Server::read_folder(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  const u64 place = in.quad();
  const u32 count = in.word();
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr || !fid->file) return {EBADF};
  const auto status = fid->inode.status();
  const auto entries = fid->file->entries(place, count);
  if (!status.ok() || !entries.ok()) return status.ok() ? entries.failure() : status.failure();
  const u64 count_at = out.size();
  out.word(0);
  const u64 start = out.size();
  const u64 room = std::min<u64>(count, out.left());
  for (const os::FolderEntry& entry : *entries) {
    if (out.size() - start + kEntryHead + entry.name.size() > room) break;
    ninep::write_qid(folder_.qid(entry, *status), out);
    out.quad(entry.next).byte(entry.kind).text(entry.name);
  }
  const u64 written = out.size() - start;
  if (written == 0 && !entries->empty()) return {EINVAL};
  if (out.fits()) out.set_word(count_at, static_cast<u32>(written));
  return {};
}

os::Errno Server::sync(Reader& in, Writer&) {
  const Fid* fid = find(in.word());
  const bool data_only = in.word() != 0;
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr || !fid->file) return {EBADF};
  return fid->file->sync(data_only ? os::OpenFile::Sync::kData : os::OpenFile::Sync::kAll);
}

os::Errno Server::get_attributes(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  in.quad();  // what is wanted: all is told in any case
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr) return {EBADF};
  const auto status = fid->inode.status();
  if (!status.ok()) return status.failure();
  out.quad(kBasicAttributes);
  ninep::write_qid(folder_.qid(*status), out);
  out.word(status->mode).word(folder_.shown_owner(status->owner)).word(folder_.shown_group(status->group));
  out.quad(status->links).quad(status->raw_device).quad(status->size);
  out.quad(status->block_size).quad(status->blocks);
  write_time(status->accessed, out);
  write_time(status->modified, out);
  write_time(status->changed, out);
  write_time({}, out);  // birth
  out.quad(0).quad(0);  // generation, data version
  return {};
}

// Owners do not change: to set what is shown already is no change, anything else is refused.
os::Errno Server::check_owner(const os::FileStatus& status, u32 valid, u32 user, u32 group) const {
  const bool new_user =
      (valid & kSetOwner) != 0 && user != kUnchanged && user != folder_.shown_owner(status.owner);
  const bool new_group =
      (valid & kSetGroup) != 0 && group != kUnchanged && group != folder_.shown_group(status.group);
  return {new_user || new_group ? EPERM : 0};
}

os::Errno Server::resize(const Fid& fid, u64 size) const {
  if (fid.file && fid.file->resize(size).ok()) return {};  // fails when opened for reading only
  const auto file = fid.inode.open({.write = true});
  return file.ok() ? file->resize(size) : file.failure();
}

os::Errno Server::set_attributes(Reader& in, Writer&) {
  const Fid* fid = find(in.word());
  const u32 valid = in.word();
  const u32 mode = in.word();
  const u32 user = in.word();
  const u32 group = in.word();
  const u64 size = in.quad();
  const os::Timestamp accessed = read_time(in);
  const os::Timestamp modified = read_time(in);
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr) return {EBADF};
  const auto status = fid->inode.status();
  if (!status.ok()) return status.failure();

  os::Errno failure = check_owner(*status, valid, user, group);
  if (failure.ok() && (valid & kSetMode) != 0) {
    failure = (mode & kPrivileged & ~status->mode) != 0 ? os::Errno{EPERM} : fid->inode.set_permissions(mode);
  }
  if (failure.ok() && (valid & kSetSize) != 0) failure = resize(*fid, size);
  if (failure.ok() && (valid & (kSetAccessed | kSetModified)) != 0) {
    failure = fid->inode.set_times(
        time_change((valid & kSetAccessed) != 0, (valid & kAccessedGiven) != 0, accessed),
        time_change((valid & kSetModified) != 0, (valid & kModifiedGiven) != 0, modified));
  }
  return failure;
}

os::Errno Server::file_system(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr) return {EBADF};
  const auto status = fid->inode.file_system();
  if (!status.ok()) return status.failure();
  out.word(kFileSystemType).word(status->block_size);
  out.quad(status->blocks).quad(status->blocks_free).quad(status->blocks_available);
  out.quad(status->files).quad(status->files_free);
  out.quad(0).word(status->longest_name);
  return {};
}

// Locks are between the guest's own programs, and its kernel keeps those: each is granted, none is held.
os::Errno Server::lock(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  in.byte();                        // kind
  in.word();                        // flags
  in.quad(), in.quad(), in.word();  // start, length, process
  in.text();                        // client
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr || !fid->file) return {EBADF};
  out.byte(kLockGranted);
  return {};
}

os::Errno Server::get_lock(Reader& in, Writer& out) {
  const Fid* fid = find(in.word());
  in.byte();  // kind
  const u64 start = in.quad();
  const u64 length = in.quad();
  const u32 process = in.word();
  const std::string client = in.text();
  if (!in.complete()) return {EINVAL};
  if (fid == nullptr || !fid->file) return {EBADF};
  out.byte(kLockNone).quad(start).quad(length).word(process).text(client);
  return {};
}

}  // namespace cloister::device::virtio::ninep
