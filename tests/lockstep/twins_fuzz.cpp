// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lockstep/twins.h"

// The input chooses how a program of random loops, calls or snippets is disturbed, and then which: so the
// shortest inputs, which come first, choose both. Translator and interpreter must agree.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cloister;
  std::uint8_t bytes[10] = {};
  std::memcpy(bytes, data, std::min(size, sizeof(bytes)));
  u64 seed = 0;
  std::memcpy(&seed, bytes + 2, sizeof(seed));
  lockstep::TwinOptions options{.name = "fuzz"};
  if ((bytes[0] & 1) != 0) options.tlb_entries = 4;
  if ((bytes[0] & 2) != 0) options.code_cache = Bytes{256 * kKiB};
  if ((bytes[0] & 4) != 0) options.longest_turn = 3;
  options.forgets = (bytes[0] & 8) != 0;
  options.beside = (bytes[0] & 16) != 0;
  options.shelf = (bytes[0] & 32) != 0;
  options.plain = (bytes[0] & 64) != 0;
  options.shares = (bytes[0] & 128) != 0;
  options.programs = static_cast<lockstep::Programs>(bytes[1] % 3);
  lockstep::Twins twins(seed, options);
  const std::string found = twins.run(200);
  if (!found.empty()) {
    std::fprintf(stderr, "seed %llu, options %u of programs %u: %s\n", static_cast<unsigned long long>(seed),
                 bytes[0], bytes[1] % 3, found.c_str());
    std::abort();
  }
  return 0;
}
