// SPDX-License-Identifier: Apache-2.0
#include "machine/gzip.h"

#include <zlib.h>

#include <array>
#include <functional>

#include "base/check.h"
#include "base/size.h"

namespace cloister::machine {
namespace {

constexpr std::size_t kChunk = 256 * kKiB;

// One zlib stream, fed with pieces of the file.
class Inflater {
 public:
  Inflater(BootFile& file, u64 from) : file_(file), next_(from) {
    constexpr int kGzipOnly = 16 + MAX_WBITS;
    CHECK(inflateInit2(&stream_, kGzipOnly) == Z_OK);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  ~Inflater() { inflateEnd(&stream_); }

  // Z_OK with a part of the output in `chunk`, Z_STREAM_END with the last, or an error of zlib's.
  int next(std::span<std::byte> chunk, std::size_t& produced) {
    feed();
    stream_.next_out = reinterpret_cast<Bytef*>(chunk.data());
    stream_.avail_out = static_cast<uInt>(chunk.size());
    const int status = inflate(&stream_, Z_NO_FLUSH);
    produced = chunk.size() - stream_.avail_out;
    return status == Z_BUF_ERROR && (produced != 0 || next_ < file_.size()) ? Z_OK : status;
  }
  // Where the first byte lies that was not used.
  u64 end() const { return next_ - stream_.avail_in; }

 private:
  void feed() {
    if (stream_.avail_in != 0) return;
    const auto piece = file_.at(next_, kChunk);
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(piece.data()));
    stream_.avail_in = static_cast<uInt>(piece.size());
    next_ += piece.size();
  }

  z_stream stream_{};
  BootFile& file_;
  u64 next_;  // to be fed
};

using TakeOutput = std::function<Result<void>(std::span<const std::byte>)>;

// Returns how many bytes of the file the member takes.
Result<Bytes> inflate_member(BootFile& file, u64 from, const std::string& what, const TakeOutput& take) {
  Inflater inflater(file, from);
  std::vector<std::byte> chunk(kChunk);
  for (;;) {
    std::size_t produced = 0;
    const int status = inflater.next(chunk, produced);
    TRY(take(std::span(chunk).first(produced)));
    if (file.failure()) return *file.failure();
    if (status == Z_STREAM_END) return Bytes{inflater.end() - from};
    if (status == Z_BUF_ERROR)
      return error("{} ends in the middle of its gzip data: it is truncated, copy it again", what);
    if (status != Z_OK) return error("{} has damaged gzip data: copy it again", what);
  }
}

}  // namespace

bool is_gzip(std::span<const std::byte> content) {
  return content.size() >= 3 && content[0] == std::byte{0x1f} && content[1] == std::byte{0x8b} &&
         content[2] == std::byte{8};
}

Result<std::vector<std::byte>> gunzip(BootFile& file, Bytes limit, const std::string& what) {
  std::vector<std::byte> output;
  TRY(inflate_member(file, 0, what, [&](std::span<const std::byte> part) -> Result<void> {
    if (part.size() > limit.raw - output.size())
      return error("{} unpacks to more than {}: that is no kernel", what, format_size(limit));
    output.insert(output.end(), part.begin(), part.end());
    return {};
  }));
  return output;
}

Result<Bytes> measure_gzip(BootFile& file, u64 from, const std::string& what) {
  return inflate_member(file, from, what, [](std::span<const std::byte>) { return Result<void>(); });
}

}  // namespace cloister::machine
