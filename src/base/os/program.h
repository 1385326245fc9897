// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"

namespace cloister::os {

// Replaces this process by a program that lies in the same folder as this one, with these arguments.
// Returns only when that failed, with the reason.
Error become_neighbour(const std::string& program, const std::vector<std::string>& arguments);

}  // namespace cloister::os
