// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/ninep/server.h"

#include <algorithm>
#include <cerrno>

namespace cloister::device::virtio::ninep {

const Server::Row Server::kRows[] = {
    {Message::kTversion, &Server::version, Effect::kLooks},
    {Message::kTauth, &Server::authenticate, Effect::kLooks},
    {Message::kTattach, &Server::attach, Effect::kLooks},
    {Message::kTflush, &Server::flush, Effect::kLooks},
    {Message::kTclunk, &Server::clunk, Effect::kLooks},
    {Message::kTwalk, &Server::walk, Effect::kLooks},
    {Message::kTlopen, &Server::open, Effect::kLooks},
    {Message::kTlcreate, &Server::create, Effect::kChanges},
    {Message::kTread, &Server::read, Effect::kLooks},
    {Message::kTwrite, &Server::write, Effect::kChanges},
    {Message::kTreaddir, &Server::read_folder, Effect::kLooks},
    {Message::kTgetattr, &Server::get_attributes, Effect::kLooks},
    {Message::kTsetattr, &Server::set_attributes, Effect::kChanges},
    {Message::kTstatfs, &Server::file_system, Effect::kLooks},
    {Message::kTfsync, &Server::sync, Effect::kLooks},
    {Message::kTmkdir, &Server::make_folder, Effect::kChanges},
    {Message::kTmknod, &Server::make_node, Effect::kChanges},
    {Message::kTsymlink, &Server::make_symlink, Effect::kChanges},
    {Message::kTreadlink, &Server::read_link, Effect::kLooks},
    {Message::kTlink, &Server::link, Effect::kChanges},
    {Message::kTrename, &Server::rename, Effect::kChanges},
    {Message::kTrenameat, &Server::rename_at, Effect::kChanges},
    {Message::kTunlinkat, &Server::unlink_at, Effect::kChanges},
    {Message::kTremove, &Server::remove, Effect::kLooks},  // clunks also where it may not remove
    {Message::kTlock, &Server::lock, Effect::kLooks},
    {Message::kTgetlock, &Server::get_lock, Effect::kLooks},
    {Message::kTxattrwalk, &Server::no_xattr, Effect::kLooks},
    {Message::kTxattrcreate, &Server::no_xattr, Effect::kLooks},
};

const Server::Row* Server::row_of(u8 message) {
  const auto row = std::ranges::find(kRows, static_cast<Message>(message), &Row::message);
  return row == std::end(kRows) ? nullptr : row;
}

void Server::answer(std::span<const std::byte> request, u64 room, std::vector<std::byte>& reply) {
  reply.clear();
  if (request.size() < kHeaderSize) return;
  Reader in(request);
  const u32 size = in.word();
  const u8 message = in.byte();
  const u16 tag = in.half();

  const u64 limit = max_message_ == 0 ? kMinMessage : max_message_;
  Writer out(reply, std::min(room, limit));
  out.word(0).byte(static_cast<u8>(message + 1)).half(tag);
  os::Errno failure{size == request.size() ? 0 : EINVAL};
  if (failure.ok()) failure = dispatch(message, in, out);
  if (failure.ok() && !out.fits()) failure = {EMSGSIZE};
  if (!failure.ok()) {
    out.cut_to(0);
    out.word(0).byte(static_cast<u8>(Message::kRlerror)).half(tag).word(static_cast<u32>(failure.number));
  }
  if (!out.fits()) return reply.clear();
  out.set_word(0, static_cast<u32>(out.size()));
}

os::Errno Server::dispatch(u8 message, Reader& in, Writer& out) {
  const Row* row = row_of(message);
  if (row == nullptr) return {EOPNOTSUPP};
  if (max_message_ == 0 && row->message != Message::kTversion) return {EPROTO};
  if (row->effect == Effect::kChanges && folder_.read_only()) return {EROFS};
  return (this->*row->handler)(in, out);
}

void Server::reset() {
  fids_.clear();
  max_message_ = 0;
}

Server::Fid* Server::find(u32 fid) {
  const auto found = fids_.find(fid);
  return found == fids_.end() ? nullptr : &found->second;
}

os::Errno Server::may_add(u32 fid) const {
  if (fid == kNoFid || fids_.contains(fid)) return {EBADF};
  return {fids_.size() < max_fids_ ? 0 : ENFILE};
}

void write_qid(const Qid& qid, Writer& out) { out.byte(qid.type).word(qid.version).quad(qid.path); }

os::Errno Server::write_qid(const os::Inode& inode, Writer& out) const {
  const auto status = inode.status();
  if (status.ok()) ninep::write_qid(folder_.qid(*status), out);
  return status.failure();
}

os::Errno Server::version(Reader& in, Writer& out) {
  const u32 asked = in.word();
  const std::string dialect = in.text();
  if (!in.complete() || asked < kMinMessage) return {EINVAL};
  reset();
  const bool known = dialect == "9P2000.L";
  const u32 granted = std::min(asked, kMaxMessage);
  if (known) max_message_ = granted;
  out.word(granted).text(known ? dialect : "unknown");
  return {};
}

// No authentication: the virtual machine's owner shares the folder with all of the guest.
os::Errno Server::authenticate(Reader&, Writer&) { return {EOPNOTSUPP}; }

os::Errno Server::attach(Reader& in, Writer& out) {
  const u32 fid = in.word();
  in.word();  // afid
  in.text();  // user name
  const std::string tree = in.text();
  in.word();  // user number
  if (!in.complete()) return {EINVAL};
  if (!tree.empty() && tree != "/") return {ENOENT};
  if (const auto refused = may_add(fid); !refused.ok()) return refused;
  auto root = folder_.root();
  if (!root.ok()) return root.failure();
  if (const auto failure = write_qid(*root, out); !failure.ok()) return failure;
  fids_.emplace(fid, Fid{root.take(), std::nullopt});
  return {};
}

os::Errno Server::flush(Reader& in, Writer&) {
  in.half();
  return {in.complete() ? 0 : EINVAL};
}

os::Errno Server::clunk(Reader& in, Writer&) {
  const u32 fid = in.word();
  if (!in.complete()) return {EINVAL};
  return {fids_.erase(fid) == 1 ? 0 : EBADF};
}

os::Errno Server::no_xattr(Reader&, Writer&) { return {EOPNOTSUPP}; }

}  // namespace cloister::device::virtio::ninep
