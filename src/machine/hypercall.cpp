// SPDX-License-Identifier: Apache-2.0
#include "machine/hypercall.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/os/clock.h"

namespace cloister::machine {
namespace {

// Whoever asked for the condition within so long is taken to ask again: what is to be released is shared
// among them.
constexpr Nanos kLately{10'000'000'000};
constexpr std::size_t kMostAskers = 64;
constexpr u64 kRecordSize = sizeof(cloister_condition);

GuestReply refuse(u64 status) { return {status, {}, 0}; }

template <typename... Values>
GuestReply answer(Values... values) {
  return {CLOISTER_OK, {static_cast<u64>(values)...}, sizeof...(values)};
}

// Whether `bytes` from `address` on lie within the address space.
bool fits(u64 address, u64 bytes) { return bytes <= ~u64{0} - address; }

u64 status_of(memory::BalloonAnswer what) {
  switch (what) {
    case memory::BalloonAnswer::kTaken:
      return CLOISTER_OK;
    case memory::BalloonAnswer::kOther:
      return CLOISTER_NOT_VALUE;
    case memory::BalloonAnswer::kBusy:
      return CLOISTER_BUSY;
    case memory::BalloonAnswer::kNoMemory:
      break;
  }
  return CLOISTER_NOT_YOURS;
}

// The pages that a call names to give them up.
class Named {
 public:
  explicit Named(const GuestCall& call) : first_(call.arguments[0]), count_(call.arguments[1]) {}

  bool is_sound() const {
    return first_ % kPageSize == 0 && count_ != 0 && count_ <= CLOISTER_GIVE_MOST &&
           fits(first_, count_ * kPageSize);
  }
  GuestVirt first() const { return {first_}; }
  std::span<std::optional<Gpn>> pages() { return std::span(pages_).first(count_); }
  std::vector<Gpn> mapped() {
    std::vector<Gpn> mapped;
    for (const auto& page : pages()) {
      if (page) mapped.push_back(*page);
    }
    return mapped;
  }
  // `answers`: one for each that is mapped.
  GuestReply outcome(const std::vector<memory::BalloonAnswer>& answers) {
    GuestReply reply = answer(0, count_, CLOISTER_OK);
    auto next = answers.begin();
    for (u64 i = 0; i < count_; ++i) {
      const u64 status = pages_[i] ? status_of(*next++) : u64{CLOISTER_NOT_YOURS};
      if (status == CLOISTER_OK) ++reply.results[0];
      if (status != CLOISTER_OK && reply.results[1] == count_)
        reply.results[1] = i, reply.results[2] = status;
    }
    return reply;
  }

 private:
  const u64 first_, count_;
  std::array<std::optional<Gpn>, CLOISTER_GIVE_MOST> pages_;
};

}  // namespace

constexpr Hypercall::Entry Hypercall::kTable[] = {
    {CLOISTER_CALL_BALLOON_GIVE, CLOISTER_FEATURE_BALLOON, &Hypercall::balloon_give},
    {CLOISTER_CALL_CONDITION, CLOISTER_FEATURE_CONDITION, &Hypercall::condition},
    {CLOISTER_CALL_DISCOVER, 0, &Hypercall::discover},
    {CLOISTER_CALL_BALLOON_MARK, CLOISTER_FEATURE_BALLOON, &Hypercall::balloon_mark},
    {CLOISTER_CALL_CONDITION_PAGE, CLOISTER_FEATURE_CONDITION, &Hypercall::condition_page},
    {CLOISTER_CALL_WAIT, CLOISTER_FEATURE_WAIT, &Hypercall::wait},
    {CLOISTER_CALL_BALLOON_FILL, CLOISTER_FEATURE_FILL, &Hypercall::balloon_fill},
};

GuestReply Hypercall::call(const GuestCall& call, CallerMemory& caller) {
  for (const Entry& entry : kTable) {
    if (entry.function != call.function) continue;
    if ((entry.feature & ~features_.load()) != 0) return refuse(CLOISTER_OFF);
    return (this->*entry.handler)(call, caller);
  }
  return refuse(CLOISTER_NO_FUNCTION);
}

void Hypercall::offer_wait(bool offered) {
  if (offered) {
    features_.fetch_or(CLOISTER_FEATURE_WAIT);
  } else {
    features_.fetch_and(~u32{CLOISTER_FEATURE_WAIT});
  }
}

GuestReply Hypercall::discover(const GuestCall&, CallerMemory&) {
  return answer(CLOISTER_ABI_VERSION, features_.load());
}

GuestReply Hypercall::balloon_mark(const GuestCall&, CallerMemory&) {
  GuestReply reply = answer(0, 0, 0, 0);
  static_assert(sizeof reply.results == memory::kMarkBytes);
  std::memcpy(reply.results.data(), memory_.balloon_value().data(), memory::kMarkBytes);
  return reply;
}

// All pages are found first and taken together, with one shootdown. Between the two the guest may map other
// pages there: they are taken too if they hold the value, which changes nothing for whoever has them.
GuestReply Hypercall::balloon_give(const GuestCall& call, CallerMemory& caller) {
  Named named(call);
  if (!named.is_sound()) return refuse(CLOISTER_BAD_ARGUMENT);
  caller.pages_to_write(named.first(), named.pages());
  return named.outcome(memory_.take_balloon_pages(named.mapped()));
}

// What is written is written while the pages are the caller's: no other page is ever touched.
GuestReply Hypercall::balloon_fill(const GuestCall& call, CallerMemory& caller) {
  Named named(call);
  if (!named.is_sound()) return refuse(CLOISTER_BAD_ARGUMENT);
  std::vector<Gpn> begun;
  caller.pages_to_write(named.first(), named.pages(), [&] { begun = memory_.begin_filling(named.mapped()); });
  return named.outcome(memory_.end_filling(named.mapped(), std::move(begun)));
}

// The record may lie across the end of a page.
GuestReply Hypercall::condition(const GuestCall& call, CallerMemory& caller) {
  const u64 first = call.arguments[0];
  if (first % alignof(cloister_condition) != 0 || call.arguments[1] < kRecordSize ||
      !fits(first, kRecordSize))
    return refuse(CLOISTER_BAD_ARGUMENT);
  std::array<std::optional<Gpn>, 2> mapped;
  const u64 head = std::min(kRecordSize, kPageSize - (first & kPageMask));
  const auto pages = std::span(mapped).first(head < kRecordSize ? 2 : 1);
  caller.pages_to_write(GuestVirt{first & ~kPageMask}, pages);
  for (const auto& page : pages) {
    if (!page || !memory_.contains(page->address(), kPageSize)) return refuse(CLOISTER_NOT_YOURS);
  }
  memory_.condition().looked();
  cloister_condition record = memory_.condition().read();
  record.release = record.release / askers(call.space) & ~kPageMask;
  const auto bytes = std::as_bytes(std::span(&record, 1));
  const bool written = memory_.write(pages[0]->address() + (first & kPageMask), bytes.first(head)) &&
                       (head == kRecordSize || memory_.write(pages[1]->address(), bytes.subspan(head)));
  return written ? answer(kRecordSize) : refuse(CLOISTER_BUSY);
}

GuestReply Hypercall::condition_page(const GuestCall& call, CallerMemory& caller) {
  const u64 first = call.arguments[0];
  if (first % kPageSize != 0) return refuse(CLOISTER_BAD_ARGUMENT);
  std::optional<Gpn> page;
  caller.pages_to_write(GuestVirt{first}, std::span(&page, 1));
  if (!page || !memory_.contains(page->address(), kPageSize)) return refuse(CLOISTER_NOT_YOURS);
  memory_.condition().looked();
  return memory_.show_condition(*page) ? answer() : refuse(CLOISTER_BUSY);
}

GuestReply Hypercall::wait(const GuestCall&, CallerMemory&) {
  constexpr u64 kHostCid = 2;
  return answer(kHostCid, CLOISTER_PORT_CONDITION);
}

// How many programs ask for the condition these days, with this one.
u64 Hypercall::askers(u64 space) {
  const Nanos now = os::monotonic_now();
  MutexLock lock(mutex_);
  std::erase_if(asked_, [&](const auto& one) { return now - one.second > kLately; });
  if (asked_.size() < kMostAskers || asked_.contains(space)) asked_[space] = now;
  return asked_.size();
}

}  // namespace cloister::machine
