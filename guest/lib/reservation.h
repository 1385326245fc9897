// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

namespace cloister::guest {

// What stands at the head of each page that is given; the rest of the page is zero.
struct Mark {
  std::uint64_t words[4];
};

// Names `pages` pages to whoever takes them. Says how many from the first on were taken, and why no more: a
// status.
using Give = int (*)(void* first, std::uint64_t pages, std::uint64_t* taken);

// The memory of a balloon: a ring in one stretch of address space. It grows at the tail and is released at
// the head, so what was touched first goes first. A page outside [head, tail) is mapped without any access
// and costs nothing, not even in the kernel's accounts of what it has promised.
class Reservation {
 public:
  static constexpr std::uint64_t kPage = 4096;
  static constexpr std::uint64_t kPiece = 2 << 20;

  Reservation() = default;
  Reservation(const Reservation&) = delete;
  Reservation& operator=(const Reservation&) = delete;
  ~Reservation();

  // Reserves address space for `most` bytes, or for as much as the program's limits allow. CLOISTER_OK,
  // CLOISTER_NO_ROOM. Without a mark `give` gets pages that are there, and writes what is wanted there
  // itself.
  int open(std::uint64_t most, Give give, const Mark* mark = nullptr);

  std::uint64_t size() const { return tail_ - head_; }
  std::uint64_t most() const { return ring_; }

  // CLOISTER_OK when all of `bytes` was taken; else why not. `grown` has what was, in both cases.
  int grow(std::uint64_t bytes, std::uint64_t* grown);
  // Returns what was released: `bytes` in whole pages, or all there is.
  std::uint64_t shrink(std::uint64_t bytes);

 private:
  bool reserve(std::uint64_t bytes);
  char* at(std::uint64_t place) const { return base_ + place % ring_; }
  int open_up(std::uint64_t* piece);
  int give_piece(std::uint64_t piece, std::uint64_t* taken);
  void let_go(std::uint64_t from, std::uint64_t bytes);

  char* base_ = nullptr;
  std::uint64_t ring_ = 0;
  std::uint64_t head_ = 0;  // places only grow; modulo ring_ they are offsets
  std::uint64_t tail_ = 0;
  std::optional<Mark> mark_;
  Give give_ = nullptr;
};

}  // namespace cloister::guest
