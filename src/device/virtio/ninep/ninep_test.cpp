// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/ninep/ninep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>

#include "device/virtio/ninep/client.h"
#include "device/virtio/testing/guest.h"

namespace cloister::device::virtio::ninep {
namespace {

namespace fs = std::filesystem;
using testing::Answer;
using testing::Client;

// A folder to share, beside a secret that must stay out of reach.
class Share {
 public:
  Share() {
    std::string name = (fs::temp_directory_path() / "cloister-share-XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr);
    base_ = name;
    fs::create_directory(path());
    put("../secret", "secret");
  }
  ~Share() { fs::remove_all(base_); }

  fs::path path() const { return base_ / "shared"; }
  void put(const std::string& name, const std::string& text) const { std::ofstream(path() / name) << text; }
  std::string get(const std::string& name) const {
    std::ifstream file(path() / name);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  fs::path base_;
};

// A server of a share, with fid 1 attached to its root.
class NinePServer : public ::testing::Test {
 protected:
  void SetUp() override { mount(Writing::kAllowed); }

  void mount(Writing writing, u32 max_fids = 64) {
    server_ = std::make_unique<Server>(Folder::open(share_.path(), writing).take(), max_fids);
    ASSERT_EQ(client_.version(), 0);
    ASSERT_EQ(client_.attach(1), 0);
  }
  std::vector<std::byte> carry(const std::vector<std::byte>& request) {
    std::vector<std::byte> reply;
    server_->answer(request, room_, reply);
    return reply;
  }
  // Name -> kind of all entries, read with answers of at most `count` bytes.
  std::map<std::string, u8> list(u32 fid, u32 count) {
    std::map<std::string, u8> entries;
    for (u64 place = 0;;) {
      const Answer answer =
          client_.call(Message::kTreaddir, [&](Writer& out) { out.word(fid).quad(place).word(count); });
      EXPECT_EQ(answer.error(), 0);
      Reader in = answer.reader();
      u64 left = in.word();
      EXPECT_LE(left, count);
      if (left == 0 || answer.failed()) return entries;
      while (left > 0) {
        in.take(13);
        place = in.quad();
        const u8 kind = in.byte();
        const std::string name = in.text();
        left -= 13 + 8 + 1 + 2 + name.size();
        EXPECT_TRUE(entries.emplace(name, kind).second) << name << " came twice";
      }
      EXPECT_TRUE(in.complete());
    }
  }

  Share share_;
  u64 room_ = kMaxMessage;
  std::unique_ptr<Server> server_;
  Client client_{[this](const auto& request) { return carry(request); }};
};

TEST_F(NinePServer, ReadsAFileThatTheHostHas) {
  share_.put("hello", "good morning");
  ASSERT_EQ(client_.walk(1, 2, {"hello"}), 0);
  EXPECT_EQ(client_.attributes(2).size, 12u);
  ASSERT_EQ(client_.open(2, 0), 0);
  EXPECT_EQ(client_.read(2, 0, 100), "good morning");
  EXPECT_EQ(client_.read(2, 5, 3), "mor");
  EXPECT_EQ(client_.read(2, 12, 3), "");
  EXPECT_EQ(client_.clunk(2), 0);
  EXPECT_EQ(client_.clunk(2), EBADF);
}

TEST_F(NinePServer, WritesAFileThatTheHostSees) {
  ASSERT_EQ(client_.walk(1, 2, {}), 0);
  ASSERT_EQ(client_.create(2, "new", kReadWrite), 0);
  EXPECT_EQ(client_.write(2, 0, "abcdef"), 0);
  EXPECT_EQ(client_.write(2, 3, "XYZ"), 0);
  EXPECT_EQ(client_.call(Message::kTfsync, [](Writer& out) { out.word(2).word(0); }).error(), 0);
  EXPECT_EQ(client_.read(2, 0, 10), "abcXYZ");
  EXPECT_EQ(share_.get("new"), "abcXYZ");
}

TEST_F(NinePServer, CreatesExclusivelyOnlyWhatIsNotThere) {
  share_.put("there", "old");
  ASSERT_EQ(client_.walk(1, 2, {}), 0);
  EXPECT_EQ(client_.create(2, "there", kReadWrite | kExclusive), EEXIST);
  EXPECT_EQ(client_.create(2, "there", kReadWrite | kTruncate), 0);
  EXPECT_EQ(share_.get("there"), "");
}

TEST_F(NinePServer, AppendsAtTheEndWhateverTheOffset) {
  share_.put("log", "one");
  ASSERT_EQ(client_.walk(1, 2, {"log"}), 0);
  ASSERT_EQ(client_.open(2, kWriteOnly | kAppend), 0);
  EXPECT_EQ(client_.write(2, 0, "two"), 0);
  EXPECT_EQ(share_.get("log"), "onetwo");
}

TEST_F(NinePServer, WalksAsFarAsItCanAndKeepsTheFidOnlyWhenItArrives) {
  fs::create_directories(share_.path() / "a/b");
  EXPECT_EQ(client_.walk_answer(1, 2, {"a", "b", "none"}).reader().half(), 2);
  EXPECT_EQ(client_.clunk(2), EBADF);
  EXPECT_EQ(client_.walk(1, 2, {"none", "b"}), ENOENT);
  EXPECT_EQ(client_.walk(1, 2, {"a", "b"}), 0);
  EXPECT_EQ(client_.walk(1, 2, {"a"}), EBADF) << "the fid is in use";
  EXPECT_EQ(client_.walk(2, 2, {".."}), 0);
  EXPECT_EQ(client_.walk(2, 3, {"b"}), 0);
  EXPECT_EQ(client_.walk(1, 4, std::vector<std::string>(17, "a")), EINVAL);
}

TEST_F(NinePServer, ListsALargeFolderInSmallAnswersEachNameOnce) {
  for (int i = 0; i < 500; ++i) share_.put("file" + std::to_string(i), "");
  fs::create_directory(share_.path() / "folder");
  fs::create_symlink("x", share_.path() / "link");
  ASSERT_EQ(client_.walk(1, 2, {}), 0);
  ASSERT_EQ(client_.open(2, kFolderOnly), 0);
  const auto entries = list(2, 300);
  EXPECT_EQ(entries.size(), 504u);  // with "." and ".."
  EXPECT_EQ(entries.at("folder"), 4);
  EXPECT_EQ(entries.at("link"), 10);
  EXPECT_EQ(list(2, kMaxMessage).size(), 504u);
}

TEST_F(NinePServer, RefusesAListingWithoutRoomForOneName) {
  share_.put(std::string(200, 'n'), "");
  ASSERT_EQ(client_.walk(1, 2, {}), 0);
  ASSERT_EQ(client_.open(2, 0), 0);
  EXPECT_EQ(client_.call(Message::kTreaddir, [](Writer& out) { out.word(2).quad(0).word(10); }).error(),
            EINVAL);
}

TEST_F(NinePServer, MakesLinksRenamesAndRemoves) {
  ASSERT_EQ(client_.make_folder(1, "dir"), 0);
  EXPECT_EQ(client_.make_folder(1, "dir"), EEXIST);
  ASSERT_EQ(client_.make_node(1, "file", kKindFile | 0600), 0);
  ASSERT_EQ(client_.make_node(1, "fifo", kKindFifo | 0600), 0);
  ASSERT_EQ(client_.walk(1, 2, {"file"}), 0);
  ASSERT_EQ(client_.walk(1, 3, {"dir"}), 0);
  EXPECT_EQ(client_.link(3, 2, "hard"), 0);
  EXPECT_EQ(fs::hard_link_count(share_.path() / "file"), 2u);
  EXPECT_EQ(client_.rename_at(1, "file", 3, "moved"), 0);
  EXPECT_TRUE(fs::exists(share_.path() / "dir/moved"));
  EXPECT_EQ(client_.rename(2, 1, "back"), 0);
  EXPECT_TRUE(fs::exists(share_.path() / "back"));
  EXPECT_EQ(client_.unlink(1, "dir"), EISDIR);
  EXPECT_EQ(client_.unlink(3, "hard"), 0);
  EXPECT_EQ(client_.unlink(1, "dir", kRemoveFolder), 0);
  EXPECT_EQ(client_.remove(2), 0);
  EXPECT_FALSE(fs::exists(share_.path() / "back"));
  EXPECT_EQ(client_.clunk(2), EBADF) << "removing clunks";
}

TEST_F(NinePServer, UsesAFileThatWasRemovedWhileOpen) {
  share_.put("gone", "still here");
  ASSERT_EQ(client_.walk(1, 2, {"gone"}), 0);
  ASSERT_EQ(client_.unlink(1, "gone"), 0);
  ASSERT_EQ(client_.open(2, kReadWrite), 0);
  EXPECT_EQ(client_.read(2, 0, 10), "still here");
  EXPECT_EQ(client_.remove(2), ENOENT);
}

TEST_F(NinePServer, SetsModeSizeAndTimes) {
  share_.put("f", "0123456789");
  ASSERT_EQ(client_.walk(1, 2, {"f"}), 0);
  EXPECT_EQ(client_.set_attributes(2, kSetMode, {.mode = 0640}), 0);
  EXPECT_EQ(client_.set_attributes(2, kSetSize, {.size = 4}), 0);
  EXPECT_EQ(client_.set_attributes(2, kSetModified | kModifiedGiven, {.modified = 86400}), 0);
  const auto now = client_.attributes(2);
  EXPECT_EQ(now.mode, 0100640u);
  EXPECT_EQ(now.size, 4u);
  EXPECT_EQ(now.modified, 86400u);
  EXPECT_EQ(client_.set_attributes(2, kSetModified, {}), 0);
  EXPECT_GT(client_.attributes(2).modified, 86400u);
}

TEST_F(NinePServer, ShowsTheHostUsersFilesAsRootsAndGivesNoneAway) {
  share_.put("mine", "");
  ASSERT_EQ(client_.walk(1, 2, {"mine"}), 0);
  EXPECT_EQ(client_.attributes(2).user, 0u);
  EXPECT_EQ(client_.attributes(2).group, 0u);
  EXPECT_EQ(client_.set_attributes(2, kSetOwner | kSetGroup, {.user = 0, .group = 0}), 0);
  EXPECT_EQ(client_.set_attributes(2, kSetOwner, {.user = 1000}), EPERM);
  EXPECT_EQ(client_.set_attributes(2, kSetMode, {.mode = 04755}), EPERM) << "no setuid files on the host";
}

TEST_F(NinePServer, TellsOfTheFileSystem) {
  const Answer answer = client_.call(Message::kTstatfs, [](Writer& out) { out.word(1); });
  Reader in = answer.reader();
  EXPECT_EQ(in.word(), kFileSystemType);
  EXPECT_GT(in.word(), 0u);
  EXPECT_GT(in.quad(), 0u);
}

TEST_F(NinePServer, GrantsLocksAndReportsNone) {
  share_.put("f", "");
  ASSERT_EQ(client_.walk(1, 2, {"f"}), 0);
  const auto lock = [](Writer& out) { out.word(2).byte(1).word(0).quad(0).quad(0).word(7).text("c"); };
  EXPECT_EQ(client_.call(Message::kTlock, lock).error(), EBADF) << "not open";
  ASSERT_EQ(client_.open(2, kReadWrite), 0);
  EXPECT_EQ(client_.call(Message::kTlock, lock).reader().byte(), kLockGranted);
  const auto ask = [](Writer& out) { out.word(2).byte(1).quad(5).quad(6).word(7).text("client"); };
  Reader in = Reader({});
  const Answer answer = client_.call(Message::kTgetlock, ask);
  in = answer.reader();
  EXPECT_EQ(in.byte(), kLockNone);
  EXPECT_EQ(in.quad(), 5u);
  EXPECT_EQ(in.quad(), 6u);
  EXPECT_EQ(in.word(), 7u);
  EXPECT_EQ(in.text(), "client");
}

TEST_F(NinePServer, HasNoExtendedAttributesAndNoAuthentication) {
  EXPECT_EQ(client_.call(Message::kTxattrwalk, [](Writer& out) { out.word(1).word(2).text("a"); }).error(),
            EOPNOTSUPP);
  EXPECT_EQ(client_.call(Message::kTxattrcreate, [](Writer& out) { out.word(1).text("a").quad(1).word(0); })
                .error(),
            EOPNOTSUPP);
  EXPECT_EQ(client_.call(Message::kTauth, [](Writer& out) { out.word(3).text("").text("").word(0); }).error(),
            EOPNOTSUPP);
  EXPECT_EQ(client_.call(static_cast<Message>(200), {}).error(), EOPNOTSUPP);
}

TEST_F(NinePServer, NegotiatesTheVersionAnew) {
  EXPECT_EQ(client_.version(100), EINVAL) << "too small a message";
  const Answer other = client_.call(Message::kTversion, [](Writer& out) { out.word(8192).text("9P2000.u"); });
  Reader in = other.reader();
  EXPECT_EQ(in.word(), 8192u);
  EXPECT_EQ(in.text(), "unknown");
  EXPECT_EQ(client_.attach(1), EPROTO) << "no version agreed on";
  const Answer large = client_.call(Message::kTversion, [](Writer& out) { out.word(~0u).text("9P2000.L"); });
  EXPECT_EQ(large.reader().word(), kMaxMessage);
  EXPECT_EQ(server_->fids(), 0u) << "a new session has no files";
  EXPECT_EQ(client_.attach(1), 0);
  EXPECT_EQ(client_.call(Message::kTflush, [](Writer& out) { out.half(9); }).error(), 0);
}

TEST_F(NinePServer, GivesAtMostWhatFitsTheMessageForAHugeCount) {
  share_.put("big", std::string(100'000, 'x'));
  ASSERT_EQ(client_.version(8192), 0);
  ASSERT_EQ(client_.attach(1), 0);
  ASSERT_EQ(client_.walk(1, 2, {"big"}), 0);
  ASSERT_EQ(client_.open(2, 0), 0);
  EXPECT_EQ(client_.read(2, 0, ~0u).size(), 8192u - 11u);
  room_ = 100;
  EXPECT_EQ(client_.read(2, 0, ~0u).size(), 100u - 11u);
  EXPECT_EQ(client_.read_answer(2, ~u64{0}, 10).error(), EINVAL);
}

TEST_F(NinePServer, SaysSoWhenAnAnswerDoesNotFit) {
  room_ = 12;
  EXPECT_EQ(client_.call(Message::kTgetattr, [](Writer& out) { out.word(1).quad(0); }).error(), EMSGSIZE);
  for (room_ = 0; room_ < 11; ++room_) {
    EXPECT_EQ(client_.read_answer(1, 0, 10).type, 0) << "no room for an error";
    EXPECT_EQ(client_.walk_answer(1, 5, {}).failed(), false);
  }
}

TEST_F(NinePServer, HoldsAtMostItsBoundOfFids) {
  mount(Writing::kAllowed, 8);
  for (u32 fid = 2; fid <= 8; ++fid) EXPECT_EQ(client_.walk(1, fid, {}), 0);
  EXPECT_EQ(client_.walk(1, 9, {}), ENFILE);
  EXPECT_EQ(client_.attach(9), ENFILE);
  EXPECT_EQ(client_.clunk(8), 0);
  EXPECT_EQ(client_.walk(1, 9, {}), 0);
}

TEST_F(NinePServer, RefusesTruncatedAndOverlongRequests) {
  const auto whole = Client::request(Message::kTgetattr, [](Writer& out) { out.word(1).quad(0); });
  for (size_t size = 0; size < whole.size(); ++size) {
    std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<long>(size));
    if (size >= 4) Writer(cut, size).set_word(0, static_cast<u32>(size));
    const auto reply = carry(cut);
    EXPECT_EQ(reply.empty(), size < kHeaderSize);
    if (reply.empty()) continue;
    EXPECT_EQ(static_cast<u8>(reply[4]), static_cast<u8>(Message::kRlerror));
  }
  auto longer = whole;
  longer.push_back(std::byte{0});
  EXPECT_EQ(static_cast<u8>(carry(longer)[4]), static_cast<u8>(Message::kRlerror));
}

TEST_F(NinePServer, RefusesNamesThatAreNone) {
  const std::vector<std::pair<std::string, int>> names = {{"", ENOENT},
                                                          {".", EINVAL},
                                                          {"..", EINVAL},
                                                          {"a/b", EINVAL},
                                                          {"../secret", EINVAL},
                                                          {"/", EINVAL},
                                                          {std::string(256, 'n'), ENAMETOOLONG},
                                                          {std::string("a\0b", 3), EINVAL}};
  ASSERT_EQ(client_.make_node(1, "file", kKindFile | 0600), 0);
  ASSERT_EQ(client_.walk(1, 2, {"file"}), 0);
  for (const auto& [name, error] : names) {
    if (name != "..") {
      EXPECT_EQ(client_.walk(1, 3, {name}), error) << name;
    }
    EXPECT_EQ(client_.create(1, name, kReadWrite), error) << name;
    EXPECT_EQ(client_.make_folder(1, name), error) << name;
    EXPECT_EQ(client_.make_node(1, name, kKindFile), error) << name;
    EXPECT_EQ(client_.make_symlink(1, name, "x"), error) << name;
    EXPECT_EQ(client_.link(1, 2, name), error) << name;
    EXPECT_EQ(client_.rename_at(1, name, 1, "y"), error) << name;
    EXPECT_EQ(client_.rename_at(1, "file", 1, name), error) << name;
    EXPECT_EQ(client_.rename(2, 1, name), error) << name;
    EXPECT_EQ(client_.unlink(1, name), error) << name;
  }
  const std::string longest(255, 'n');
  EXPECT_EQ(client_.make_folder(1, longest), 0);
  EXPECT_EQ(client_.walk(1, 3, {longest}), 0);
}

// -- Escapes -------------------------------------------------------------------------------------------

TEST_F(NinePServer, StaysAtTheRootWhenWalkingUp) {
  ASSERT_EQ(client_.walk(1, 2, {"..", "..", ".."}), 0);
  EXPECT_EQ(client_.walk(2, 3, {"secret"}), ENOENT);
  ASSERT_EQ(client_.make_folder(2, "proof"), 0);
  EXPECT_TRUE(fs::exists(share_.path() / "proof"));
}

TEST_F(NinePServer, FollowsNoSymbolicLink) {
  ASSERT_EQ(client_.make_symlink(1, "up", ".."), 0);
  ASSERT_EQ(client_.make_symlink(1, "secret", "../secret"), 0);
  ASSERT_EQ(client_.walk(1, 2, {"up"}), 0);
  EXPECT_EQ(client_.call(Message::kTreadlink, [](Writer& out) { out.word(2); }).reader().text(), "..");
  EXPECT_EQ(client_.walk_answer(1, 3, {"up", "secret"}).reader().half(), 1) << "a link is no folder";
  EXPECT_EQ(client_.walk(2, 3, {"secret"}), ENOTDIR);
  EXPECT_EQ(client_.make_folder(2, "x"), ENOTDIR);
  EXPECT_EQ(client_.open(2, kFolderOnly), ELOOP);
  ASSERT_EQ(client_.walk(1, 4, {"secret"}), 0);
  EXPECT_EQ(client_.open(4, 0), ELOOP);
  EXPECT_EQ(client_.set_attributes(4, kSetMode, {.mode = 0}), EOPNOTSUPP);
  EXPECT_EQ(client_.set_attributes(4, kSetSize, {.size = 0}), ELOOP);
  EXPECT_EQ(client_.walk(1, 5, {}), 0);
  EXPECT_EQ(client_.create(5, "secret", kReadWrite | kTruncate), ELOOP);
  EXPECT_EQ(share_.get("../secret"), "secret");
}

TEST_F(NinePServer, LeadsNowhereFromAFolderThatTheHostMovedOut) {
  fs::create_directories(share_.path() / "a/b");
  ASSERT_EQ(client_.walk(1, 2, {"a", "b"}), 0);
  fs::rename(share_.path() / "a/b", share_.path() / "../b");
  EXPECT_EQ(client_.walk(2, 3, {".."}), EACCES);
  EXPECT_EQ(client_.walk(2, 3, {"..", "secret"}), EACCES);
  EXPECT_EQ(client_.remove(2), ENOENT) << "it is not in the share";
  EXPECT_TRUE(fs::exists(share_.path() / "../b"));
}

TEST_F(NinePServer, StaysInsideWhenFoldersAreRenamedDuringAWalk) {
  fs::create_directories(share_.path() / "a/b/c");
  ASSERT_EQ(client_.walk(1, 2, {"a", "b", "c"}), 0);
  ASSERT_EQ(client_.walk(1, 3, {"a", "b"}), 0);
  ASSERT_EQ(client_.walk(1, 4, {"a"}), 0);
  ASSERT_EQ(client_.rename_at(3, "c", 1, "c"), 0);
  EXPECT_EQ(client_.walk(2, 5, {"..", "..", "..", "secret"}), -1);
  EXPECT_EQ(client_.walk(2, 5, {"..", "a"}), 0) << "its parent is the root now";
}

TEST_F(NinePServer, OpensNeitherFifoNorSocketNorDevice) {
  ASSERT_EQ(client_.make_node(1, "fifo", kKindFifo | 0600), 0);
  ASSERT_EQ(client_.walk(1, 2, {"fifo"}), 0);
  EXPECT_EQ(client_.open(2, 0), ENXIO);
  EXPECT_EQ(client_.walk(1, 3, {}), 0);
  EXPECT_EQ(client_.create(3, "fifo", kWriteOnly), ENXIO);
  EXPECT_EQ(client_.make_node(1, "disk", 0060000 | 0600), EPERM);
  EXPECT_EQ(client_.make_node(1, "null", 0020000 | 0600), EPERM);
}

TEST_F(NinePServer, ChangesNothingWhenReadOnly) {
  share_.put("file", "content");
  mount(Writing::kRefused);
  ASSERT_EQ(client_.walk(1, 2, {"file"}), 0);
  EXPECT_EQ(client_.open(2, kReadWrite), EROFS);
  EXPECT_EQ(client_.open(2, kTruncate), EROFS);
  EXPECT_EQ(client_.open(2, 0), 0);
  EXPECT_EQ(client_.read(2, 0, 10), "content");
  EXPECT_EQ(client_.write(2, 0, "x"), EROFS);
  EXPECT_EQ(client_.set_attributes(2, kSetSize, {}), EROFS);
  EXPECT_EQ(client_.make_folder(1, "d"), EROFS);
  EXPECT_EQ(client_.make_node(1, "n", kKindFile), EROFS);
  EXPECT_EQ(client_.make_symlink(1, "s", "x"), EROFS);
  EXPECT_EQ(client_.link(1, 2, "l"), EROFS);
  EXPECT_EQ(client_.rename_at(1, "file", 1, "x"), EROFS);
  EXPECT_EQ(client_.rename(2, 1, "x"), EROFS);
  EXPECT_EQ(client_.unlink(1, "file"), EROFS);
  EXPECT_EQ(client_.create(1, "c", 0), EROFS);
  EXPECT_EQ(client_.remove(2), EROFS);
  EXPECT_EQ(share_.get("file"), "content");
}

// -- The device ----------------------------------------------------------------------------------------

class NinePDevice : public ::testing::Test {
 protected:
  std::vector<std::byte> carry(const std::vector<std::byte>& request) {
    const GuestPhys in = guest_.allocate(8192);
    const u32 written = guest_.run(
        0, {.out = {{guest_.place(request), static_cast<u32>(request.size())}}, .in = {{in, 8192}}});
    return guest_.bytes_at(in, written);
  }

  Share share_;
  std::unique_ptr<NineP> device_ = NineP::create({.tag = "work", .path = share_.path()}).take();
  virtio::testing::Guest guest_{*device_};
  Client client_{[this](const auto& request) { return carry(request); }};
};

TEST_F(NinePDevice, TellsItsTag) {
  EXPECT_EQ(guest_.config<u16>(0), 4);
  EXPECT_EQ(guest_.config<u8>(2), 'w');
  EXPECT_EQ(guest_.config<u8>(5), 'k');
  EXPECT_EQ(guest_.config<u8>(6), 0);
  EXPECT_NE(guest_.device_features() & 1, 0u);
}

TEST_F(NinePDevice, ServesRequestsOnItsOwnThreadOverEitherRing) {
  share_.put("f", "content");
  for (const u64 ring : {u64{0}, kPackedRing | kEventIndex}) {
    guest_.start(kVersion1 | ring | 1);
    ASSERT_EQ(client_.version(8192), 0);
    ASSERT_EQ(client_.attach(1), 0);
    ASSERT_EQ(client_.walk(1, 2, {"f"}), 0);
    ASSERT_EQ(client_.open(2, 0), 0);
    EXPECT_EQ(client_.read(2, 0, 100), "content");
    guest_.reset();
  }
}

TEST_F(NinePDevice, ForgetsTheSessionAtAReset) {
  guest_.start(kVersion1 | 1);
  ASSERT_EQ(client_.version(8192), 0);
  ASSERT_EQ(client_.attach(1), 0);
  guest_.reset();
  guest_.start(kVersion1 | 1);
  EXPECT_EQ(client_.attach(1), EPROTO);
}

TEST_F(NinePDevice, NeedsAResetAfterARequestWithoutAHeaderOrRoom) {
  guest_.start(kVersion1 | 1);
  guest_.submit(0, {.out = {{guest_.place("abc"), 3}}, .in = {{guest_.allocate(16), 16}}});
  while (!guest_.needs_reset()) {
  }
  guest_.reset();
  guest_.start(kVersion1 | 1);
  const auto request = Client::request(Message::kTclunk, [](Writer& out) { out.word(1); });
  guest_.submit(0, {.out = {{guest_.place(request), static_cast<u32>(request.size())}}});
  while (!guest_.needs_reset()) {
  }
  guest_.reset();
  guest_.start(kVersion1 | 1);
  EXPECT_EQ(client_.version(8192), 0);
}

TEST(NineP, RefusesAFolderThatIsNoneAndATagThatIsNone) {
  const Share share;
  share.put("file", "");
  using ::testing::HasSubstr;
  EXPECT_THAT(NineP::create({.tag = "t", .path = share.path() / "none"}).failure().message,
              HasSubstr("/none'"));
  EXPECT_FALSE(NineP::create({.tag = "t", .path = share.path() / "file"}).ok());
  EXPECT_FALSE(NineP::create({.tag = "", .path = share.path()}).ok());
  EXPECT_THAT(NineP::create({.tag = std::string(256, 't'), .path = share.path()}).failure().message,
              HasSubstr("256 bytes"));
}

}  // namespace
}  // namespace cloister::device::virtio::ninep
