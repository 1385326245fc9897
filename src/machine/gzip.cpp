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

// One zlib stream. Feeds all of `content` at once, in pieces that zlib's 32-bit counts can take.
class Inflater {
 public:
  explicit Inflater(std::span<const std::byte> content) : left_(content) {
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
    return status == Z_BUF_ERROR && (produced != 0 || !left_.empty()) ? Z_OK : status;
  }
  // Bytes of the content not yet used.
  std::size_t unused() const { return left_.size() + stream_.avail_in; }

 private:
  void feed() {
    if (stream_.avail_in != 0 || left_.empty()) return;
    const auto piece = left_.first(std::min<std::size_t>(left_.size(), kGiB));
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(piece.data()));
    stream_.avail_in = static_cast<uInt>(piece.size());
    left_ = left_.subspan(piece.size());
  }

  z_stream stream_{};
  std::span<const std::byte> left_;
};

using TakeOutput = std::function<Result<void>(std::span<const std::byte>)>;

// Returns how many bytes of `content` the member takes.
Result<Bytes> inflate_member(std::span<const std::byte> content, const std::string& what,
                             const TakeOutput& take) {
  Inflater inflater(content);
  std::vector<std::byte> chunk(kChunk);
  for (;;) {
    std::size_t produced = 0;
    const int status = inflater.next(chunk, produced);
    TRY(take(std::span(chunk).first(produced)));
    if (status == Z_STREAM_END) return Bytes{content.size() - inflater.unused()};
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

Result<std::vector<std::byte>> gunzip(std::span<const std::byte> content, Bytes limit,
                                      const std::string& what) {
  std::vector<std::byte> output;
  TRY(inflate_member(content, what, [&](std::span<const std::byte> part) -> Result<void> {
    if (part.size() > limit.raw - output.size())
      return error("{} unpacks to more than {}: that is no kernel", what, format_size(limit));
    output.insert(output.end(), part.begin(), part.end());
    return {};
  }));
  return output;
}

Result<Bytes> measure_gzip(std::span<const std::byte> content, const std::string& what) {
  return inflate_member(content, what, [](std::span<const std::byte>) { return Result<void>(); });
}

}  // namespace cloister::machine
