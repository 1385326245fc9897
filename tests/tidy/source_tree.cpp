// SPDX-License-Identifier: Apache-2.0
#include "tidy/source_tree.h"

#include <algorithm>
#include <fstream>
#include <set>

namespace cloister::tidy {
namespace {

namespace fs = std::filesystem;

bool is_skipped_folder(const fs::path& path) {
  const std::string name = path.filename().string();
  return (name.starts_with('.') && name != ".ci") || name.starts_with("build") || name == "node_modules";
}

bool is_text(const fs::path& path) {
  static const std::set<std::string> kKinds = {".h",  ".cpp", ".c",    ".S",     ".inc",  ".py", ".sh", ".js",
                                               ".ts", ".css", ".html", ".cmake", ".toml", ".md", ".ld"};
  return kKinds.contains(path.extension().string()) || path.filename() == "CMakeLists.txt";
}

std::vector<std::string> read_lines(const fs::path& path) {
  std::ifstream stream(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// A file without an extension is a script when it begins with "#!".
bool is_script(const fs::path& path) {
  std::ifstream stream(path);
  char start[2] = {};
  return !path.has_extension() && stream.read(start, 2) && std::string_view(start, 2) == "#!";
}

std::vector<SourceFile> read_tree() {
  std::vector<SourceFile> files;
  for (auto entry = fs::recursive_directory_iterator(root()); entry != fs::recursive_directory_iterator();
       ++entry) {
    if (entry->is_directory() && is_skipped_folder(entry->path())) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && (is_text(entry->path()) || is_script(entry->path()))) {
      files.push_back({fs::relative(entry->path(), root()).string(), read_lines(entry->path())});
    }
  }
  std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return files;
}

}  // namespace

const fs::path& root() {
  static const fs::path kRoot = CLOISTER_ROOT;
  return kRoot;
}

const std::vector<SourceFile>& source_files() {
  static const std::vector<SourceFile> kFiles = read_tree();
  return kFiles;
}

void report(const SourceFile& file, std::size_t line, std::string_view remedy) {
  ADD_FAILURE_AT(file.path.c_str(), static_cast<int>(line)) << remedy;
}

}  // namespace cloister::tidy
