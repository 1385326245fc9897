// SPDX-License-Identifier: Apache-2.0
#include "host/vault.h"

#include <cstring>

#include "base/check.h"

namespace cloister::host {

Result<Vault> Vault::create(const std::string& name, Pages capacity) {
  os::MemFile file = TRY(os::MemFile::create(name, bytes_of(capacity)));
  os::Mapping mapping = TRY(file.map(os::Protection::kReadWrite));
  return Vault(std::move(file), std::move(mapping));
}

std::optional<u32> Vault::find(u64 hash) const {
  const auto found = by_hash_.find(hash);
  return found == by_hash_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<u32> Vault::put(u64 hash, std::span<const std::byte> content) {
  CHECK(content.size() == kPageSize);
  if (by_hash_.contains(hash)) return std::nullopt;
  u32 frame = 0;
  if (!free_.empty()) {
    frame = free_.back();
    free_.pop_back();
  } else {
    if (frames_.size() >= capacity().raw) return std::nullopt;
    frame = static_cast<u32>(frames_.size());
    frames_.emplace_back();
  }
  std::memcpy(mapping_.data() + (u64{frame} << kPageShift), content.data(), kPageSize);
  frames_[frame] = {hash, 0, true};
  by_hash_[hash] = frame;
  used_ += Pages{1};
  return frame;
}

void Vault::refer(HolderId holder, u32 frame) {
  CHECK(frame < frames_.size() && frames_[frame].in_use);
  ++frames_[frame].references;
  ++held_[holder][frame];
  ++references_;
}

void Vault::free_frame(u32 frame) {
  CHECK(frames_[frame].in_use && frames_[frame].references == 0);
  by_hash_.erase(frames_[frame].hash);
  frames_[frame] = {};
  free_.push_back(frame);
  used_ -= Pages{1};
  CHECK(file_.punch_hole(u64{frame} << kPageShift, Bytes{kPageSize}).ok());
}

bool Vault::release(HolderId holder, u32 frame, Pages& freed) {
  const auto of_holder = held_.find(holder);
  if (of_holder == held_.end()) return false;
  const auto found = of_holder->second.find(frame);
  if (found == of_holder->second.end()) return false;
  if (--found->second == 0) of_holder->second.erase(found);
  --references_;
  if (--frames_[frame].references != 0) return true;
  free_frame(frame);
  freed += Pages{1};
  return true;
}

Pages Vault::release_all(HolderId holder) {
  Pages freed;
  const auto found = held_.find(holder);
  if (found == held_.end()) return freed;
  for (const auto& [frame, count] : found->second) {
    references_ -= count;
    frames_[frame].references -= count;
    if (frames_[frame].references != 0) continue;
    free_frame(frame);
    freed += Pages{1};
  }
  held_.erase(found);
  return freed;
}

Pages Vault::held_by(HolderId holder) const {
  const auto found = held_.find(holder);
  return {found == held_.end() ? 0 : found->second.size()};
}

Pages Vault::drop_unreferred(u32 frame) {
  CHECK(frame < frames_.size());
  if (!frames_[frame].in_use || frames_[frame].references != 0) return {};
  free_frame(frame);
  return Pages{1};
}

void Vault::check_invariants() const {
  u64 references = 0, used = 0;
  for (const Frame& frame : frames_) {
    references += frame.references;
    used += frame.in_use ? 1 : 0;
    CHECK(frame.in_use || frame.references == 0);
  }
  u64 held = 0;
  for (const auto& [holder, frames] : held_) {
    for (const auto& [frame, count] : frames) held += count;
  }
  CHECK(references == references_ && held == references_ && used == used_.raw && by_hash_.size() == used);
  CHECK(used + free_.size() == frames_.size());
}

}  // namespace cloister::host
