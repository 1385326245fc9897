// SPDX-License-Identifier: Apache-2.0
#include "machine/digest.h"

#include <xxhash.h>

#include "base/check.h"

namespace cloister::machine {

u64 digest(memory::GuestMemory& memory) {
  XXH3_state_t* const hash = XXH3_createState();
  CHECK(hash != nullptr);
  XXH3_64bits_reset(hash);
  const bool whole = memory.with_pinned(memory.base(), memory.size(), memory::Access::kRead, [&](auto run) {
    XXH3_64bits_update(hash, run.data(), run.size());
    return true;
  });
  CHECK(whole);
  const u64 result = XXH3_64bits_digest(hash);
  XXH3_freeState(hash);
  return result;
}

}  // namespace cloister::machine
