// SPDX-License-Identifier: Apache-2.0
#include "base/os/os_error.h"

#include <cerrno>
#include <system_error>

namespace cloister::os {
namespace {

std::string_view remedy(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return "check the path";
    case EISDIR:
      return "name a file, not a folder";
    case EACCES:
    case EPERM:
      return "grant this user permission, or choose another file";
    case EROFS:
      return "open it read-only, or choose a file on a writable file system";
    case EEXIST:
      return "remove it or choose another name";
    case EBUSY:
    case ETXTBSY:
      return "stop the program that uses it";
    case ENOSPC:
    case EDQUOT:
      return "free some space on that file system";
    case EFBIG:
      return "raise the file size limit (ulimit -f) or use another file system";
    case EMFILE:
      return "raise the limit of open files (ulimit -n)";
    case ENFILE:
      return "close other programs: the host has too many files open";
    case ENOMEM:
      return "ask for less memory, or raise the address-space limit (ulimit -v)";
    case EAGAIN:
      return "raise the limit of threads (ulimit -u), or stop other programs";
    case EADDRINUSE:
      return "stop the program that listens there or choose another address";
    case ECONNREFUSED:
      return "start the program that should listen there";
    case EIO:
      return "check the disk: the host's kernel log says more";
    case ENAMETOOLONG:
      return "choose a shorter path";
    case ELOOP:
      return "resolve the loop of symbolic links";
    case EOPNOTSUPP:
      return "use a file system that can do this, such as ext4, xfs or tmpfs";
    default:
      return "";
  }
}

}  // namespace

Error os_error(std::string_view what) { return os_error(what, errno); }

Error os_error(std::string_view what, int error_number) {
  const std::string text = std::system_category().message(error_number);
  const std::string_view advice = remedy(error_number);
  if (advice.empty()) return error("{}: {}", what, text);
  return error("{}: {}; {}", what, text, advice);
}

}  // namespace cloister::os
