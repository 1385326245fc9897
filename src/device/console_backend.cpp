// SPDX-License-Identifier: Apache-2.0
#include "device/console_backend.h"

#include <algorithm>
#include <utility>

namespace cloister::device {

std::size_t QueuedConsole::offer(std::span<const std::byte> bytes) {
  const std::size_t taken = append(bytes);
  MutexLock lock(listener_mutex_);
  if (taken > 0 && ready_) ready_();
  return taken;
}

std::size_t QueuedConsole::append(std::span<const std::byte> bytes) {
  MutexLock lock(input_mutex_);
  DCHECK(input_.size() <= kInputLimit);
  const auto fitting = bytes.first(std::min(bytes.size(), kInputLimit - input_.size()));
  input_.insert(input_.end(), fitting.begin(), fitting.end());
  return fitting.size();
}

std::size_t QueuedConsole::take_input(std::span<std::byte> to) {
  MutexLock lock(input_mutex_);
  const auto count = std::min(to.size(), input_.size());
  const auto end = input_.begin() + static_cast<std::ptrdiff_t>(count);
  std::copy(input_.begin(), end, to.begin());
  input_.erase(input_.begin(), end);
  return count;
}

void QueuedConsole::set_input_ready(std::function<void()> ready) {
  MutexLock lock(listener_mutex_);
  ready_ = std::move(ready);
}

}  // namespace cloister::device
