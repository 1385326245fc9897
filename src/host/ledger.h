// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>

#include "base/result.h"
#include "base/units.h"

namespace cloister::host {

// The pool of host memory and who holds how much of it: only the books. Who should have more or less is the
// governor's matter (host/governor.h).
//
//   Invariant: free + held of all accounts + overhead of all accounts = pool + debt, and debt or free is 0.
//
// A debt comes from what was taken without asking: a cell's own overhead grew, or the pool was made smaller.
// Whatever comes back pays it before it is free again. Not thread safe.
class Ledger {
 public:
  using AccountId = u32;

  struct Account {
    Pages held;      // the allowance of a cell's guest
    Pages overhead;  // what the cell itself takes, as measured
  };

  explicit Ledger(Pages pool) : pool_(pool), free_(pool) {}

  // `held`: what a cell that outlived the daemon has already. Never refused: it is a fact.
  AccountId open(Pages held = {});
  // All that it held is free again, and its overhead.
  void close(AccountId id);

  // Moves up to `wanted` free frames to the account; returns how many.
  Pages take(AccountId id, Pages wanted);
  // Returns false, with nothing done, when the account does not hold that many.
  [[nodiscard]] bool give_back(AccountId id, Pages pages);
  // The overhead is so much now.
  void measure(AccountId id, Pages overhead);
  // A pool smaller than what is taken leaves a debt.
  void resize(Pages pool);

  Pages pool() const { return pool_; }
  Pages free() const { return free_; }
  Pages debt() const { return debt_; }
  Pages held() const { return held_; }          // of all accounts
  Pages overhead() const { return overhead_; }  // of all accounts
  // What there is for guests in all: the pool without the overhead.
  Pages for_guests() const { return pool_ > overhead_ ? pool_ - overhead_ : Pages{}; }
  bool has(AccountId id) const { return accounts_.contains(id); }
  const Account& account(AccountId id) const;

  // CHECKs the invariant against the accounts one by one.
  void check_invariants() const;

 private:
  Account& at(AccountId id);
  void add_free(Pages pages);
  void remove_free(Pages pages);

  Pages pool_;
  Pages free_;
  Pages debt_;
  Pages held_;
  Pages overhead_;
  std::map<AccountId, Account> accounts_;
  AccountId next_ = 1;
};

}  // namespace cloister::host
