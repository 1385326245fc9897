// SPDX-License-Identifier: Apache-2.0
#include "lib/figures.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

namespace cloister::guest {

std::uint64_t figure_in(const char* text, const char* key) {
  const std::size_t length = std::strlen(key);
  while (text != nullptr && *text != '\0') {
    if (std::strncmp(text, key, length) == 0 && (text[length] == ' ' || text[length] == '\t'))
      return std::strtoull(text + length, nullptr, 10);
    text = std::strchr(text, '\n');
    if (text != nullptr) ++text;
  }
  return 0;
}

std::uint32_t pressure_in(const char* text) {
  constexpr char kHead[] = "some avg10=";
  const char* at = std::strstr(text, kHead);
  if (at == nullptr) return 0;
  char* end = nullptr;
  const unsigned long whole = std::strtoul(at + sizeof kHead - 1, &end, 10);
  const unsigned long rest = *end == '.' ? std::strtoul(end + 1, nullptr, 10) : 0;
  return static_cast<std::uint32_t>(whole * 100 + rest);
}

void read_text(const char* path, char* text, std::size_t size) {
  std::size_t length = 0;
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  while (file >= 0 && length < size - 1) {
    const ssize_t got = read(file, text + length, size - 1 - length);
    if (got <= 0) break;
    length += static_cast<std::size_t>(got);
  }
  text[length] = '\0';
  if (file >= 0) close(file);
}

}  // namespace cloister::guest
