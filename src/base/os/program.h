// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace cloister::os {

// Where a program lies that was installed in the same folder as this one.
Result<std::string> neighbour_path(const std::string& program);

// Replaces this process by a program that lies in the same folder as this one, with these arguments.
// Returns only when that failed, with the reason.
Error become_neighbour(const std::string& program, const std::vector<std::string>& arguments);

}  // namespace cloister::os
