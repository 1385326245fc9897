// SPDX-License-Identifier: Apache-2.0
#include "base/os/mem_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "base/os/os_error.h"
#include "base/size.h"

namespace cloister::os {

Result<MemFile> MemFile::create(const std::string& name, Bytes size) {
  const auto cannot = [&] {
    return fmt::format("cannot make memory file '{}' of {}", name, format_size(size));
  };
  Fd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return os_error(cannot());
  if (::ftruncate(fd.get(), static_cast<off_t>(size.raw)) != 0) return os_error(cannot());
  if (::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
    return os_error(cannot());
  return MemFile(std::move(fd), size);
}

Result<Fd> MemFile::read_only() const {
  // The mode keeps others from opening it for writing through /proc.
  Fd fd;
  if (::fchmod(fd_.get(), 0400) == 0)
    fd = Fd(::open(fmt::format("/proc/self/fd/{}", fd_.get()).c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return os_error("cannot make a read-only descriptor of a memory file");
  return fd;
}

Result<void> MemFile::read_at(u64 offset, std::span<std::byte> to) const {
  while (!to.empty()) {
    const ssize_t count = ::pread(fd_.get(), to.data(), to.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return os_error("cannot read a memory file", count == 0 ? EINVAL : errno);
    to = to.subspan(static_cast<std::size_t>(count));
    offset += static_cast<u64>(count);
  }
  return {};
}

Result<void> MemFile::write_at(u64 offset, std::span<const std::byte> from) {
  while (!from.empty()) {
    const ssize_t count = ::pwrite(fd_.get(), from.data(), from.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return os_error("cannot write a memory file", count == 0 ? EINVAL : errno);
    from = from.subspan(static_cast<std::size_t>(count));
    offset += static_cast<u64>(count);
  }
  return {};
}

Result<void> MemFile::punch_hole(u64 offset, Bytes size) {
  CHECK(((offset | size.raw) & kPageMask) == 0 && size <= size_ && offset <= (size_ - size).raw);
  const int how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (::fallocate(fd_.get(), how, static_cast<off_t>(offset), static_cast<off_t>(size.raw)) == 0) return {};
  return os_error(fmt::format("cannot give {} of a memory file back", format_size(size)));
}

Bytes MemFile::allocated() const {
  struct stat status {};
  CHECK(::fstat(fd_.get(), &status) == 0);
  return {static_cast<u64>(status.st_blocks) * 512};
}

}  // namespace cloister::os
