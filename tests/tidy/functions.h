// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/units.h"

namespace cloister::tidy {

struct Function {
  std::string header;      // as written, on one line: "int add(int a, int b)"
  std::size_t line = 0;    // where the header begins, from 1
  std::size_t length = 0;  // in lines, from the header to the closing brace
};

// The functions that formatted C++ defines. A lambda counts as part of the function around it.
std::vector<Function> find_functions(const std::vector<std::string>& lines);

// The lines with comments, literals' contents and preprocessor lines blanked out; as many lines as before.
std::vector<std::string> without_comments_and_literals(const std::vector<std::string>& lines);

}  // namespace cloister::tidy
