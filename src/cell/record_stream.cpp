// SPDX-License-Identifier: Apache-2.0
#include "cell/record_stream.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace cloister::cell {
namespace {

constexpr std::size_t kReadPiece = 65536;

void drop_front(std::vector<std::byte>& bytes, std::size_t count) {
  bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(count));
}

}  // namespace

// Bound: no more is read while a whole record waits to be taken.
bool RecordStream::read() {
  if (broken_) return false;
  const std::size_t before = read_.size();
  const std::size_t room = std::min<std::size_t>(sizeof(cloister_record) + most_, kReadPiece);
  read_.resize(before + room);
  const auto got = stream_.read(std::span(read_).subspan(before));
  read_.resize(before + (got.ok() ? *got : 0));
  if (!got.ok()) return os::would_block(got.failure());
  return *got > 0;
}

std::optional<Record> RecordStream::next() {
  cloister_record header;
  if (broken_ || read_.size() < sizeof header) return std::nullopt;
  std::memcpy(&header, read_.data(), sizeof header);
  if (header.size > most_) {
    broken_ = true;
    return std::nullopt;
  }
  const std::size_t whole = sizeof header + header.size;
  if (read_.size() < whole) return std::nullopt;
  const auto body = std::span(read_).subspan(sizeof header, header.size);
  Record record{header.kind, {body.begin(), body.end()}};
  drop_front(read_, whole);
  return record;
}

void RecordStream::put(u32 kind, std::span<const std::byte> body) {
  CHECK(body.size() <= most_);
  const cloister_record header{kind, static_cast<u32>(body.size())};
  const auto head = std::as_bytes(std::span(&header, 1));
  unsent_.insert(unsent_.end(), head.begin(), head.end());
  unsent_.insert(unsent_.end(), body.begin(), body.end());
}

bool RecordStream::flush() {
  while (!unsent_.empty()) {
    const auto written = stream_.write(unsent_);
    if (!written.ok()) return os::would_block(written.failure());
    drop_front(unsent_, *written);
  }
  return true;
}

}  // namespace cloister::cell
