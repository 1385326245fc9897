// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <memory>

#include "hart/testing_guest.h"
#include "jit/translator.h"

namespace cloister::jit::testing {

// A bare hart with page tables, whichever engine it has.
struct Side {
  explicit Side(hart::HartOptions options) : guest(options) {}
  hart::testing::TestGuest guest;
  hart::testing::TestTables tables{guest, isa::kSv39};
};

// Two of them, translated and interpreted, to whom the same is done.
struct TwoEngines : ::testing::Test {
  explicit TwoEngines(u32 very_hot, Bytes blocks = Bytes{16 * kMiB})
      : translator(Translator::create({.code_cache = Bytes{kMiB}, .hot = 2, .very_hot = very_hot}).take()),
        translated(hart::HartOptions{.code_cache = blocks, .translator = translator.get()}) {}

  template <typename Do>
  void each(Do act) {
    act(translated);
    act(interpreted);
  }

  const std::unique_ptr<Translator> translator;
  Side translated;
  Side interpreted{hart::HartOptions{}};
};

}  // namespace cloister::jit::testing
