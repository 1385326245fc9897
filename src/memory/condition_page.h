// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <utility>

#include "base/guest_abi.h"
#include "base/os/mapping.h"
#include "base/result.h"

namespace cloister::memory {

// One host page with the VM's condition at its head, which the guest reads in place while the host writes it:
// its first word is a sequence, odd while the record is being written. The rest of the page is zero.
class ConditionPage {
 public:
  static Result<ConditionPage> create();

  std::byte* page() const { return mapping_.data(); }

  // All but the sequence, which is this page's own. One thread at a time.
  void write(const cloister_condition& record);
  // As it was at one moment. Any thread; waits for a write that is under way, which is some stores.
  cloister_condition read() const;

 private:
  explicit ConditionPage(os::Mapping mapping) : mapping_(std::move(mapping)) {}
  os::Mapping mapping_;
};

}  // namespace cloister::memory
