// SPDX-License-Identifier: Apache-2.0
#include "device/virtio/ninep/ninep.h"

#include <algorithm>
#include <utility>

namespace cloister::device::virtio::ninep {
namespace {

// A share of the process's descriptors: each fid takes at most two, and other devices need some as well.
u32 affordable_fids() {
  return static_cast<u32>(std::clamp<u64>(os::raise_descriptor_limit() / 8, 64, 8192));
}

}  // namespace

Result<std::unique_ptr<NineP>> NineP::create(const ShareOptions& options) {
  if (options.tag.empty() || options.tag.size() > 255) {
    return error("the tag '{}' of the shared folder '{}' has {} bytes; choose one of 1 to 255", options.tag,
                 options.path, options.tag.size());
  }
  Folder folder = TRY(Folder::open(options.path, options.writing));
  std::unique_ptr<NineP> device(new NineP(options.tag, std::move(folder), affordable_fids()));
  device->worker_ = TRY(os::Thread::start("share", [self = device.get()] { self->work(); }));
  return device;
}

NineP::NineP(std::string tag, Folder folder, u32 max_fids)
    : tag_(std::move(tag)), server_(std::move(folder), max_fids) {}

NineP::~NineP() {
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    port_ = nullptr;
  }
  wake_.notify_all();
  worker_.join();
}

// virtio 1.2, 5.16: tag_len[2] tag[tag_len].
void NineP::read_config(u32 offset, std::span<std::byte> to) {
  for (std::byte& byte : to) {
    const u64 at = offset++;
    if (at < 2) byte = static_cast<std::byte>(tag_.size() >> (8 * at));
    if (at >= 2 && at - 2 < tag_.size()) byte = static_cast<std::byte>(tag_[at - 2]);
  }
}

void NineP::activate(Port& port, u64) {
  MutexLock lock(mutex_);
  port_ = &port;
}

void NineP::notify(u32) {
  {
    MutexLock lock(mutex_);
    notified_ = true;
  }
  wake_.notify_one();
}

void NineP::reset() {
  {
    MutexLock lock(mutex_);
    port_ = nullptr;
    notified_ = false;
    ++session_;
  }
  wake_.notify_one();
}

void NineP::work() {
  MutexLock lock(mutex_);
  for (;;) {
    wait_for_work();
    if (stopping_) return;
    if (std::exchange(served_session_, session_) != session_) server_.reset();
    notified_ = false;
    if (port_ != nullptr) serve();
  }
}

void NineP::wait_for_work() {
  while (!stopping_ && !(notified_ && port_ != nullptr) && served_session_ == session_) wake_.wait(mutex_);
}

// Until the queue is empty, or the device was reset while the lock was let go.
void NineP::serve() {
  const u64 session = session_;
  do {
    port_->queue(0).enable_notification(false);
    for (auto chain = port_->queue(0).pop(); chain; chain = port_->queue(0).pop()) {
      answer(*chain);
      if (session != session_ || port_ == nullptr) return;
    }
    port_->queue(0).enable_notification(true);
  } while (!port_->queue(0).empty());
}

bool NineP::take_request(Chain& chain) {
  if (chain.readable() < kHeaderSize || chain.readable() > kMaxMessage) return false;
  request_.resize(chain.readable());
  return chain.read(request_);
}

void NineP::answer(Chain& chain) {
  if (!take_request(chain)) return fail("a 9p request without a header, or longer than any may be");
  const u64 session = session_;
  mutex_.unlock();
  server_.answer(request_, chain.writable(), reply_);
  mutex_.lock();
  if (session != session_ || port_ == nullptr) return;
  if (reply_.empty() || !chain.write(reply_)) return fail("a 9p request with no room for an answer");
  port_->queue(0).push(chain);
  port_->signal_used(0);
}

void NineP::fail(std::string_view why) {
  port_->fail(why);
  port_ = nullptr;
}

}  // namespace cloister::device::virtio::ninep
