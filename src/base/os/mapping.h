// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/os/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::os {

enum class Protection : u8 { kNone, kRead, kReadWrite, kReadExecute };

// Owns a range of the program's address space. Move-only; unmapped at the end. Each mapping lies
// between two guard pages that fault, so an access past an end never reaches a neighbour; one of 2 MiB or
// more begins at a multiple of 2 MiB. Sizes and offsets are multiples of the page.
class Mapping {
 public:
  static constexpr u64 kHugePage = 2 * kMiB;

  // Zero pages of this process, each made at its first write: read, an untouched page costs nothing.
  static Result<Mapping> anonymous(Bytes size, Protection protection);
  // Address space alone; protect() opens parts of it.
  static Result<Mapping> reserve(Bytes size) { return anonymous(size, Protection::kNone); }
  // `size` bytes of `file` from `offset`, shared with all who map it.
  static Result<Mapping> shared(const Fd& file, u64 offset, Bytes size, Protection protection);

  Mapping() = default;
  Mapping(Mapping&& other) noexcept { swap(other); }
  Mapping& operator=(Mapping&& other) noexcept {
    Mapping(std::move(other)).swap(*this);
    return *this;
  }
  ~Mapping();

  std::byte* data() const { return data_; }
  Bytes size() const { return size_; }

  // Precondition of these: page-aligned and inside the mapping.
  Result<void> protect(u64 offset, Bytes size, Protection protection);
  // Gives the pages of an anonymous mapping back to the host: they read as zeros.
  void discard(u64 offset, Bytes size);
  // The same for many ranges, by one call where the host's kernel has it (Linux 6.15): most of the time goes
  // into telling the other CPUs, which is then done once.
  struct Range {
    u64 offset = 0;
    Bytes size;
  };
  void discard(std::span<const Range> ranges);
  // Whether the host may back the mapping with huge pages; only a hint. Default: the host's own policy.
  void allow_huge_pages(bool allow);
  // Makes the pages of a range present and writable, which spares each its fault. A hint: where the host has
  // no memory or does not know how, the first use faults as ever.
  void populate(u64 offset, Bytes size);
  // The same for kHugePage bytes of an anonymous mapping that holds nothing there, as one huge page where the
  // host gives one. Precondition: `offset` is a multiple of it.
  void populate_huge(u64 offset);
  // Moves what lies in the kHugePage bytes there into one huge page. False: the host has none, or does not
  // know how (before Linux 6.1). Precondition: `offset` is a multiple of it.
  bool collapse(u64 offset);
  // Cuts the huge page there, if it is one, so that what discard() takes of it goes back to the host at once.
  void split_huge(u64 offset);
  // How much of an anonymous mapping the host's kernel holds now. Looks at each page.
  Bytes resident() const;

 private:
  static Result<Mapping> place(Bytes size, Protection protection, int flags, const Fd* file, u64 offset);
  bool covers(u64 offset, Bytes size) const;
  void swap(Mapping& other) noexcept;

  std::byte* data_ = nullptr;
  Bytes size_;
  std::byte* reserved_ = nullptr;  // with the guards and what alignment took
  u64 reserved_size_ = 0;
};

}  // namespace cloister::os
