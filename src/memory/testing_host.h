// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <span>
#include <utility>

#include "base/lock.h"
#include "base/os/entropy.h"
#include "base/os/mem_file.h"
#include "memory/frame_source.h"
#include "memory/swap_file.h"
#include "memory/vault.h"

// What a daemon is to guest memory, for tests: a pool of frames, a vault with its books, a swap file.
namespace cloister::memory::testing {

// Grants frames up to a bound, and waits when there are none.
class Pool : public FrameSource {
 public:
  explicit Pool(Pages size) : free_(size) {}

  Pages take(Pages most) override {
    const MutexLock lock(mutex_);
    while (free_.raw == 0 && !closed_) {
      ++waits_;
      changed_.wait(mutex_);
    }
    return grant(most);
  }
  Pages try_take(Pages most) override {
    const MutexLock lock(mutex_);
    return grant(most);
  }
  void give_back(Pages frames) override {
    {
      const MutexLock lock(mutex_);
      free_ += frames;
    }
    changed_.notify_all();
  }
  // No frame will come any more.
  void close() {
    {
      const MutexLock lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }
  Pages free() const {
    const MutexLock lock(mutex_);
    return free_;
  }
  u64 waits() const {
    const MutexLock lock(mutex_);
    return waits_;
  }

 private:
  Pages grant(Pages most) REQUIRES(mutex_) {
    const Pages granted = closed_ ? Pages{0} : std::min(most, free_);
    free_ -= granted;
    return granted;
  }

  mutable Mutex mutex_{LockRank::kSwapSlots};
  Condition changed_;
  Pages free_ GUARDED_BY(mutex_);
  bool closed_ GUARDED_BY(mutex_) = false;
  u64 waits_ GUARDED_BY(mutex_) = 0;
};

// The daemon's side of a vault: it alone writes, and it counts references.
class VaultKeeper : public VaultBooks {
 public:
  explicit VaultKeeper(Pages capacity)
      : file_(os::MemFile::create("vault", bytes_of(capacity)).take()),
        mapping_(file_.map(os::Protection::kReadWrite).take()),
        vault_(Vault::map(file_.read_only().take(), capacity).take()) {}

  const Vault& vault() const { return vault_; }
  std::byte* frame(u32 slot) { return mapping_.data() + (u64{slot} << kPageShift); }
  u64 references(u32 slot) const {
    const MutexLock lock(mutex_);
    const auto found = references_.find(slot);
    return found == references_.end() ? 0 : found->second;
  }
  u64 all_references() const {
    const MutexLock lock(mutex_);
    u64 sum = 0;
    for (const auto& [slot, count] : references_) sum += count;
    return sum;
  }
  // One reference more, for an offer of this slot. The content may be changed while nobody has one.
  void add(u32 slot) {
    const MutexLock lock(mutex_);
    ++references_[slot];
  }
  void released(std::span<const u32> slots) override {
    const MutexLock lock(mutex_);
    for (const u32 slot : slots) {
      CHECK(references_[slot] > 0);
      --references_[slot];
    }
  }

 private:
  os::MemFile file_;
  os::Mapping mapping_;
  Vault vault_;
  mutable Mutex mutex_{LockRank::kSwapSlots};
  std::map<u32, u64> references_ GUARDED_BY(mutex_);
};

// The daemon of a busy vault: a frame that comes back is another content's at once.
class BusyVault final : public VaultKeeper {
 public:
  explicit BusyVault(Pages capacity) : VaultKeeper(capacity) {}
  void released(std::span<const u32> slots) override {
    VaultKeeper::released(slots);
    for (const u32 slot : slots) {
      if (references(slot) == 0) std::fill_n(frame(slot), kPageSize, std::byte{0xa5});
    }
  }
};

// CLOISTER_SEED when it is set, else a new one each time. Printed.
inline u64 chosen_seed() {
  u64 seed = 0;
  if (const char* given = std::getenv("CLOISTER_SEED"); given != nullptr) {
    seed = std::strtoull(given, nullptr, 0);
  } else {
    seed = os::random_number();
  }
  std::printf("CLOISTER_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

inline std::unique_ptr<SwapFile> make_swap(Pages size) {
  return SwapFile::create("/tmp", bytes_of(size)).take();
}

}  // namespace cloister::memory::testing
