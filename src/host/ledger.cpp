// SPDX-License-Identifier: Apache-2.0
#include "host/ledger.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace cloister::host {

Ledger::Account& Ledger::at(AccountId id) {
  const auto found = accounts_.find(id);
  CHECK(found != accounts_.end());
  return found->second;
}

const Ledger::Account& Ledger::account(AccountId id) const { return const_cast<Ledger*>(this)->at(id); }

void Ledger::add_free(Pages pages) {
  const Pages paid = std::min(pages, debt_);
  debt_ -= paid;
  free_ += pages - paid;
}

void Ledger::remove_free(Pages pages) {
  const Pages there = std::min(pages, free_);
  free_ -= there;
  debt_ += pages - there;
}

Ledger::AccountId Ledger::open(Pages held) {
  const AccountId id = next_++;
  accounts_[id].held = held;
  held_ += held;
  remove_free(held);
  check_invariants();
  return id;
}

void Ledger::close(AccountId id) {
  const Account account = at(id);
  accounts_.erase(id);
  held_ -= account.held;
  overhead_ -= account.overhead;
  add_free(account.held + account.overhead);
  check_invariants();
}

Pages Ledger::take(AccountId id, Pages wanted) {
  const Pages granted = std::min(wanted, free_);
  at(id).held += granted;
  held_ += granted;
  free_ -= granted;
  return granted;
}

bool Ledger::give_back(AccountId id, Pages pages) {
  Account& account = at(id);
  if (pages > account.held) return false;
  account.held -= pages;
  held_ -= pages;
  add_free(pages);
  return true;
}

void Ledger::measure(AccountId id, Pages overhead) {
  Account& account = at(id);
  overhead_ = overhead_ - account.overhead + overhead;
  if (overhead > account.overhead) {
    remove_free(overhead - account.overhead);
  } else {
    add_free(account.overhead - overhead);
  }
  account.overhead = overhead;
}

void Ledger::resize(Pages pool) {
  const Pages before = std::exchange(pool_, pool);
  if (pool > before) {
    add_free(pool - before);
  } else {
    remove_free(before - pool);
  }
  check_invariants();
}

void Ledger::check_invariants() const {
  Pages held, overhead;
  for (const auto& [id, account] : accounts_) {
    held += account.held;
    overhead += account.overhead;
  }
  CHECK(held == held_ && overhead == overhead_);
  CHECK(free_ + held + overhead == pool_ + debt_);
  CHECK(free_ == Pages{} || debt_ == Pages{});
}

}  // namespace cloister::host
