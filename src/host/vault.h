// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/os/mapping.h"
#include "base/os/mem_file.h"
#include "base/result.h"
#include "base/units.h"

namespace cloister::host {

// The frames that the cells of one trust group share: a memory file that the daemon alone writes, and who has
// how many references to which of its frames. A frame's content never changes while there is a reference to
// it. Not thread safe.
class Vault {
 public:
  using HolderId = u64;

  // Costs no memory until something is put in. Refused: no address space.
  static Result<Vault> create(const std::string& name, Pages capacity);

  Pages capacity() const { return Pages{file_.size().raw >> kPageShift}; }
  Pages used() const { return used_; }
  // A descriptor for a cell, for reading only.
  Result<os::Fd> descriptor() const { return file_.read_only(); }

  // The frame with this hash, when there is one.
  std::optional<u32> find(u64 hash) const;
  // Copies a page into a free frame. Nothing when there is none, or the hash is taken.
  // Precondition: content.size() == kPageSize.
  std::optional<u32> put(u64 hash, std::span<const std::byte> content);
  // One reference more, which that holder is told of. Precondition: the frame is in use.
  void refer(HolderId holder, u32 frame);
  // One reference less. False, with nothing done, when the holder has none to that frame. `freed` counts
  // frames that are nobody's any more: they are the host's again.
  [[nodiscard]] bool release(HolderId holder, u32 frame, Pages& freed);
  // All of a holder that is gone.
  Pages release_all(HolderId holder);
  // Frees a frame that was put in and that nobody came to refer to.
  Pages drop_unreferred(u32 frame);

  u64 references() const { return references_; }
  Pages held_by(HolderId holder) const;  // how many frames it has references to
  void check_invariants() const;

 private:
  struct Frame {
    u64 hash = 0;
    u64 references = 0;
    bool in_use = false;
  };
  Vault(os::MemFile file, os::Mapping mapping) : file_(std::move(file)), mapping_(std::move(mapping)) {}
  void free_frame(u32 frame);

  os::MemFile file_;
  os::Mapping mapping_;
  std::vector<Frame> frames_;  // as far as ever used
  std::vector<u32> free_;
  std::unordered_map<u64, u32> by_hash_;
  std::unordered_map<HolderId, std::unordered_map<u32, u64>> held_;
  Pages used_;
  u64 references_ = 0;
};

}  // namespace cloister::host
