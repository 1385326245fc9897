// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "device/virtio/ninep/protocol.h"
#include "device/virtio/ninep/wire.h"

// For tests: a 9p client that puts requests together and takes answers apart.
namespace cloister::device::virtio::ninep::testing {

struct Answer {
  u8 type = 0;
  u16 tag = 0;
  std::vector<std::byte> body;

  bool failed() const { return type == static_cast<u8>(Message::kRlerror); }
  int error() const { return failed() ? static_cast<int>(Reader(body).word()) : 0; }
  Reader reader() const { return Reader(body); }
};

class Client {
 public:
  // Carries a request to the server and brings the answer, empty for none.
  using Carry = std::function<std::vector<std::byte>(const std::vector<std::byte>& request)>;
  using Fill = std::function<void(Writer&)>;

  explicit Client(Carry carry) : carry_(std::move(carry)) {}

  static std::vector<std::byte> request(Message message, const Fill& fill, u16 tag = 1) {
    std::vector<std::byte> bytes;
    Writer out(bytes, 2 * kMaxMessage);
    out.word(0).byte(static_cast<u8>(message)).half(tag);
    if (fill) fill(out);
    out.set_word(0, static_cast<u32>(out.size()));
    return bytes;
  }

  Answer call(Message message, const Fill& fill) {
    const std::vector<std::byte> bytes = carry_(request(message, fill, ++tag_));
    Answer answer;
    if (bytes.size() < kHeaderSize) return answer;
    Reader in(bytes);
    CHECK(in.word() == bytes.size());
    answer.type = in.byte();
    answer.tag = in.half();
    answer.body.assign(bytes.begin() + kHeaderSize, bytes.end());
    CHECK(answer.tag == tag_);
    CHECK(answer.failed() || answer.type == static_cast<u8>(message) + 1);
    return answer;
  }

  // -- The requests that most tests make; each returns the error number, 0 for none.

  int version(u32 size = kMaxMessage) {
    return call(Message::kTversion, [&](Writer& out) { out.word(size).text("9P2000.L"); }).error();
  }
  int attach(u32 fid) {
    return call(Message::kTattach,
                [&](Writer& out) { out.word(fid).word(kNoFid).text("root").text("").word(0); })
        .error();
  }
  Answer walk_answer(u32 from, u32 to, const std::vector<std::string>& names) {
    return call(Message::kTwalk, [&](Writer& out) {
      out.word(from).word(to).half(static_cast<u16>(names.size()));
      for (const std::string& name : names) out.text(name);
    });
  }
  // 0 only when all steps were made.
  int walk(u32 from, u32 to, const std::vector<std::string>& names) {
    const Answer answer = walk_answer(from, to, names);
    if (answer.failed()) return answer.error();
    return answer.reader().half() == names.size() ? 0 : -1;
  }
  int open(u32 fid, u32 flags) {
    return call(Message::kTlopen, [&](Writer& out) { out.word(fid).word(flags); }).error();
  }
  int create(u32 fid, const std::string& name, u32 flags, u32 mode = 0644) {
    return call(Message::kTlcreate,
                [&](Writer& out) { out.word(fid).text(name).word(flags).word(mode).word(0); })
        .error();
  }
  int write(u32 fid, u64 offset, std::string_view data) {
    return call(Message::kTwrite,
                [&](Writer& out) {
                  out.word(fid).quad(offset).word(static_cast<u32>(data.size()));
                  for (const char c : data) out.byte(static_cast<u8>(c));
                })
        .error();
  }
  Answer read_answer(u32 fid, u64 offset, u32 count) {
    return call(Message::kTread, [&](Writer& out) { out.word(fid).quad(offset).word(count); });
  }
  std::string read(u32 fid, u64 offset, u32 count) {
    const Answer answer = read_answer(fid, offset, count);
    if (answer.failed()) return fmt::format("error {}", answer.error());
    Reader in = answer.reader();
    const auto data = in.take(in.word());
    CHECK(in.complete());
    return {reinterpret_cast<const char*>(data.data()), data.size()};
  }
  int clunk(u32 fid) {
    return call(Message::kTclunk, [&](Writer& out) { out.word(fid); }).error();
  }
  int remove(u32 fid) {
    return call(Message::kTremove, [&](Writer& out) { out.word(fid); }).error();
  }
  int make_folder(u32 fid, const std::string& name) {
    return call(Message::kTmkdir, [&](Writer& out) { out.word(fid).text(name).word(0755).word(0); }).error();
  }
  int make_symlink(u32 fid, const std::string& name, const std::string& target) {
    return call(Message::kTsymlink, [&](Writer& out) { out.word(fid).text(name).text(target).word(0); })
        .error();
  }
  int make_node(u32 fid, const std::string& name, u32 mode) {
    return call(Message::kTmknod,
                [&](Writer& out) { out.word(fid).text(name).word(mode).word(1).word(3).word(0); })
        .error();
  }
  int rename_at(u32 from, const std::string& name, u32 to, const std::string& to_name) {
    return call(Message::kTrenameat, [&](Writer& out) { out.word(from).text(name).word(to).text(to_name); })
        .error();
  }
  int rename(u32 fid, u32 to, const std::string& name) {
    return call(Message::kTrename, [&](Writer& out) { out.word(fid).word(to).text(name); }).error();
  }
  int link(u32 folder, u32 fid, const std::string& name) {
    return call(Message::kTlink, [&](Writer& out) { out.word(folder).word(fid).text(name); }).error();
  }
  int unlink(u32 fid, const std::string& name, u32 flags = 0) {
    return call(Message::kTunlinkat, [&](Writer& out) { out.word(fid).text(name).word(flags); }).error();
  }
  struct Attributes {
    u32 mode = 0, user = 0, group = 0;
    u64 size = 0, modified = 0;
  };
  int set_attributes(u32 fid, u32 valid, const Attributes& to) {
    return call(Message::kTsetattr,
                [&](Writer& out) {
                  out.word(fid).word(valid).word(to.mode).word(to.user).word(to.group).quad(to.size);
                  out.quad(0).quad(0).quad(to.modified).quad(0);
                })
        .error();
  }
  Attributes attributes(u32 fid) {
    const Answer answer =
        call(Message::kTgetattr, [&](Writer& out) { out.word(fid).quad(kBasicAttributes); });
    CHECK(!answer.failed());
    Reader in = answer.reader();
    in.take(8 + 13);
    Attributes found;
    found.mode = in.word(), found.user = in.word(), found.group = in.word();
    in.take(16);
    found.size = in.quad();
    in.take(16 + 16);
    found.modified = in.quad();
    in.take(8 + 16 + 16 + 16);
    CHECK(in.complete());
    return found;
  }

 private:
  Carry carry_;
  u16 tag_ = 0;
};

}  // namespace cloister::device::virtio::ninep::testing
