// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cloister {

// Prints the place and the condition to standard error and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* condition);

}  // namespace cloister

// Our own mistake: always on. No value from a guest or from outside may ever reach one.
#define CHECK(condition) \
  (__builtin_expect(!!(condition), 1) ? void(0) : ::cloister::check_failed(__FILE__, __LINE__, #condition))

// The same on a hot path: on in debug and sanitizer builds only.
#ifdef NDEBUG
#define DCHECK(condition) void(sizeof(!(condition)))
#else
#define DCHECK(condition) CHECK(condition)
#endif
