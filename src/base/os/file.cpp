// SPDX-License-Identifier: Apache-2.0
#include "base/os/file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/os/os_error.h"
#include "base/size.h"

namespace cloister::os {
namespace {

int open_flags(Open how) {
  switch (how) {
    case Open::kRead:
      return O_RDONLY;
    case Open::kReadWrite:
      return O_RDWR;
    case Open::kCreate:
      return O_RDWR | O_CREAT;
    case Open::kCreateNew:
      return O_RDWR | O_CREAT | O_EXCL;
  }
  CHECK(false);
  return O_RDONLY;
}

// Bound: buffers per call; the kernel's limit is 1024 and the rest goes into the next call.
constexpr std::size_t kBuffersPerCall = 64;

// The buffers from a position on, so that a short transfer can go on in the middle of one.
template <typename Byte>
class Cursor {
 public:
  explicit Cursor(std::span<const std::span<Byte>> buffers) : buffers_(buffers) { skip(0); }

  bool done() const { return buffers_.empty(); }

  std::span<const iovec> next() {
    const std::size_t count = std::min(buffers_.size(), kBuffersPerCall);
    for (std::size_t i = 0; i < count; ++i) {
      const auto rest = buffers_[i].subspan(i == 0 ? used_ : 0);
      vectors_[i] = {const_cast<std::byte*>(rest.data()), rest.size()};
    }
    return {vectors_.data(), count};
  }

  void skip(std::size_t bytes) {
    used_ += bytes;
    while (!buffers_.empty() && used_ >= buffers_.front().size()) {
      used_ -= buffers_.front().size();
      buffers_ = buffers_.subspan(1);
    }
  }

 private:
  std::span<const std::span<Byte>> buffers_;
  std::size_t used_ = 0;  // of the first buffer
  std::array<iovec, kBuffersPerCall> vectors_{};
};

// Calls `transfer(vectors, offset)` until all buffers are done. Returns 0, an error number, or ENODATA when
// the file ended first.
template <typename Byte, typename Transfer>
int transfer_all(std::span<const std::span<Byte>> buffers, u64 offset, Transfer transfer) {
  for (Cursor<Byte> cursor(buffers); !cursor.done();) {
    const ssize_t moved = transfer(cursor.next(), static_cast<off_t>(offset));
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) return errno;
    if (moved == 0) return ENODATA;
    cursor.skip(static_cast<std::size_t>(moved));
    offset += static_cast<u64>(moved);
  }
  return 0;
}

}  // namespace

Result<File> File::open(const std::string& path, Open how) {
  const char* purpose = how == Open::kRead ? "for reading" : "for reading and writing";
  // Without O_NONBLOCK, opening a pipe would wait for its other end for ever.
  Fd fd(::open(path.c_str(), open_flags(how) | O_CLOEXEC | O_NONBLOCK, 0644));
  return check(path, std::move(fd), purpose);
}

Result<File> File::unnamed(const std::string& folder) {
  Fd fd(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (!fd.valid()) return os_error(fmt::format("cannot make a file without a name in '{}'", folder));
  return File(folder + " (unnamed)", std::move(fd), false);
}

Result<File> File::adopt(Fd fd, const std::string& name) {
  return check(name, std::move(fd), "for reading and writing");
}

Result<File> File::check(const std::string& path, Fd fd, const char* purpose) {
  const auto cannot = [&] { return fmt::format("cannot open '{}' {}", path, purpose); };
  if (!fd.valid()) return os_error(cannot());
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return os_error(cannot());
  if (S_ISDIR(status.st_mode)) return os_error(cannot(), EISDIR);
  if (!S_ISREG(status.st_mode) && !S_ISBLK(status.st_mode)) {
    return error("{}: neither a regular file nor a block device; name one that is", cannot());
  }
  return File(path, std::move(fd), S_ISBLK(status.st_mode));
}

Result<Bytes> File::size() const {
  if (block_device_) {
    u64 bytes = 0;
    if (::ioctl(fd_.get(), BLKGETSIZE64, &bytes) != 0) return failure("find the size of");
    return Bytes{bytes};
  }
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) return failure("find the size of");
  return Bytes{static_cast<u64>(status.st_size)};
}

Result<void> File::read_at(u64 offset, std::span<std::byte> to) const {
  return read_at(offset, std::span<const std::span<std::byte>>(&to, 1));
}

Result<void> File::write_at(u64 offset, std::span<const std::byte> from) {
  return write_at(offset, std::span<const std::span<const std::byte>>(&from, 1));
}

Result<void> File::read_at(u64 offset, std::span<const std::span<std::byte>> to) const {
  const int problem = transfer_all(to, offset, [&](std::span<const iovec> vectors, off_t at) {
    return ::preadv(fd_.get(), vectors.data(), static_cast<int>(vectors.size()), at);
  });
  if (problem == 0) return {};
  if (problem == ENODATA) return error("cannot read '{}': it ends too early; check that it is whole", path_);
  return os_error(fmt::format("cannot read '{}'", path_), problem);
}

Result<void> File::write_at(u64 offset, std::span<const std::span<const std::byte>> from) {
  const int problem = transfer_all(from, offset, [&](std::span<const iovec> vectors, off_t at) {
    return ::pwritev(fd_.get(), vectors.data(), static_cast<int>(vectors.size()), at);
  });
  if (problem == 0) return {};
  return os_error(fmt::format("cannot write '{}'", path_), problem == ENODATA ? ENOSPC : problem);
}

Result<void> File::resize(Bytes size) {
  if (::ftruncate(fd_.get(), static_cast<off_t>(size.raw)) == 0) return {};
  return os_error(fmt::format("cannot make '{}' {} long", path_, format_size(size)));
}

Result<void> File::bypass_cache() {
  const int flags = ::fcntl(fd_.get(), F_GETFL);
  if (flags >= 0 && ::fcntl(fd_.get(), F_SETFL, flags | O_DIRECT) == 0) return {};
  return failure("go past the page cache for");
}

Result<void> File::sync_data() {
  if (::fdatasync(fd_.get()) == 0) return {};
  return failure("flush");
}

Result<void> File::punch_hole(u64 offset, Bytes size) {
  const int how = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  if (::fallocate(fd_.get(), how, static_cast<off_t>(offset), static_cast<off_t>(size.raw)) == 0) return {};
  return failure("free space inside");
}

Result<void> File::reserve(u64 offset, Bytes size) {
  const int problem = ::posix_fallocate(fd_.get(), static_cast<off_t>(offset), static_cast<off_t>(size.raw));
  if (problem == 0) return {};
  return os_error(fmt::format("cannot reserve {} in '{}'", format_size(size), path_), problem);
}

Result<Nanos> File::modified() const {
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) return failure("find the time of");
  return Nanos{static_cast<u64>(status.st_mtim.tv_sec) * 1'000'000'000 +
               static_cast<u64>(status.st_mtim.tv_nsec)};
}

Result<Bytes> File::allocated() const {
  struct stat status {};
  if (::fstat(fd_.get(), &status) != 0) return failure("find the size of");
  return Bytes{static_cast<u64>(status.st_blocks) * 512};
}

Result<Bytes> File::remaining_space() const {
  struct statvfs status {};
  if (::fstatvfs(fd_.get(), &status) != 0) return failure("find the space left for");
  return Bytes{static_cast<u64>(status.f_bavail) * status.f_frsize};
}

Error File::failure(const char* what) const { return os_error(fmt::format("cannot {} '{}'", what, path_)); }

Result<std::string> read_text_file(const std::string& path, Bytes limit) {
  const File file = TRY(File::open(path, Open::kRead));
  const Bytes size = TRY(file.size());
  if (size > limit) {
    return error("'{}' has {}, more than the {} that are allowed; name the right file", path,
                 format_size(size), format_size(limit));
  }
  std::string text(size.raw, '\0');
  TRY(file.read_at(0, std::as_writable_bytes(std::span(text))));
  return text;
}

}  // namespace cloister::os
