// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/vsock/vsock.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "device/virtio/testing/guest.h"

namespace cloister::device::virtio::vsock {
namespace {

namespace fs = std::filesystem;
constexpr u32 kReceive = 0, kTransmit = 1, kEvent = 2;
constexpr u32 kBuffer = 4096;

struct Packet {
  Header header;
  std::string payload;

  Operation operation() const { return static_cast<Operation>(header.operation); }
};

// A temporary folder for sockets.
class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "cloister-vsock-XXXXXX").string();
    CHECK(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() { fs::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ / name; }

 private:
  fs::path path_;
};

// A guest with a driver that speaks packets, and programs on the host.
class Sockets : public ::testing::Test {
 protected:
  void SetUp() override { start(); }
  void start(u64 features = kVersion1, int buffers = 32) {
    guest_.start(features);
    buffers_.clear();
    for (int i = 0; i < buffers; ++i) add_buffer();
    turn();
  }
  // Lets the loop serve what is there, on this thread.
  void turn() {
    rounds_ = 8;
    again();
    loop_->run();
  }
  void again() {
    loop_->post([this] { --rounds_ > 0 ? again() : loop_->stop(); });
  }

  void add_buffer() {
    const GuestPhys at = guest_.allocate(kBuffer);
    buffers_[guest_.submit(kReceive, {.in = {{at, kBuffer}}})] = at;
  }
  // The next packet that the guest got.
  std::optional<Packet> next() {
    const auto used = guest_.queue(kReceive).take_used();
    if (!used) return std::nullopt;
    const GuestPhys at = buffers_.at(used->id);
    buffers_.erase(used->id);
    Packet packet;
    CHECK(guest_.memory().read(at, std::as_writable_bytes(std::span(&packet.header, 1))));
    CHECK(used->written == sizeof(Header) + packet.header.length);
    packet.payload = guest_.text_at(at + sizeof(Header), packet.header.length);
    buffers_[guest_.submit(kReceive, {.in = {{at, kBuffer}}})] = at;
    return packet;
  }
  Packet expect(Operation operation) {
    turn();
    const auto packet = next();
    if (!packet || packet->operation() != operation) {
      ADD_FAILURE() << "no packet of operation " << static_cast<int>(operation) << " but "
                    << (packet ? static_cast<int>(packet->operation()) : -1);
      return {};
    }
    EXPECT_EQ(packet->header.source_cid, kHostCid);
    EXPECT_EQ(packet->header.destination_cid, 3u);
    return *packet;
  }
  void expect_nothing() {
    turn();
    const auto packet = next();
    EXPECT_FALSE(packet) << static_cast<int>(packet->operation());
  }

  Header header(Operation operation, Ports ports) {
    Header header;
    header.source_cid = 3;
    header.destination_cid = kHostCid;
    header.source_port = ports.guest;
    header.destination_port = ports.host;
    header.operation = static_cast<u16>(operation);
    header.buffer_size = guest_buffer_;
    header.forwarded = taken_;
    return header;
  }
  void send(Header header, std::string_view payload = {}) {
    header.length = static_cast<u32>(payload.size());
    send_raw(header, payload);
  }
  void send_raw(const Header& header, std::string_view payload = {}) {
    std::string all(sizeof header, '\0');
    std::memcpy(all.data(), &header, sizeof header);
    all += payload;
    guest_.submit(kTransmit, {.out = {{guest_.place(all), static_cast<u32>(all.size())}}});
    turn();
    while (guest_.queue(kTransmit).take_used()) {
    }
  }
  void send(Operation operation, std::string_view payload = {}, u32 flags = 0) {
    Header packet = header(operation, ports_);
    packet.flags = flags;
    send(packet, payload);
  }

  // A connection from the host's `caller_` to the guest's port 52.
  os::UnixStream call(const std::string& line = "CONNECT 52\n") {
    auto caller = os::UnixStream::connect(path_);
    CHECK(caller.ok());
    write(*caller, line);
    turn();
    return caller.take();
  }
  os::UnixStream connect_to_guest() {
    os::UnixStream caller = call();
    const Packet request = expect(Operation::kRequest);
    EXPECT_EQ(request.header.destination_port, 52u);
    ports_ = {52, request.header.source_port};
    send(Operation::kResponse);
    EXPECT_EQ(read(caller), fmt::format("OK {}\n", ports_.host));
    return caller;
  }
  // A connection from the guest's port 1000 to the host's port 80.
  os::UnixStream connect_to_host(const os::UnixListener& listener) {
    ports_ = {1000, 80};
    send(Operation::kRequest);
    expect(Operation::kResponse);
    return listener.accept().take();
  }
  os::UnixListener listen(u32 port) {
    return os::UnixListener::listen(fmt::format("{}_{}", path_, port)).take();
  }

  static void write(const os::UnixStream& stream, std::string_view text) {
    const auto written = stream.write(std::as_bytes(std::span(text)));
    CHECK(written.ok() && *written == text.size());
  }
  // What is there; "(end)" at the end, "(nothing)" for nothing.
  static std::string read(const os::UnixStream& stream) {
    std::string text(100'000, '\0');
    const auto got = stream.read(std::as_writable_bytes(std::span(text)));
    if (!got.ok()) return os::would_block(got.failure()) ? "(nothing)" : "(error)";
    if (*got == 0) return "(end)";
    text.resize(*got);
    return text;
  }

  Folder folder_;
  std::string path_ = folder_ / "vsock";
  std::unique_ptr<os::EventLoop> loop_ = os::EventLoop::create().take();
  std::unique_ptr<Vsock> device_ = Vsock::create(*loop_, {.path = path_}).take();
  virtio::testing::Guest guest_{*device_, Bytes{64 * kMiB}};
  std::map<u16, GuestPhys> buffers_;
  int rounds_ = 0;
  Ports ports_;
  u32 guest_buffer_ = 64 * kKiB;
  u32 taken_ = 0;
};

TEST_F(Sockets, TellTheGuestItsAddress) { EXPECT_EQ(guest_.config<u64>(0), 3u); }

TEST_F(Sockets, ConnectTheHostToTheGuest) {
  const auto caller = connect_to_guest();
  write(caller, "hello");
  EXPECT_EQ(expect(Operation::kData).payload, "hello");
  send(Operation::kData, "good day");
  EXPECT_EQ(read(caller), "good day");
}

TEST_F(Sockets, ServeAPortInThisProcess) {
  os::UnixStream program;
  device_->serve(80, [&](os::UnixStream end) { program = std::move(end); });
  ports_ = {1000, 80};
  send(Operation::kRequest);
  expect(Operation::kResponse);
  send(Operation::kData, "hello");
  EXPECT_EQ(read(program), "hello");
}

TEST_F(Sockets, ConnectTheGuestToTheHost) {
  const auto listener = listen(80);
  const auto program = connect_to_host(listener);
  send(Operation::kData, "GET /");
  EXPECT_EQ(read(program), "GET /");
  write(program, "200");
  EXPECT_EQ(expect(Operation::kData).payload, "200");
}

TEST_F(Sockets, WorkOverAPackedRing) {
  guest_.reset();
  start(kVersion1 | kPackedRing | kEventIndex);
  const auto caller = connect_to_guest();
  write(caller, "x");
  EXPECT_EQ(expect(Operation::kData).payload, "x");
}

TEST_F(Sockets, GiveTheGuestWhatFollowedTheLineAtOnce) {
  const auto caller = call("CONNECT 52\nearly");
  const Packet request = expect(Operation::kRequest);
  ports_ = {52, request.header.source_port};
  expect_nothing();
  send(Operation::kResponse);
  EXPECT_EQ(expect(Operation::kData).payload, "early");
}

TEST_F(Sockets, CloseACallerWhoseLineIsNone) {
  for (const char* line : {"CONNECT\n", "CONNECT x\n", "CONNECT 1x\n", "CONNECT 4294967296\n", "CONNECT \n",
                           "GET / HTTP/1.1\n", "CONNECT 0000000000000000000000000000000052\n"}) {
    const auto caller = call(line);
    EXPECT_THAT(read(caller), ::testing::AnyOf("(end)", "(error)")) << line;
  }
  expect_nothing();
}

TEST_F(Sockets, CloseACallerWhenNobodyInTheGuestListens) {
  const auto caller = call();
  const Packet request = expect(Operation::kRequest);
  ports_ = {52, request.header.source_port};
  send(Operation::kReset);
  EXPECT_EQ(read(caller), "(end)");
}

TEST_F(Sockets, CloseACallerWhenTheGuestHasNoDriver) {
  guest_.reset();
  EXPECT_THAT(read(call()), ::testing::AnyOf("(end)", "(error)"));
}

TEST_F(Sockets, ResetAGuestThatCallsWhereNobodyListens) {
  ports_ = {1000, 81};
  send(Operation::kRequest);
  const Packet reset = expect(Operation::kReset);
  EXPECT_EQ(reset.header.source_port, 81u);
  EXPECT_EQ(reset.header.destination_port, 1000u);
}

// -- Credit --------------------------------------------------------------------------------------------

TEST_F(Sockets, SendTheGuestNoMoreThanItHasRoomFor) {
  guest_buffer_ = 6000;
  const auto caller = connect_to_guest();
  write(caller, std::string(10'000, 'd'));
  size_t got = expect(Operation::kData).payload.size();
  got += expect(Operation::kData).payload.size();
  EXPECT_EQ(got, 6000u);
  expect(Operation::kCreditRequest);
  expect_nothing();
  taken_ = 2500;
  send(Operation::kCreditUpdate);
  EXPECT_EQ(expect(Operation::kData).payload.size(), 2500u);
  expect(Operation::kCreditRequest);
  taken_ = 8500;
  send(Operation::kCreditUpdate);
  EXPECT_EQ(expect(Operation::kData).payload.size(), 1500u);
  expect_nothing();
}

TEST_F(Sockets, SendNothingToAGuestWhoseFiguresMakeNoSense) {
  const auto caller = connect_to_guest();
  taken_ = 1;  // of nothing sent
  send(Operation::kCreditUpdate);
  write(caller, "x");
  expect(Operation::kCreditRequest);
  expect_nothing();
  taken_ = 0;
  send(Operation::kCreditUpdate);
  EXPECT_EQ(expect(Operation::kData).payload, "x");
}

TEST_F(Sockets, TellTheGuestWhatTheHostHasTaken) {
  const auto caller = connect_to_guest();
  u64 sent = 0;
  u32 forwarded = 0;
  for (int i = 0; i < 100; ++i) {
    ASSERT_LE(sent - forwarded + 4000, Connection::kBufferSize) << "the guest is left waiting";
    send(Operation::kData, std::string(4000, 'g'));
    sent += 4000;
    EXPECT_EQ(read(caller).size(), 4000u);
    while (const auto packet = next()) {
      EXPECT_EQ(packet->operation(), Operation::kCreditUpdate);
      EXPECT_EQ(packet->header.buffer_size, Connection::kBufferSize);
      forwarded = packet->header.forwarded;
    }
  }
  send(Operation::kCreditRequest);
  EXPECT_EQ(expect(Operation::kCreditUpdate).header.forwarded, sent);
}

TEST_F(Sockets, KeepTheGuestsDataForASlowHostAndResetWhoSendsMoreThanFits) {
  const auto caller = connect_to_guest();
  u64 sent = 0;
  std::optional<Packet> answer;
  while (!answer && sent < 64 * kMiB) {
    send(Operation::kData, std::string(60'000, 'g'));
    sent += 60'000;
    answer = next();
    if (answer && answer->operation() == Operation::kCreditUpdate) answer.reset();
  }
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->operation(), Operation::kReset);
  EXPECT_LT(sent, 2 * kMiB);
}

TEST_F(Sockets, PassOnWhatAHostTakesLater) {
  const auto caller = connect_to_guest();
  u64 sent = 0, forwarded = 0, got = 0;
  while (sent < 3 * kMiB) {
    if (sent - forwarded + 30'000 <= Connection::kBufferSize) {
      send(Operation::kData, std::string(30'000, 'g'));
      sent += 30'000;
    } else {
      got += read(caller).size();
      turn();
    }
    while (const auto packet = next()) forwarded = packet->header.forwarded;
  }
  for (std::string text = read(caller); text != "(nothing)"; text = read(caller)) {
    got += text.size();
    turn();
  }
  EXPECT_EQ(got, sent);
}

// -- Ends ----------------------------------------------------------------------------------------------

TEST_F(Sockets, TellTheGuestOfTheEndOfTheHostsStream) {
  const auto caller = connect_to_guest();
  write(caller, "last words");
  caller.shut(os::UnixStream::Half::kWrite);
  EXPECT_EQ(expect(Operation::kData).payload, "last words");
  EXPECT_EQ(expect(Operation::kShutdown).header.flags, kNoSend);
  send(Operation::kData, "still here");
  EXPECT_EQ(read(caller), "still here");
  send(Operation::kShutdown, {}, kNoReceive | kNoSend);
  expect(Operation::kReset);
  EXPECT_EQ(read(caller), "(end)");
}

TEST_F(Sockets, TellTheHostOfTheEndOfTheGuestsStream) {
  const auto caller = connect_to_guest();
  send(Operation::kData, "bye");
  send(Operation::kShutdown, {}, kNoSend);
  EXPECT_EQ(read(caller), "bye");
  EXPECT_EQ(read(caller), "(end)");
  write(caller, "one more");
  EXPECT_EQ(expect(Operation::kData).payload, "one more");
  send(Operation::kShutdown, {}, kNoReceive);
  expect(Operation::kReset);
}

TEST_F(Sockets, TellTheGuestWhenTheHostHasClosedAltogether) {
  {
    const auto caller = connect_to_guest();
    write(caller, "done");
  }
  EXPECT_EQ(expect(Operation::kData).payload, "done");
  EXPECT_EQ(expect(Operation::kShutdown).header.flags, kNoReceive | kNoSend);
  send(Operation::kData, "too late");
  send(Operation::kReset);
  expect_nothing();
  send(Operation::kData, "after the end");
  expect(Operation::kReset);
}

TEST_F(Sockets, DeliverAllOfTheGuestsDataBeforeTheEnd) {
  const auto caller = connect_to_guest();
  u64 sent = 0;
  while (sent + 60'000 <= 120'000) {
    send(Operation::kData, std::string(60'000, 'g'));
    sent += 60'000;
  }
  send(Operation::kShutdown, {}, kNoReceive | kNoSend);
  u64 got = 0;
  for (std::string text = read(caller); text != "(end)"; text = read(caller)) {
    if (text != "(nothing)") got += text.size();
    turn();
  }
  EXPECT_EQ(got, sent);
  std::optional<Packet> last = next();
  while (last && last->operation() == Operation::kCreditUpdate) last = next();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->operation(), Operation::kReset);
}

// -- Nonsense ------------------------------------------------------------------------------------------

TEST_F(Sockets, ResetConnectionsOfAGuestThatTalksNonsense) {
  const auto reset_by = [this](const std::function<void(Header&)>& spoil, const std::string& payload = "") {
    const auto caller = connect_to_guest();
    Header packet = header(Operation::kData, ports_);
    packet.length = static_cast<u32>(payload.size());
    spoil(packet);
    send_raw(packet, payload);
    expect(Operation::kReset);
    EXPECT_EQ(read(caller), "(end)");
  };
  reset_by([](Header& packet) { packet.operation = 99; });
  reset_by([](Header& packet) { packet.operation = 0; });
  reset_by([](Header& packet) { packet.operation = static_cast<u16>(Operation::kRequest); });
  reset_by([](Header& packet) { packet.operation = static_cast<u16>(Operation::kResponse); });
  reset_by([](Header& packet) { packet.length = 100; }, "less than that");
  reset_by([](Header& packet) { packet.length = ~0u; });
  reset_by([](Header& packet) { packet.type = 7; });
}

TEST_F(Sockets, AnswerPacketsForNoConnectionAndNoneFromOthers) {
  ports_ = {1, 2};
  send(Operation::kData, "x");
  expect(Operation::kReset);
  send(Operation::kReset);
  expect_nothing();
  Header elsewhere = header(Operation::kRequest, ports_);
  elsewhere.destination_cid = 77;
  send(elsewhere);
  turn();
  const auto reset = next();
  ASSERT_TRUE(reset);
  EXPECT_EQ(reset->header.source_cid, 77u);
  Header forged = header(Operation::kRequest, ports_);
  forged.source_cid = 4;
  send(forged);
  expect_nothing();
}

TEST_F(Sockets, NeedAResetAfterAPacketWithoutAHeader) {
  guest_.submit(kTransmit, {.out = {{guest_.place("short"), 5}}});
  turn();
  EXPECT_TRUE(guest_.needs_reset());
  guest_.reset();
  start();
  const auto caller = connect_to_guest();
}

TEST_F(Sockets, NeedAResetAfterABufferTooSmallForAPacket) {
  guest_.reset();
  start(kVersion1, 0);
  guest_.submit(kReceive, {.in = {{guest_.allocate(64), 44}}});
  const auto caller = call();
  EXPECT_TRUE(guest_.needs_reset());
  EXPECT_EQ(read(caller), "(end)");
}

// A guest that takes no packets is not given an endless line of answers.
TEST_F(Sockets, TakeNoMoreFromAGuestThatTakesNoAnswers) {
  guest_.reset();
  start(kVersion1, 0);
  ports_ = {1, 2};
  const std::string packet(reinterpret_cast<const char*>(std::data({header(Operation::kData, ports_)})),
                           sizeof(Header));
  const GuestPhys at = guest_.place(packet);
  int taken = 0;
  for (int i = 0; i < 200; ++i) guest_.submit(kTransmit, {.out = {{at, sizeof(Header)}}});
  turn();
  while (guest_.queue(kTransmit).take_used()) ++taken;
  EXPECT_EQ(taken, 128);
  for (int i = 0; i < 256; ++i) add_buffer();
  turn();
  while (guest_.queue(kTransmit).take_used()) ++taken;
  EXPECT_EQ(taken, 200);
  int answers = 0;
  while (guest_.queue(kReceive).take_used()) ++answers;
  EXPECT_EQ(answers, 200);
}

// -- Many, and resets ----------------------------------------------------------------------------------

TEST_F(Sockets, ServeManyConnectionsAtOnceEachItsOwn) {
  std::vector<os::UnixStream> callers;
  std::vector<Ports> names;
  for (int i = 0; i < 100; ++i) {
    callers.push_back(connect_to_guest());
    names.push_back(ports_);
  }
  for (size_t i = 0; i < callers.size(); ++i) write(callers[i], "to " + std::to_string(i));
  turn();
  std::map<u32, std::string> got;
  for (auto packet = next(); packet; packet = next()) {
    got[packet->header.source_port] += packet->payload;
    turn();
  }
  for (size_t i = 0; i < callers.size(); ++i) {
    EXPECT_EQ(got[names[i].host], "to " + std::to_string(i));
    ports_ = names[i];
    send(Operation::kData, "from " + std::to_string(i));
    EXPECT_EQ(read(callers[i]), "from " + std::to_string(i));
  }
}

TEST_F(Sockets, AreBoundedInNumber) {
  const auto listener = listen(80);
  std::vector<os::UnixStream> programs;
  for (u32 i = 0; i < Vsock::kMaxConnections; ++i) {
    ports_ = {i, 80};
    send(Operation::kRequest);
    expect(Operation::kResponse);
    programs.push_back(listener.accept().take());
  }
  ports_ = {5000, 80};
  send(Operation::kRequest);
  expect(Operation::kReset);
  EXPECT_THAT(read(call()), ::testing::AnyOf("(end)", "(error)"));
  ports_ = {0, 80};
  send(Operation::kReset);
  ports_ = {5000, 80};
  send(Operation::kRequest);
  expect(Operation::kResponse);
}

TEST_F(Sockets, CloseAtAResetOfTheGuest) {
  const auto caller = connect_to_guest();
  guest_.reset();
  turn();
  EXPECT_EQ(read(caller), "(end)");
  start();
  const auto other = connect_to_guest();
  write(other, "x");
  EXPECT_EQ(expect(Operation::kData).payload, "x");
}

TEST_F(Sockets, TellTheGuestThatItsTransportBeganAnew) {
  const auto caller = connect_to_guest();
  device_->disconnect_all();
  turn();
  EXPECT_EQ(read(caller), "(end)");
  EXPECT_FALSE(guest_.queue(kEvent).take_used());
  guest_.submit(kEvent, {.in = {{guest_.allocate(8), 8}}});
  turn();
  EXPECT_EQ(guest_.queue(kEvent).take_used()->written, 4u);
}

// The loop's thread works while the guest resets the device again and again.
TEST_F(Sockets, AreLeftAloneAfterAResetWhileTheLoopWorks) {
  std::thread worker([this] { loop_->run(); });
  for (int round = 0; round < 50; ++round) {
    guest_.reset();
    guest_.start(kVersion1);
    auto caller = os::UnixStream::connect(path_);
    ASSERT_TRUE(caller.ok());
    write(*caller, "CONNECT 52\n");
    guest_.submit(kReceive, {.in = {{guest_.allocate(kBuffer), kBuffer}}});
    guest_.wait_used(kReceive);
  }
  loop_->stop();
  worker.join();
}

// -- The socket file -----------------------------------------------------------------------------------

TEST_F(Sockets, RefuseAPathOnWhichSomebodyListens) {
  const auto second = Vsock::create(*loop_, {.path = path_});
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(second.failure().message, ::testing::HasSubstr(path_));
}

TEST(VsockPath, ReplacesALeftoverAndRefusesOtherFiles) {
  const Folder folder;
  const auto loop = os::EventLoop::create().take();
  const std::string kept = folder / "kept";
  {
    // A socket whose listener is gone without having removed it: moved away and back.
    auto listener = os::UnixListener::listen(folder / "old").take();
    fs::rename(folder / "old", kept);
  }
  ASSERT_TRUE(fs::exists(kept));
  EXPECT_TRUE(Vsock::create(*loop, {.path = kept}).ok());
  std::ofstream(folder / "file") << "precious";
  EXPECT_THAT(Vsock::create(*loop, {.path = folder / "file"}).failure().message,
              ::testing::HasSubstr("is no socket"));
  EXPECT_TRUE(fs::exists(folder / "file"));
  EXPECT_FALSE(Vsock::create(*loop, {.path = folder / std::string(200, 'x')}).ok());
  EXPECT_FALSE(Vsock::create(*loop, {.path = folder / "none/vsock"}).ok());
  EXPECT_FALSE(Vsock::create(*loop, {.path = folder / "v", .guest_cid = 2}).ok());
}

}  // namespace
}  // namespace cloister::device::virtio::vsock
