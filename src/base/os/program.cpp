// SPDX-License-Identifier: Apache-2.0
#include "base/os/program.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

namespace cloister::os {

Result<std::string> neighbour_path(const std::string& program) {
  std::error_code failure;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", failure);
  if (failure)
    return error("cannot find my own program by /proc/self/exe: {}; mount /proc", failure.message());
  return (self.parent_path() / program).string();
}

Error become_neighbour(const std::string& program, const std::vector<std::string>& arguments) {
  auto found = neighbour_path(program);
  if (!found.ok()) return found.failure();
  std::string path = found.take();
  std::vector<std::string> words = arguments;
  std::vector<char*> argv{path.data()};
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  execv(path.c_str(), argv.data());
  return error("cannot start {}: {}; build or install all of Cloister's programs", path,
               std::strerror(errno));
}

}  // namespace cloister::os
