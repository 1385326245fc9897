// SPDX-License-Identifier: Apache-2.0
#include "base/os/users.h"

#include <pwd.h>
#include <unistd.h>

#include "base/os/os_error.h"

namespace cloister::os {

std::optional<Owner> find_user(const std::string& name) {
  char buffer[4096];
  passwd entry{};
  passwd* found = nullptr;
  if (::getpwnam_r(name.c_str(), &entry, buffer, sizeof buffer, &found) != 0 || found == nullptr) {
    return std::nullopt;
  }
  return Owner{found->pw_uid, found->pw_gid};
}

Result<void> give_to(const std::string& path, const Owner& owner) {
  if (::lchown(path.c_str(), owner.user, owner.group) == 0) return {};
  return os_error(fmt::format("cannot give '{}' to user {}", path, owner.user));
}

}  // namespace cloister::os
