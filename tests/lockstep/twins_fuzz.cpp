// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "lockstep/twins.h"

// The input chooses a program of random loops, calls or snippets and how it is disturbed; translator and
// interpreter must agree.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace cloister;
  std::uint8_t bytes[10] = {};
  std::memcpy(bytes, data, std::min(size, sizeof(bytes)));
  u64 seed = 0;
  std::memcpy(&seed, bytes, sizeof(seed));
  lockstep::TwinOptions options{.name = "fuzz"};
  if ((bytes[8] & 1) != 0) options.tlb_entries = 4;
  if ((bytes[8] & 2) != 0) options.code_cache = Bytes{256 * kKiB};
  if ((bytes[8] & 4) != 0) options.longest_turn = 3;
  options.forgets = (bytes[8] & 8) != 0;
  options.beside = (bytes[8] & 16) != 0;
  options.shelf = (bytes[8] & 32) != 0;
  if ((bytes[8] & 64) != 0) options.programs = lockstep::Programs::kCalls;
  if ((bytes[8] & 128) != 0) options.programs = lockstep::Programs::kMixture;
  options.plain = (bytes[9] & 1) != 0;
  options.shares = (bytes[9] & 2) != 0;
  lockstep::Twins twins(seed, options);
  const std::string found = twins.run(200);
  if (!found.empty()) {
    std::fprintf(stderr, "seed %llu, options %u and %u: %s\n", static_cast<unsigned long long>(seed),
                 bytes[8], bytes[9], found.c_str());
    std::abort();
  }
  return 0;
}
