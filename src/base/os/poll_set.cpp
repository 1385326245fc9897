// SPDX-License-Identifier: Apache-2.0
#include "base/os/poll_set.h"

#include <sys/epoll.h>

#include <array>
#include <cerrno>

#include "base/os/os_error.h"

namespace cloister::os {
namespace {

// Also how many are reported at a time; the rest comes with the next look, as the set is level triggered.
constexpr int kBatch = 64;

struct Pair {
  u32 ours;
  u32 epoll;
};
constexpr std::array<Pair, 5> kEvents = {{{PollSet::kIn, EPOLLIN},
                                          {PollSet::kOut, EPOLLOUT},
                                          {PollSet::kUrgent, EPOLLPRI},
                                          {PollSet::kError, EPOLLERR},
                                          {PollSet::kHangup, EPOLLHUP}}};

u32 to_epoll(u32 events) {
  u32 result = 0;
  for (const Pair& pair : kEvents) result |= (events & pair.ours) != 0 ? pair.epoll : 0;
  return result;
}

u32 from_epoll(u32 events) {
  u32 result = 0;
  for (const Pair& pair : kEvents) result |= (events & pair.epoll) != 0 ? pair.ours : 0;
  return result;
}

}  // namespace

Result<PollSet> PollSet::create() {
  Fd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll.valid()) return os_error("cannot make a set of descriptors to wait on");
  return PollSet(std::move(epoll));
}

void PollSet::begin() {
  for (auto& [fd, member] : members_) member.wanted = 0;
}

void PollSet::want(int fd, u32 events) { members_[fd].wanted |= events; }

void PollSet::commit() {
  for (auto entry = members_.begin(); entry != members_.end();) {
    auto& [fd, member] = *entry;
    if (member.wanted != member.watched) update(fd, member);
    entry = member.wanted == 0 ? members_.erase(entry) : std::next(entry);
  }
}

// A descriptor that was closed behind our back is gone from the kernel's set too, so a failed change is tried
// as an addition; one that cannot be watched at all is left out.
void PollSet::update(int fd, Member& member) {
  epoll_event event{};
  event.events = to_epoll(member.wanted);
  event.data.fd = fd;
  if (member.wanted == 0) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  } else if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0 && errno == EEXIST) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  }
  member.watched = member.wanted;
}

void PollSet::forget(int fd) {
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
  members_.erase(fd);
}

void PollSet::look() {
  for (const int fd : ready_) {
    const auto member = members_.find(fd);
    if (member != members_.end()) member->second.ready = 0;
  }
  ready_.clear();
  std::array<epoll_event, kBatch> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), kBatch, 0);
  for (int i = 0; i < count; ++i) {
    const auto& event = events[static_cast<size_t>(i)];
    const auto member = members_.find(event.data.fd);
    if (member == members_.end()) continue;
    member->second.ready = from_epoll(event.events);
    ready_.push_back(event.data.fd);
  }
}

u32 PollSet::events(int fd) const {
  const auto member = members_.find(fd);
  return member == members_.end() ? 0 : member->second.ready;
}

}  // namespace cloister::os
