// SPDX-License-Identifier: Apache-2.0
#include "agent/log.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>

namespace cloister::agent {

void say(Weight weight, const char* format, ...) {
  static const bool is_journal = std::getenv("JOURNAL_STREAM") != nullptr;
  char line[1024];
  va_list values;
  va_start(values, format);
  std::vsnprintf(line, sizeof line, format, values);
  va_end(values);
  if (is_journal) {
    std::fprintf(stderr, "<%d>%s\n", static_cast<int>(weight), line);
  } else {
    std::fprintf(stderr, "cloister-agent: %s\n", line);
  }
}

}  // namespace cloister::agent
