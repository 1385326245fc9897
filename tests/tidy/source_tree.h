// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"

namespace cloister::tidy {

// A text file of the tree.
struct SourceFile {
  std::string path;  // from the tree's root: "src/base/units.h"
  std::vector<std::string> lines;

  bool is_under(std::string_view folder) const { return path.starts_with(std::string(folder) + "/"); }
  bool ends_in(std::string_view extension) const { return path.ends_with(extension); }
  bool is_header() const { return ends_in(".h"); }
  bool is_code() const { return is_header() || ends_in(".cpp") || ends_in(".c"); }
  std::string folder() const { return std::filesystem::path(path).parent_path().string(); }
};

const std::filesystem::path& root();

// Every text file under root() that people write, sorted by path: no build folders, no hidden ones
// but .ci, nothing that is not text. Read once.
const std::vector<SourceFile>& source_files();

// A failure that names the file, the line (from 1; 0: the whole file) and what to do about it.
void report(const SourceFile& file, std::size_t line, std::string_view remedy);

}  // namespace cloister::tidy
