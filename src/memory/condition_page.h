// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>
#include <memory>
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

  // Who writes it seldom may ask to be told when the guest's programs look after all. `call`, once, before
  // they run, and none again when they have ended; it is called once for each await_look(), on any thread.
  void set_on_look(std::function<void()> call) {
    watch_->awaited = false;
    watch_->call = std::move(call);
  }
  void await_look() { watch_->awaited = true; }
  void looked() {
    if (watch_->awaited.load(std::memory_order_relaxed) && watch_->awaited.exchange(false)) watch_->call();
  }

 private:
  struct Watch {
    std::function<void()> call;
    std::atomic<bool> awaited{false};
  };
  explicit ConditionPage(os::Mapping mapping)
      : mapping_(std::move(mapping)), watch_(std::make_unique<Watch>()) {}
  os::Mapping mapping_;
  std::unique_ptr<Watch> watch_;
};

}  // namespace cloister::memory
