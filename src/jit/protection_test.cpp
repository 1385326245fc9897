// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>
#include <thread>

#include "hart/testing_guest.h"
#include "jit/translator.h"

// What the host's kernel says of this process's memory while translated code is made and run.
namespace cloister::jit {
namespace {

using namespace hart::testing;

struct Seen {
  u64 executable_code = 0;  // mappings of a code cache that may be executed
  u64 writable_code = 0;
  std::string both;  // lines of mappings, of whatever, that may be written and executed
};

Seen look_at_memory() {
  Seen seen;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    std::string range, may;
    words >> range >> may;
    const bool writable = may.find('w') != std::string::npos, executable = may.find('x') != std::string::npos;
    if (writable && executable) seen.both += line + '\n';
    if (line.find("cloister-code") == std::string::npos) continue;
    seen.executable_code += executable;
    seen.writable_code += writable;
  }
  return seen;
}

TEST(Protection, NoMemoryIsWritableAndExecutableAtOnce) {
  constexpr u64 kTightLoop = hart::testing::kCode + 0x4000;
  const auto translator = Translator::create({.code_cache = Bytes{kMiB}, .hot = 2, .very_hot = 8}).take();
  TestGuest guest{hart::HartOptions{.translator = translator.get()}};
  guest.put(kTightLoop, {addi(a1, a1, 1), store(Op::sd, a1, a0), branch(Op::bne, a1, zero, -8)});
  guest.hart().reset(kTightLoop, 0);
  guest.set(a0, kData);
  std::thread hart([&] { guest.hart().run(~u64{0}); });
  while (guest.peek(kData) < 1'000'000) {
  }
  for (int i = 0; i < 20; ++i) {
    const Seen seen = look_at_memory();
    EXPECT_EQ(seen.both, "");
    EXPECT_EQ(seen.executable_code, 1u);
    EXPECT_EQ(seen.writable_code, 1u);
  }
  guest.hart().request_exit();
  hart.join();
  EXPECT_GT(translator->statistics().remade, 0u);
}

}  // namespace
}  // namespace cloister::jit
