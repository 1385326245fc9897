// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "base/os/inode.h"
#include "base/result.h"

namespace cloister::os {

// The user of this name with its first group; nothing when there is none.
std::optional<Owner> find_user(const std::string& name);

// The file or folder belongs to that user from now on. Needs root.
Result<void> give_to(const std::string& path, const Owner& owner);

}  // namespace cloister::os
