// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <string>
#include <unordered_map>

#include "base/random.h"
#include "cell/control.h"
#include "host/cell.h"
#include "host/governor.h"
#include "host/vault.h"

namespace cloister::host {

// Finds pages that are the same, and makes them one frame. (essay in sharing.cpp) On the event loop's thread.
class Sharing {
 public:
  // Settings, events and governor outlive it.
  Sharing(const Settings& settings, Events& events, Governor& governor);
  ~Sharing();

  // A cell has registered: it gets its group's vault. Once for each process.
  void join(Cell& cell);
  void leave(const Cell& cell);
  // The channel is gone: answers that are awaited will not come.
  void lost(const Cell& cell);
  // Hashes, Content and Unshared.
  void said(Cell& cell, const cell::control::Message& message);
  // Asks for the next hashes, as many as the budget allows since the last call.
  void tick(Nanos now);

  Pages frames() const;    // of all vaults
  u64 references() const;  // to them
  void check_invariants() const;

 private:
  // A page of which only the hash is known, as it was.
  struct Hint {
    Vault::HolderId holder = 0;
    u64 page = 0;
  };
  struct Group {
    std::string name;
    std::unique_ptr<Vault> vault;
    std::unordered_map<u64, Hint> hints;  // by hash. Bound: kMostHints
    std::size_t members = 0;
  };
  // Two pages that seem the same: the first one's content is awaited.
  struct Match {
    u64 hash = 0;
    Hint first, second;
  };
  struct Member {
    Cell* cell = nullptr;
    Group* group = nullptr;
    Vault::HolderId holder = 0;
    bool asked = false;            // hashes are awaited
    Nanos told_at;                 // when they came last
    std::map<u64, Match> reading;  // by order
    cell::control::Share offers;   // not told yet
  };

  void on_hashes(Member& member, const cell::control::Hashes& hashes);
  void on_hash(Member& member, cell::control::PageHash page);
  void on_content(Member& member, const cell::control::Content& content);
  void on_unshared(Member& member, const cell::control::Unshared& unshared);
  void offer(Group& group, const Hint& to, u32 frame);
  void tell_offers(Member& member);
  Member* find(Vault::HolderId holder);
  Group& group_of(const Cell& cell);

  static constexpr std::size_t kMostHints = 1 << 20;  // of a group
  static constexpr std::size_t kMostReading = 64;     // pages of one cell that are awaited

  const Settings& settings_;
  Events& events_;
  Governor& governor_;
  std::map<std::string, Group> groups_;
  std::map<const Cell*, Member> members_;
  Vault::HolderId next_holder_ = 1;
  u64 next_order_ = 1;
  Nanos last_tick_;
  i64 budget_ = 0;  // nanoseconds of a CPU. Below 0: spent ahead
  Random random_;
};

}  // namespace cloister::host
