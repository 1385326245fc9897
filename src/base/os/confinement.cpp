// SPDX-License-Identifier: Apache-2.0
#include "base/os/confinement.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/os/fd.h"
#include "base/os/os_error.h"

namespace cloister::os {
namespace {

// -- Files ------------------------------------------------------------------------------------------------

// Rights that came after the first version of the interface; older headers do not name them.
constexpr u64 kRefer = u64{1} << 13;
constexpr u64 kTruncate = u64{1} << 14;
constexpr u64 kDeviceControl = u64{1} << 15;

constexpr u64 kFileRead = LANDLOCK_ACCESS_FS_READ_FILE;
constexpr u64 kFileWrite = kFileRead | LANDLOCK_ACCESS_FS_WRITE_FILE | kTruncate;
constexpr u64 kTreeRead = kFileRead | LANDLOCK_ACCESS_FS_READ_DIR;
constexpr u64 kTreeWrite = kTreeRead | kFileWrite | LANDLOCK_ACCESS_FS_REMOVE_DIR |
                           LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
                           LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK |
                           LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | kRefer;

// All that this version of the kernel's interface can refuse.
u64 handled(long version) {
  u64 rights = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1;
  if (version >= 2) rights |= kRefer;
  if (version >= 3) rights |= kTruncate;
  if (version >= 5) rights |= kDeviceControl;
  return rights;
}

u64 rights_of(FileRight::Kind kind) {
  switch (kind) {
    case FileRight::Kind::kRead:
      return kFileRead;
    case FileRight::Kind::kReadWrite:
      return kFileWrite;
    case FileRight::Kind::kReadTree:
      return kTreeRead;
    case FileRight::Kind::kWholeTree:
      return kTreeWrite;
  }
  return 0;
}

Result<void> add_rule(const Fd& ruleset, const FileRight& right, u64 known) {
  const Fd place(::open(right.path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status {};
  if (!place.valid() || ::fstat(place.get(), &status) != 0) return {};
  u64 allowed = rights_of(right.kind) & known;
  if (!S_ISDIR(status.st_mode)) allowed &= kFileWrite;
  landlock_path_beneath_attr rule{};
  rule.allowed_access = allowed;
  rule.parent_fd = place.get();
  if (::syscall(SYS_landlock_add_rule, ruleset.get(), LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0) return {};
  return os_error(fmt::format("cannot keep '{}' open for this process", right.path));
}

// -- Namespaces -------------------------------------------------------------------------------------------

bool write_text(const char* path, const std::string& text) {
  const Fd file(::open(path, O_WRONLY | O_CLOEXEC));
  return file.valid() && ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

bool drop_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct none[2] = {};
  return ::syscall(SYS_capset, &header, none) == 0;
}

}  // namespace

Result<bool> restrict_files(const std::vector<FileRight>& rights) {
  const long version = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version < 1) return false;
  landlock_ruleset_attr attributes{};
  attributes.handled_access_fs = handled(version);
  const Fd ruleset(static_cast<int>(
      ::syscall(SYS_landlock_create_ruleset, &attributes, sizeof attributes.handled_access_fs, 0)));
  if (!ruleset.valid()) return os_error("cannot make a rule set for files");
  for (const FileRight& right : rights) TRY(add_rule(ruleset, right, handled(version)));
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      ::syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    return os_error("cannot restrict this process to its files");
  }
  return true;
}

Result<bool> separate_namespaces(Network network) {
  const uid_t user = ::getuid();
  const gid_t group = ::getgid();
  const int flags =
      CLONE_NEWUSER | CLONE_NEWIPC | CLONE_NEWUTS | (network == Network::kNone ? CLONE_NEWNET : 0);
  if (::unshare(flags) != 0) {
    if (!drop_capabilities()) return os_error("cannot give up this process's capabilities");
    return false;
  }
  write_text("/proc/self/setgroups", "deny");
  write_text("/proc/self/uid_map", fmt::format("{} {} 1", user, user));
  write_text("/proc/self/gid_map", fmt::format("{} {} 1", group, group));
  if (!drop_capabilities()) return os_error("cannot give up the capabilities of a namespace");
  return true;
}

}  // namespace cloister::os
