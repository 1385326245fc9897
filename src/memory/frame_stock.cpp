// SPDX-License-Identifier: Apache-2.0
#include "memory/frame_stock.h"

#include "base/check.h"

namespace cloister::memory {

Pages FrameStock::take(Pages most) {
  if (source_ == nullptr) return most;
  if (const Pages here = take_here(most); here.raw > 0) return here;
  const Pages asked = batch_for(most);
  return keep_rest(source_->take(asked), asked, most);
}

Pages FrameStock::try_take(Pages most) {
  if (source_ == nullptr) return most;
  if (const Pages here = take_here(most); here.raw > 0) return here;
  const Pages asked = batch_for(most);
  const Pages granted = source_->try_take(asked);
  // What only goes there and back was not given back.
  if (shrinking_.load()) given_back_.fetch_sub(static_cast<i64>(granted.raw));
  return keep_rest(granted, asked, most);
}

Pages FrameStock::take_all(Pages count) {
  if (source_ == nullptr) return count;
  Pages got;
  while (got < count && !shrinking_.load()) {
    const Pages more = try_take(count - got);
    if (more == Pages{}) break;
    got += more;
  }
  if (got == count) return got;
  put(got);
  return {};
}

Pages FrameStock::keep_rest(Pages granted, Pages asked, Pages most) {
  CHECK(granted <= asked);
  const Pages taken = std::min(granted, most);
  stocked_.fetch_add((granted - taken).raw);
  return taken;
}

void FrameStock::put(Pages frames) {
  if (source_ == nullptr || frames.raw == 0) return;
  const Pages now{stocked_.fetch_add(frames.raw) + frames.raw};
  if (shrinking_.load()) {
    give_back_over({0});
  } else if (now > kBatch + kBatch) {
    give_back_over(kBatch);
  }
}

Pages FrameStock::begin_shrinking() {
  given_back_.store(0);
  shrinking_.store(true);
  give_back_over({0});
  return given_back();
}

Pages FrameStock::end_shrinking() {
  shrinking_.store(false);
  return given_back();
}

void FrameStock::give_back_over(Pages kept) {
  const Pages now = stocked();
  if (source_ == nullptr || now <= kept) return;
  const Pages excess = take_here(now - kept);
  if (excess.raw == 0) return;
  given_back_.fetch_add(static_cast<i64>(excess.raw));
  source_->give_back(excess);
}

}  // namespace cloister::memory
