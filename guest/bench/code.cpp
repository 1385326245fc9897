// SPDX-License-Identifier: Apache-2.0
// Code written and run at once, as a compiler inside the guest does: a function that returns a constant is
// written anew each round, fenced and called.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "row.h"

namespace cloister::bench {
namespace {

#if defined(__riscv)
void write_function(u8* at, u32 value) {
  const u32 code[] = {value << 20 | 10 << 7 | 0x13,  // addi a0, zero, value
                      0x00008067};                   // ret
  std::memcpy(at, code, sizeof code);
}
#elif defined(__x86_64__)
void write_function(u8* at, u32 value) {
  at[0] = 0xB8;  // mov eax, value
  std::memcpy(at + 1, &value, 4);
  at[5] = 0xC3;  // ret
}
#else
#error "the row written-code knows riscv64 and x86-64"
#endif

}  // namespace

u64 written_code(Scale scale) {
  constexpr u64 kSize = 4096;
  void* const page =
      mmap(nullptr, kSize, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) {
    std::perror("mmap");
    std::exit(1);
  }
  auto* const code = static_cast<char*>(page);
  u64 sum = 0;
  for (u64 round = scale.of(50'000); round != 0; --round) {
    write_function(static_cast<u8*>(page), static_cast<u32>(round & 1023));
    __builtin___clear_cache(code, code + 64);
    int (*function)() = nullptr;
    std::memcpy(&function, &page, sizeof function);
    sum += static_cast<u64>(function());
  }
  munmap(page, kSize);
  return sum;
}

}  // namespace cloister::bench
