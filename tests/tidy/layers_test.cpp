// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <optional>
#include <regex>

#include "tidy/source_tree.h"

namespace cloister::tidy {
namespace {

// The folders of src/, from the bottom up. A folder includes itself and what stands before it, unless its row
// says that it is pure: then itself and base.
struct Layer {
  std::string_view folder;
  bool pure = false;
};
constexpr auto kLayers = std::to_array<Layer>({{"base"},
                                               {"base/os"},
                                               {"isa", true},
                                               {"policy/memory", true},
                                               {"policy/cpu", true},
                                               {"memory"},
                                               {"cloak"},
                                               {"hart"},
                                               {"jit"},
                                               {"device"},
                                               {"machine"},
                                               {"cell"},
                                               {"host"},
                                               {"api"},
                                               {"sim"}});

// The layer that "device/virtio/queue.h" lies in: the longest of those that fit.
std::optional<std::size_t> layer_of(std::string_view path) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < kLayers.size(); ++i) {
    const std::string prefix = std::string(kLayers[i].folder) + "/";
    if (path.starts_with(prefix) && (!best || kLayers[i].folder.size() > kLayers[*best].folder.size()))
      best = i;
  }
  return best;
}

bool may_include(std::size_t user, std::size_t used) {
  if (user == used) return true;
  return kLayers[user].pure ? kLayers[used].folder == "base" : used < user;
}

struct Include {
  std::string path;
  bool is_system;
};

std::optional<Include> include_of(const std::string& line) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*([<"])([^>"]+)[>"])");
  std::smatch match;
  if (!std::regex_search(line, match, kInclude)) return std::nullopt;
  return Include{match[2], match[1] == "<"};
}

void check_own_include(const SourceFile& file, std::size_t line, const std::string& path) {
  const auto user = layer_of(std::string_view(file.path).substr(4));
  const auto used = layer_of(path);
  if (!used) {
    report(file, line,
           "includes \"" + path + "\", which lies in no folder of src/: write the full path from src/");
  } else if (user && !may_include(*user, *used)) {
    report(file, line,
           std::string(kLayers[*user].folder) + " may not include from " +
               std::string(kLayers[*used].folder) +
               ": move the code to the right layer, or turn the dependency round with an interface");
  }
}

bool is_of_the_operating_system(std::string_view header) {
  constexpr std::string_view kFolders[] = {"sys/", "linux/", "asm/", "net/", "netinet/", "arpa/"};
  constexpr std::string_view kHeaders[] = {"unistd.h",    "fcntl.h",   "poll.h",  "pthread.h", "sched.h",
                                           "signal.h",    "dirent.h",  "netdb.h", "termios.h", "ucontext.h",
                                           "aio.h",       "spawn.h",   "pty.h",   "ifaddrs.h", "dlfcn.h",
                                           "semaphore.h", "liburing.h"};
  return std::any_of(std::begin(kFolders), std::end(kFolders),
                     [&](auto f) { return header.starts_with(f); }) ||
         std::find(std::begin(kHeaders), std::end(kHeaders), header) != std::end(kHeaders);
}

TEST(Layers, EveryFolderOfSrcHasItsPlace) {
  for (const SourceFile& file : source_files()) {
    if (!file.is_under("src") || !file.is_code()) continue;
    if (!layer_of(std::string_view(file.path).substr(4)))
      report(
          file, 0,
          "lies in a folder without a layer: give it a row in kLayers, and a line in docs/architecture.md");
  }
}

TEST(Layers, DependenciesPointDownward) {
  for (const SourceFile& file : source_files()) {
    if (!file.is_under("src")) continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const auto include = include_of(file.lines[i]);
      if (include && !include->is_system) check_own_include(file, i + 1, include->path);
    }
  }
}

TEST(Layers, OnlyBaseOsSpeaksToTheOperatingSystem) {
  for (const SourceFile& file : source_files()) {
    if (!file.is_under("src") || file.is_under("src/base/os")) continue;
    for (std::size_t i = 0; i < file.lines.size(); ++i) {
      const auto include = include_of(file.lines[i]);
      if (include && include->is_system && is_of_the_operating_system(include->path))
        report(file, i + 1, "includes <" + include->path + ">: use what src/base/os offers, or add it there");
    }
  }
}

}  // namespace
}  // namespace cloister::tidy
