// SPDX-License-Identifier: Apache-2.0
// A hostile client of a shared folder, beside which lies a secret. However it mixes requests, no answer may
// hold the secret, and nothing beside the folder may change. Half of the inputs are raw requests by way of
// the device's queue, half are requests with sensible shapes straight to the server.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/log.h"
#include "device/virtio/ninep/client.h"
#include "device/virtio/ninep/ninep.h"
#include "device/virtio/testing/hostile_driver.h"

namespace cloister::device::virtio::ninep {
namespace {

namespace fs = std::filesystem;
using Input = virtio::testing::FuzzInput;

constexpr std::string_view kSecret = "the-content-of-the-secret";
constexpr u32 kMaxFids = 16;

class Place {
 public:
  Place() {
    std::string name = (fs::temp_directory_path() / "cloister-fuzz-XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr);
    base_ = name;
    std::ofstream(base_ / "secret") << kSecret;
  }
  ~Place() { fs::remove_all(base_); }

  std::string shared() const { return base_ / "shared"; }
  void prepare() const {
    fs::remove_all(shared());
    fs::create_directories(base_ / "shared/a/b/c");
    std::ofstream(base_ / "shared/file") << "public";
    fs::create_symlink("../secret", base_ / "shared/link");
    fs::create_symlink("..", base_ / "shared/up");
  }
  // Nothing came to be beside the folder, and the secret is what it was.
  void check() const {
    const auto entries = std::distance(fs::directory_iterator(base_), fs::directory_iterator());
    CHECK(entries == 2);
    std::ifstream file(base_ / "secret");
    CHECK(std::string(std::istreambuf_iterator<char>(file), {}) == kSecret);
    CHECK(fs::file_size(base_ / "secret") == kSecret.size());
  }

 private:
  fs::path base_;
};

// Something of a request's body: a fid, a name, a number.
void fill(Input& input, Writer& out) {
  static const char* const kNames[] = {"a", "b",      "c",         "file", "link", "up",  "..",
                                       ".", "secret", "../secret", "/",    "",     "new", "../shared/file"};
  for (u32 left = input.below(12); left > 0; --left) {
    switch (input.below(6)) {
      case 0:
        out.word(input.below(6));
        break;
      case 1:
        out.text(kNames[input.below(std::size(kNames))]);
        break;
      case 2:
        out.word(input.take<u32>());
        break;
      case 3:
        out.quad(input.below(300));
        break;
      case 4:
        out.half(static_cast<u16>(input.below(4)));
        break;
      default:
        out.byte(input.take<u8>());
    }
  }
}

std::vector<std::byte> request(Input& input) {
  static constexpr u8 kMessages[] = {8,  12, 14, 16, 18, 20,  22,  24,  26,  30,  32,  40,  50,  52,
                                     54, 70, 72, 74, 76, 100, 102, 104, 108, 110, 116, 118, 120, 122};
  const auto message = static_cast<Message>(kMessages[input.below(std::size(kMessages))]);
  return testing::Client::request(message, [&](Writer& out) { fill(input, out); });
}

// Requests of the right shape, so that the fuzzer need not find them out.
void sensible(Input& input, testing::Client& client) {
  static const char* const kNames[] = {"a", "b", "c", "file", "link", "up", "new", "..", "secret", "."};
  const auto name = [&] { return std::string(kNames[input.below(std::size(kNames))]); };
  const auto fid = [&] { return input.below(6); };
  switch (input.below(16)) {
    case 0:
      return void(client.attach(fid()));
    case 1:
    case 2: {
      std::vector<std::string> names(input.below(5));
      for (std::string& each : names) each = name();
      return void(client.walk_answer(fid(), fid(), names));
    }
    case 3:
      return void(client.open(fid(), input.take<u32>()));
    case 4:
      return void(client.create(fid(), name(), input.take<u32>(), input.take<u16>()));
    case 5:
      return void(client.read_answer(fid(), input.below(40), input.take<u32>()));
    case 6:
      return void(client.write(fid(), input.below(40'000), "written"));
    case 7:
      return void(client.make_folder(fid(), name()));
    case 8:
      return void(client.make_symlink(fid(), name(), input.below(2) == 0 ? "../secret" : "/"));
    case 9:
      return void(client.link(fid(), fid(), name()));
    case 10:
      return void(client.rename_at(fid(), name(), fid(), name()));
    case 11:
      return void(client.rename(fid(), fid(), name()));
    case 12:
      return void(client.unlink(fid(), name(), input.below(2) * kRemoveFolder));
    case 13:
      return void(client.remove(fid()));
    case 14:
      return void(client.set_attributes(fid(), input.take<u16>() & ~kSetSize, {.mode = input.take<u16>()}));
    default:
      return void(client.clunk(fid()));
  }
}

void run_server(Input& input, const std::string& path) {
  Server server(Folder::open(path, Writing::kAllowed).take(), kMaxFids);
  const auto carry = [&](const std::vector<std::byte>& bytes) {
    std::vector<std::byte> reply;
    const u64 room = input.below(8) == 0 ? input.below(64) : kMaxMessage;
    server.answer(bytes, room, reply);
    CHECK(reply.size() <= room && server.fids() <= kMaxFids);
    const auto secret = std::as_bytes(std::span(kSecret));
    CHECK(std::search(reply.begin(), reply.end(), secret.begin(), secret.end()) == reply.end());
    return reply;
  };
  testing::Client client(carry);
  (void)client.version(8192);
  (void)client.attach(1);
  while (!input.empty()) {
    if (input.below(4) == 0) {
      (void)carry(request(input));
    } else {
      sensible(input, client);
    }
  }
}

void run_device(Input& input, const std::string& path) {
  const auto device = NineP::create({.tag = "share", .path = path}).take();
  virtio::testing::Guest guest(*device);
  virtio::testing::HostileDriver driver(guest, 1, device->features());
  driver.start(input);
  while (!input.empty()) {
    if (input.below(8) == 0) {
      driver.misbehave(input);
    } else {
      const auto bytes = input.below(2) == 0 ? request(input) : input.bytes(input.below(100));
      driver.submit(0, bytes, input.below(9000), input);
    }
  }
  guest.reset();
}

}  // namespace
}  // namespace cloister::device::virtio::ninep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace cloister::device::virtio;
  cloister::set_log_level(cloister::LogLevel::kError);
  static const ninep::Place place;
  testing::FuzzInput input(data, size);
  place.prepare();
  if (input.below(2) == 0) {
    ninep::run_server(input, place.shared());
  } else {
    ninep::run_device(input, place.shared());
  }
  place.check();
  return 0;
}
