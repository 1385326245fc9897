// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unordered_map>
#include <vector>

#include "base/os/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::os {

// Descriptors that a library wants watched, behind one descriptor that an EventLoop watches: readable when
// any of them is ready. The library's whole set is told anew before each wait, and only what differs from the
// last one reaches the kernel. One thread.
class PollSet {
 public:
  enum Event : u32 { kIn = 1, kOut = 2, kUrgent = 4, kError = 8, kHangup = 16 };

  static Result<PollSet> create();

  // Readable when a descriptor of the set is ready.
  const Fd& fd() const { return epoll_; }

  // The new set: begin(), want() for each member, commit(). kError and kHangup come unasked.
  void begin();
  void want(int fd, u32 events);
  void commit();
  // `fd` is about to be closed, or is a new one that happens to have an old one's number.
  void forget(int fd);

  // Asks the kernel, without waiting, who is ready; events() then answers for each, 0 for the others.
  void look();
  u32 events(int fd) const;

 private:
  explicit PollSet(Fd epoll) : epoll_(std::move(epoll)) {}

  struct Member {
    u32 wanted = 0;   // in the set being told
    u32 watched = 0;  // as the kernel knows it; 0: not at all
    u32 ready = 0;
  };
  void update(int fd, Member& member);

  Fd epoll_;
  std::unordered_map<int, Member> members_;
  std::vector<int> ready_;
};

}  // namespace cloister::os
