// SPDX-License-Identifier: Apache-2.0
#include "base/os/fd.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/os/os_error.h"

namespace cloister::os {

// Linux closes the descriptor whatever close() returns, EINTR too: there is nothing to repeat.
void Fd::close() {
  if (valid()) ::close(release());
}

Result<bool> is_writable(const Fd& fd) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0) return os_error("cannot tell how a descriptor was opened");
  return (flags & O_ACCMODE) != O_RDONLY;
}

Result<Bytes> size_of(const Fd& fd) {
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return os_error("cannot find the size behind a descriptor");
  return Bytes{static_cast<u64>(status.st_size)};
}

Fd Fd::duplicate() const { return Fd(valid() ? ::fcntl(raw_, F_DUPFD_CLOEXEC, 0) : -1); }

}  // namespace cloister::os
