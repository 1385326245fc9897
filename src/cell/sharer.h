// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "base/lock.h"
#include "base/os/fd.h"
#include "base/random.h"
#include "cell/control.h"
#include "cell/housekeeper.h"
#include "memory/guest_memory.h"
#include "memory/vault.h"

namespace cloister::cell {

// The cell's part in sharing (host/sharing.h): hashes pages, shows one, and makes pages the vault's frames.
// The work is the housekeeper's, the calls come from the event loop's thread.
class Sharer final : private memory::VaultBooks {
 public:
  // `tell` sends to the daemon, from any thread. All outlive it.
  Sharer(memory::GuestMemory& memory, Housekeeper& housekeeper,
         std::function<void(const control::Message&)> tell);

  // The vault of this cell's group. Another, after the daemon's restart, is not taken: pages may still be in
  // the first.
  void use(os::Fd file, Pages frames);
  bool has_vault() const { return vault_.has_value(); }
  void hash(const control::HashPages& order);
  void read(const control::ReadPage& order);
  void share(const control::Share& order);

 private:
  void released(std::span<const u32> frames) override;
  void hash_now(control::Hashes& told, u64 count);
  void work(std::function<void()> job);
  Gpn page_at(u64 index) const;

  memory::GuestMemory& memory_;
  Housekeeper& housekeeper_;
  const std::function<void(const control::Message&)> tell_;
  std::optional<memory::Vault> vault_;
  // The housekeeper's.
  Random random_;
  Nanos spent_;  // of a CPU, since the daemon was told
};

}  // namespace cloister::cell
