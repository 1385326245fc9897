// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <optional>
#include <unordered_map>

#include "memory/guest_memory.h"

// What tests of guest memory run against it: harts that trust their translations as long as they may, and
// content that tells where it belongs.
namespace cloister::memory::testing {

inline constexpr GuestPhys kBase{0x8000'0000};
inline constexpr u64 kWordsPerPage = kPageSize / 8;

inline Gpn nth(u64 n) { return {kBase.page() + n}; }
inline GuestPhys word_at(u64 page, u64 index) { return nth(page).address() + index * 8; }

// Content: where it belongs and a number that grows. 0 is the value of a zero page.
inline u64 stamp(u64 page, u64 index, u64 number) { return (number << 24) | (page << 12) | (index + 1); }
inline bool is_stamp_of(u64 value, u64 page, u64 index) {
  return value == 0 || (value & 0xff'ffff) == stamp(page, index, 0);
}

// A hart with a private cache of frames, which it trusts until it is told to forget.
class CachingHart : public TlbHolder {
 public:
  explicit CachingHart(GuestMemory& memory) : memory_(memory), id_(memory.attach(*this)) {}
  ~CachingHart() override { memory_.detach(id_); }
  void ask_for_safe_point() override { asked_.store(true, std::memory_order_release); }
  void forget(const PageSet& pages) override {
    std::erase_if(frames_, [&](const auto& entry) { return pages.contains({entry.first}); });
  }

  void enter() { memory_.enter(id_); }
  void leave() { memory_.leave(id_); }
  void instruction_boundary() {
    if (asked_.load(std::memory_order_relaxed) && asked_.exchange(false)) memory_.safe_point(id_);
  }
  bool can_reach(Gpn page) { return memory_.frame(id_, page, Access::kRead).has_value(); }
  bool clear(Gpn page) { return memory_.clear_without_frame(id_, page); }
  u64 load(GuestPhys address) { return word(address, Access::kRead).load(); }
  void store(GuestPhys address, u64 value) { word(address, Access::kWrite).store(value); }
  u64 add(GuestPhys address, u64 amount) { return word(address, Access::kWrite).fetch_add(amount); }

 private:
  std::atomic_ref<u64> word(GuestPhys address, Access access) {
    const auto found = frames_.find(address.page());
    std::optional<Frame> frame;
    if (found != frames_.end()) frame = found->second;
    if (!frame || (access == Access::kWrite && !frame->writable)) {
      frame = memory_.frame(id_, gpn_of(address), access);
      frames_[address.page()] = *frame;
    }
    return std::atomic_ref<u64>(*reinterpret_cast<u64*>(frame->host + address.page_offset()));
  }

  GuestMemory& memory_;
  const GuestMemory::HolderId id_;
  std::atomic<bool> asked_{false};
  std::unordered_map<u64, Frame> frames_;
};

}  // namespace cloister::memory::testing
