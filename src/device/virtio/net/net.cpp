// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/net/net.h"

#include <algorithm>
#include <utility>

#include "device/virtio/net/checksum.h"

namespace cloister::device::virtio::net {
namespace {

// virtio 1.2, 5.1.3: feature bits.
constexpr u64 kChecksum = u64{1} << 0;
constexpr u64 kGuestChecksum = u64{1} << 1;
constexpr u64 kMtu = u64{1} << 3;
constexpr u64 kMac = u64{1} << 5;
constexpr u64 kMergedBuffers = u64{1} << 15;
constexpr u64 kStatus = u64{1} << 16;

// virtio 1.2, 5.1.4: the configuration space.
struct Config {
  MacAddress mac;
  u16 status;
  u16 max_queue_pairs;
  u16 mtu;
};
static_assert(sizeof(Config) == 12);
constexpr u16 kLinkUp = 1;

// virtio 1.2, 5.1.6: what stands before each frame.
struct Header {
  u8 flags;
  u8 segmentation;
  u16 header_length;
  u16 segment_size;
  u16 checksum_start;
  u16 checksum_offset;
  u16 buffers;
};
constexpr u8 kNeedsChecksum = 1;
constexpr u8 kDataValid = 2;

// Writes on, from the first chain that has room left.
bool write_across(std::span<Chain> chains, std::span<const std::byte> bytes) {
  for (Chain& chain : chains) {
    const size_t part = std::min<size_t>(bytes.size(), chain.writable());
    if (!chain.write(bytes.first(part))) return false;
    bytes = bytes.subspan(part);
  }
  return bytes.empty();
}

}  // namespace

Net::Net(os::EventLoop& loop, NetBackend& backend, const NetOptions& options)
    : loop_(loop), backend_(backend), options_(options) {
  static_assert(sizeof(Header) == kHeaderSize);
  backend_.connect(*this);
}

u64 Net::features() const { return kChecksum | kGuestChecksum | kMtu | kMac | kMergedBuffers | kStatus; }

void Net::read_config(u32 offset, std::span<std::byte> to) {
  copy_config(Config{options_.mac, kLinkUp, 1, options_.mtu}, offset, to);
}

void Net::activate(Port& port, u64 negotiated) {
  MutexLock lock(mutex_);
  port_ = &port;
  negotiated_ = negotiated;
  buffers_watched_ = true;
}

void Net::notify(u32 queue_index) {
  const bool sends = queue_index == kTransmit;
  auto& posted = sends ? transmit_posted_ : refill_posted_;
  if (posted.exchange(true)) return;
  loop_.post([this, sends] { sends ? transmit() : refill(); });
}

// A frame that the backend keeps for a guest that is gone is its to offer again.
void Net::reset() {
  MutexLock lock(mutex_);
  port_ = nullptr;
  stock_.clear();
  stock_bytes_ = 0;
}

// The driver broke a rule of the device.
void Net::fail(std::string_view why) {
  port_->fail(why);
  port_ = nullptr;
  stock_.clear();
  stock_bytes_ = 0;
}

// -- From the guest ------------------------------------------------------------------------------------

void Net::transmit() {
  transmit_posted_ = false;
  {
    MutexLock lock(mutex_);
    if (port_ != nullptr) port_->queue(kTransmit).enable_notification(false);
  }
  Taken taken = Taken::kFrame;
  for (int left = kBatch; left > 0 && taken != Taken::kNone; --left) {
    taken = take_frame();
    if (taken == Taken::kFrame) backend_.send(frame_);
  }
  {
    MutexLock lock(mutex_);
    if (port_ != nullptr) port_->signal_used(kTransmit);
  }
  backend_.send_done();
  if (taken != Taken::kNone) notify(kTransmit);
}

// The next frame, into frame_. With none left, the guest is asked to tell of the next one.
Net::Taken Net::take_frame() {
  MutexLock lock(mutex_);
  if (port_ == nullptr) return Taken::kNone;
  Queue& queue = port_->queue(kTransmit);
  auto chain = queue.pop();
  if (!chain) {
    queue.enable_notification(true);
    chain = queue.pop();
    if (!chain) return Taken::kNone;
    queue.enable_notification(false);
  }
  const bool whole = read_frame(*chain);
  if (port_ == nullptr) return Taken::kNone;
  queue.push(*chain);
  return whole ? Taken::kFrame : Taken::kDropped;
}

// False for what no card would send: too short, too long, cut in segments that were not agreed on.
bool Net::read_frame(Chain& chain) {
  Header header{};
  if (!chain.read(std::as_writable_bytes(std::span(&header, 1)))) {
    fail("a frame to send has no header");
    return false;
  }
  const u32 size = chain.readable();
  if (size < kMinFrame || size > max_frame() || header.segmentation != 0) return false;
  frame_.resize(size);
  if (!chain.read(frame_)) return false;
  if ((header.flags & kNeedsChecksum) == 0) return true;
  return (negotiated_ & kChecksum) != 0 &&
         complete_checksum(frame_, header.checksum_start, header.checksum_offset);
}

// -- To the guest --------------------------------------------------------------------------------------

void Net::refill() {
  refill_posted_ = false;
  {
    MutexLock lock(mutex_);
    if (port_ == nullptr || !std::exchange(refused_, false)) return;
  }
  backend_.room();
}

// With no driver there, frames go nowhere, as with a cable that is not plugged in.
bool Net::receive(std::span<const std::byte> frame) {
  MutexLock lock(mutex_);
  if (port_ == nullptr || frame.size() > max_frame()) return true;
  const Gathered gathered = gather(kHeaderSize + frame.size());
  if (gathered == Gathered::kEnough) deliver(frame);
  refused_ = gathered == Gathered::kTooFew;
  return !refused_;
}

void Net::receive_done() {
  MutexLock lock(mutex_);
  if (port_ != nullptr) port_->signal_used(kReceive);
}

// Sees that the stock holds `bytes`; without merged buffers, that its first buffer does.
Net::Gathered Net::gather(u64 bytes) {
  const bool merged = (negotiated_ & kMergedBuffers) != 0;
  while (stock_bytes_ < bytes && (merged || stock_.empty())) {
    const bool all_out = stock_.size() >= port_->queue(kReceive).size();
    if (all_out) return Gathered::kNever;
    if (!pop_buffer()) return port_ == nullptr ? Gathered::kNever : Gathered::kTooFew;
  }
  return stock_bytes_ >= bytes ? Gathered::kEnough : Gathered::kNever;
}

// Moves a buffer to the stock. False when there is none: then the guest is asked to tell of the next one.
bool Net::pop_buffer() {
  Queue& queue = port_->queue(kReceive);
  auto chain = queue.pop();
  if (!chain) {
    buffers_watched_ = true;
    queue.enable_notification(true);
    chain = queue.pop();
    if (!chain) return false;
  }
  if (std::exchange(buffers_watched_, false)) queue.enable_notification(false);
  if (chain->writable() < kHeaderSize) {
    fail("a receive buffer is too small for a header");
    return false;
  }
  stock_bytes_ += chain->writable();
  stock_.push_back(std::move(*chain));
  return true;
}

// Precondition: gather() found enough for the header and the frame.
void Net::deliver(std::span<const std::byte> frame) {
  Header header{};
  if ((negotiated_ & kGuestChecksum) != 0) header.flags = kDataValid;
  size_t count = 0;
  for (u64 room = 0; room < kHeaderSize + frame.size(); ++count) room += stock_[count].writable();
  header.buffers = static_cast<u16>(count);
  const std::span<Chain> used(stock_.data(), count);
  for (Chain& chain : used) stock_bytes_ -= chain.writable();
  if (!write_across(used, std::as_bytes(std::span(&header, 1))) || !write_across(used, frame)) {
    return fail("a receive buffer cannot be written");
  }
  port_->queue(kReceive).push_all(used);
  stock_.erase(stock_.begin(), stock_.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace cloister::device::virtio::net
