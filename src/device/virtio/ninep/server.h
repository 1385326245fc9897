// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/os/inode.h"
#include "device/virtio/ninep/folder.h"
#include "device/virtio/ninep/protocol.h"
#include "device/virtio/ninep/wire.h"

namespace cloister::device::virtio::ninep {

// Answers 9P2000.L requests about one folder. Knows nothing of virtio. One thread at a time; a request may
// take as long as the host's file system does. Requests are answered in order, so Tflush never finds one to
// cancel.
//
// Bounds: `max_fids` files at a time (each holds at most two descriptors), kMaxMessage bytes a message.
// A guest's mistake, of whatever kind, is an Rlerror.
class Server {
 public:
  Server(Folder folder, u32 max_fids) : folder_(std::move(folder)), max_fids_(max_fids) {}

  // Answers one request with a message of at most `room` bytes in `reply`. Empty when there is no answer:
  // the request has no whole header, or an answer does not fit.
  void answer(std::span<const std::byte> request, u64 room, std::vector<std::byte>& reply);

  // Forgets all that the guest had open, as Tversion does.
  void reset();

  u64 fids() const { return fids_.size(); }

 private:
  struct Fid {
    os::Inode inode;
    std::optional<os::OpenFile> file;
  };
  using Handler = os::Errno (Server::*)(Reader&, Writer&);
  enum class Effect : u8 { kLooks, kChanges };
  struct Row {
    Message message;
    Handler handler;
    Effect effect;
  };
  static const Row kRows[];
  static const Row* row_of(u8 message);
  os::Errno dispatch(u8 message, Reader& in, Writer& out);

  // The session (server.cpp).
  os::Errno version(Reader& in, Writer& out);
  os::Errno authenticate(Reader& in, Writer& out);
  os::Errno attach(Reader& in, Writer& out);
  os::Errno flush(Reader& in, Writer& out);
  os::Errno clunk(Reader& in, Writer& out);
  os::Errno no_xattr(Reader& in, Writer& out);

  // Names (server_names.cpp).
  os::Errno walk(Reader& in, Writer& out);
  os::Errno create(Reader& in, Writer& out);
  os::Errno make_folder(Reader& in, Writer& out);
  os::Errno make_node(Reader& in, Writer& out);
  os::Errno make_symlink(Reader& in, Writer& out);
  os::Errno read_link(Reader& in, Writer& out);
  os::Errno link(Reader& in, Writer& out);
  os::Errno rename(Reader& in, Writer& out);
  os::Errno rename_at(Reader& in, Writer& out);
  os::Errno unlink_at(Reader& in, Writer& out);
  os::Errno remove(Reader& in, Writer& out);

  // Content and attributes (server_files.cpp).
  os::Errno open(Reader& in, Writer& out);
  os::Errno read(Reader& in, Writer& out);
  os::Errno write(Reader& in, Writer& out);
  os::Errno read_folder(Reader& in, Writer& out);
  os::Errno sync(Reader& in, Writer& out);
  os::Errno get_attributes(Reader& in, Writer& out);
  os::Errno set_attributes(Reader& in, Writer& out);
  os::Errno file_system(Reader& in, Writer& out);
  os::Errno lock(Reader& in, Writer& out);
  os::Errno get_lock(Reader& in, Writer& out);

  Fid* find(u32 fid);
  // EBADF when `fid` is taken or means none, ENFILE when there are too many.
  os::Errno may_add(u32 fid) const;
  os::Errno write_qid(const os::Inode& inode, Writer& out) const;
  os::Errno write_child_qid(const os::Inode& folder, const std::string& name, Writer& out) const;
  os::Errno resize(const Fid& fid, u64 size) const;
  os::Errno check_owner(const os::FileStatus& status, u32 valid, u32 user, u32 group) const;
  os::Attempt<os::OpenFile> create_or_open(const os::Inode& folder, const std::string& name, u32 flags,
                                           u32 permissions) const;

  Folder folder_;
  const u32 max_fids_;
  u32 max_message_ = 0;  // as negotiated; 0: not yet
  std::unordered_map<u32, Fid> fids_;
};

// What may be asked of an open() of the host; nothing for an access mode that does not exist.
std::optional<os::OpenMode> open_mode(u32 flags);
void write_qid(const Qid& qid, Writer& out);

}  // namespace cloister::device::virtio::ninep
