// SPDX-License-Identifier: Apache-2.0
#include "lib/reservation.h"

#include <cloister/guest.h>
#include <errno.h>
#include <sys/mman.h>

#include <algorithm>

// A balloon that dies for nothing.
//
// Each limit that a system has on a program's memory shows at another moment. RLIMIT_AS shows when address
// space is reserved: so that is done once, at the start, for as much as there is. RLIMIT_DATA and strict
// overcommit show when pages become writable: that is done a piece at a time, and a piece that is refused is
// halved down to one page, so the balloon ends at the limit exactly. A cgroup's limit shows only by the OOM
// killer: who knows of one must ask for less.
//
// Pieces are of 2 MiB and aligned, and the stretch is marked for huge pages: the kernel then fills a piece by
// one fault where it can, and by faults of 4 KiB where it cannot. A smaller piece lies in a mapping smaller
// than a huge page, so nothing more than what is given is touched. Where the host writes the value itself,
// the pages only have to be there, and one call to the kernel makes them so.
namespace cloister::guest {
namespace {

constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
// Left of a limited address space to the rest of the program.
constexpr std::uint64_t kLeftFree = 32 << 20;

std::uint64_t whole_pieces(std::uint64_t bytes) { return bytes / Reservation::kPiece * Reservation::kPiece; }

void advise(void* at, std::uint64_t bytes) {
  madvise(at, bytes, MADV_HUGEPAGE);  // a kernel without huge pages knows none
  madvise(at, bytes, MADV_DONTFORK);
}

void write(char* page, const Mark& mark) {
  auto* words = reinterpret_cast<volatile std::uint64_t*>(page);
  for (int i = 0; i < 4; ++i) words[i] = mark.words[i];
}

// False: there is no memory. Kernels before 5.14 know no such call.
bool make_present(char* first, std::uint64_t bytes) {
#ifdef MADV_POPULATE_WRITE
  constexpr int kPopulate = MADV_POPULATE_WRITE;
#else
  constexpr int kPopulate = 23;
#endif
  if (madvise(first, bytes, kPopulate) == 0) return true;
  if (errno == ENOMEM) return false;
  for (std::uint64_t offset = 0; offset < bytes; offset += Reservation::kPage) write(first + offset, {});
  return true;
}

}  // namespace

Reservation::~Reservation() {
  if (base_ != nullptr) munmap(base_, ring_);
}

// Address space is reserved with a piece more, and the ends that make it unaligned go back.
bool Reservation::reserve(std::uint64_t bytes) {
  void* all = mmap(nullptr, bytes + kPiece, PROT_NONE, kFlags, -1, 0);
  if (all == MAP_FAILED) return false;
  char* first = static_cast<char*>(all);
  const auto address = reinterpret_cast<std::uintptr_t>(all);
  const std::uint64_t before = (kPiece - address % kPiece) % kPiece;
  if (before != 0) munmap(first, before);
  munmap(first + before + bytes, kPiece - before);
  base_ = first + before;
  ring_ = bytes;
  return true;
}

int Reservation::open(std::uint64_t most, Give give, const Mark* mark) {
  if (mark != nullptr) mark_ = *mark;
  give_ = give;
  std::uint64_t wanted = whole_pieces(most + kPiece - 1);
  if (wanted == 0 || wanted < most) return CLOISTER_BAD_ARGUMENT;
  if (!reserve(wanted)) {
    std::uint64_t fits = 0;
    for (std::uint64_t step = whole_pieces(wanted / 2); step != 0; step = whole_pieces(step / 2)) {
      if (!reserve(fits + step)) continue;
      munmap(base_, ring_);
      base_ = nullptr;
      fits += step;
    }
    ring_ = 0;
    if (fits <= kLeftFree || !reserve(fits - kLeftFree)) return CLOISTER_NO_ROOM;
  }
  advise(base_, ring_);
  return CLOISTER_OK;
}

int Reservation::grow(std::uint64_t bytes, std::uint64_t* grown) {
  std::uint64_t done = 0;
  int status = CLOISTER_OK;
  for (bytes = bytes / kPage * kPage; done < bytes && status == CLOISTER_OK;) {
    std::uint64_t piece = std::min({bytes - done, kPiece - tail_ % kPiece, ring_ - size()});
    status = piece == 0 ? CLOISTER_NO_ROOM : open_up(&piece);
    std::uint64_t taken = 0;
    if (status == CLOISTER_OK) status = give_piece(piece, &taken);
    done += taken;
  }
  if (grown != nullptr) *grown = done;
  return status;
}

// Makes the piece at the tail writable; halves it while that is refused.
int Reservation::open_up(std::uint64_t* piece) {
  while (mprotect(at(tail_), *piece, PROT_READ | PROT_WRITE) != 0) {
    if (*piece == kPage) return CLOISTER_NO_ROOM;
    *piece = std::max(*piece / 2 / kPage * kPage, kPage);
  }
  return CLOISTER_OK;
}

int Reservation::give_piece(std::uint64_t piece, std::uint64_t* taken) {
  char* first = at(tail_);
  for (std::uint64_t offset = 0; mark_ && offset < piece; offset += kPage) write(first + offset, *mark_);
  std::uint64_t pages = 0;
  const bool there = mark_ || make_present(first, piece);
  const int status = there ? give_(first, piece / kPage, &pages) : int{CLOISTER_NO_ROOM};
  *taken = pages * kPage;
  tail_ += *taken;
  if (*taken != piece) let_go(tail_, piece - *taken);
  return status;
}

// A new mapping in place of the old: the pages are gone, and what was promised of them too.
void Reservation::let_go(std::uint64_t from, std::uint64_t bytes) {
  while (bytes != 0) {
    char* first = at(from);
    const std::uint64_t here = std::min(bytes, ring_ - from % ring_);
    if (mmap(first, here, PROT_NONE, kFlags | MAP_FIXED, -1, 0) == MAP_FAILED)
      madvise(first, here,
              MADV_DONTNEED);  // the kernel has no room for a mapping more; the pages go all the same
    advise(first, here);
    from += here;
    bytes -= here;
  }
}

std::uint64_t Reservation::shrink(std::uint64_t bytes) {
  const std::uint64_t released = std::min(bytes / kPage * kPage, size());
  let_go(head_, released);
  head_ += released;
  return released;
}

}  // namespace cloister::guest
