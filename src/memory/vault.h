// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "base/os/fd.h"
#include "base/os/mapping.h"
#include "base/result.h"
#include "base/units.h"

// Sharing between cells, as seen from one of them.
//
// A *vault* is a memory file that belongs to the daemon, one for each trust group. Each of its frames has a
// slot, a count of references in the daemon's books, and a content that never changes while the count is
// above 0. Cells map it read-only, once, so a shared page costs them no mapping of its own. Only the
// daemon writes it: cells are handed a read-only descriptor (os::MemFile::read_only()).
//
// How two pages come to be one frame. A cell walks its pages in random order (GuestMemory::hash()) and tells
// the daemon their hashes, as hints. When two hints meet, the daemon has one cell send the content of its
// page and copies it into a free slot itself; then it offers the slot to both cells, with a reference each
// (GuestMemory::share()). Each compares in full, after it has write-protected its page: a wrong hint, or a
// cell that lied about its content, costs a reference that comes back, and nothing else.
namespace cloister::memory {

class Vault {
 public:
  // Maps `capacity` frames. Refused: a file that is shorter, or one that could be written through `file`.
  static Result<Vault> map(os::Fd file, Pages capacity);

  Pages capacity() const { return {mapping_.size().raw >> kPageShift}; }
  // Precondition: slot < capacity(). To be read only while the cell has a reference.
  const std::byte* frame(u32 slot) const { return mapping_.data() + (u64{slot} << kPageShift); }

 private:
  explicit Vault(os::Mapping mapping) : mapping_(std::move(mapping)) {}
  os::Mapping mapping_;
};

// Who is told that references are given back. Any thread, with no lock taken; must not block.
class VaultBooks {
 public:
  virtual ~VaultBooks() = default;
  // One reference to each slot; a slot may be there twice. Nothing of the VM reads these frames any more.
  virtual void released(std::span<const u32> slots) = 0;
};

struct ShareOffer {
  Gpn page;
  u32 slot;  // with a reference for this page
};
// What became of an offer. All but kShared give the reference back, by released().
enum class ShareAnswer : u8 {
  kShared,
  kDiffers,  // the page's content is another
  kBusy,     // pinned or changing: worth another try later
  kRefused,  // no memory, no private page, or no such slot
};

}  // namespace cloister::memory
