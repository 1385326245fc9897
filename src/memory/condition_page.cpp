// SPDX-License-Identifier: Apache-2.0
// A sequence lock whose readers are outside
//
// The guest's programs read the record with plain loads, on harts that may be anywhere between two of our
// stores. So the sequence is made odd before the first store and even after the last, each store is an atomic
// word, and the order is what readers on the other side rely on: x86 keeps stores in order for them, the
// fences keep the compiler and the thread sanitizer to it.
#include "memory/condition_page.h"

#include <array>
#include <atomic>
#include <bit>

namespace cloister::memory {
namespace {

constexpr std::size_t kWords = sizeof(cloister_condition) / sizeof(u64);
using Words = std::array<u64, kWords>;
static_assert(sizeof(Words) == sizeof(cloister_condition) && offsetof(cloister_condition, sequence) == 0);

std::atomic_ref<u64> word(std::byte* page, std::size_t index) {
  return std::atomic_ref<u64>(reinterpret_cast<u64*>(page)[index]);
}

}  // namespace

Result<ConditionPage> ConditionPage::create() {
  return ConditionPage(TRY(os::Mapping::anonymous({kPageSize}, os::Protection::kReadWrite)));
}

void ConditionPage::write(const cloister_condition& record) {
  const auto words = std::bit_cast<Words>(record);
  const u64 before = word(page(), 0).load(std::memory_order_relaxed);
  word(page(), 0).store(before + 1, std::memory_order_relaxed);
  for (std::size_t i = 1; i < kWords; ++i) word(page(), i).store(words[i], std::memory_order_release);
  word(page(), 0).store(before + 2, std::memory_order_release);
}

cloister_condition ConditionPage::read() const {
  for (;;) {
    Words words;
    words[0] = word(page(), 0).load(std::memory_order_acquire);
    for (std::size_t i = 1; i < kWords; ++i) words[i] = word(page(), i).load(std::memory_order_acquire);
    if (words[0] % 2 == 0 && word(page(), 0).load(std::memory_order_relaxed) == words[0])
      return std::bit_cast<cloister_condition>(words);
    __builtin_ia32_pause();
  }
}

}  // namespace cloister::memory
