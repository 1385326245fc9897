// SPDX-License-Identifier: Apache-2.0
#include "cell/sharer.h"

#include <algorithm>

#include "base/log.h"
#include "base/os/entropy.h"

namespace cloister::cell {
Sharer::Sharer(memory::GuestMemory& memory, Housekeeper& housekeeper,
               std::function<void(const control::Message&)> tell)
    : memory_(memory), housekeeper_(housekeeper), tell_(std::move(tell)), random_(os::random_number()) {}

Gpn Sharer::page_at(u64 index) const { return Gpn{memory_.base().page() + index}; }

void Sharer::use(os::Fd file, Pages frames) {
  if (vault_) return;
  auto vault = memory::Vault::map(std::move(file), frames);
  if (!vault.ok()) return log(LogLevel::kWarning, "no page is shared: {}", vault.failure().message);
  vault_ = vault.take();
  memory_.set_vault(*vault_, *this);
}

void Sharer::hash(const control::HashPages& order) {
  if (!housekeeper_.post([this, order] { hash_now(order.order, order.count); })) {
    tell_(control::Hashes{order.order, 0, 0, {}});
  }
}

// Drawn at random over the whole memory: most that hold no frame fall out.
void Sharer::hash_now(u64 order, u64 count) {
  const u64 pages = memory_.size().raw >> kPageShift;
  std::vector<Gpn> drawn;
  for (u64 i = 0; i < std::min<u64>(count, control::kMostHashes); ++i)
    drawn.push_back(page_at(random_.below(pages)));
  const auto hashes = memory_.hash(drawn);
  control::Hashes told;
  told.order = order;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    if (!hashes[i]) continue;
    told.pages[told.count++] = {drawn[i].raw - memory_.base().page(), *hashes[i]};
  }
  tell_(told);
}

void Sharer::read(const control::ReadPage& order) {
  housekeeper_.post([this, order] {
    control::Content content;
    content.order = order.order;
    content.page = order.page;
    content.known = order.page < (memory_.size().raw >> kPageShift) &&
                    memory_.read(page_at(order.page).address(), content.bytes);
    tell_(content);
  });
}

// The reference of an offer that nobody can look at comes back at once.
void Sharer::share(const control::Share& order) {
  const auto frame = static_cast<u32>(order.frame);
  const bool posted = vault_ && housekeeper_.post([this, order, frame] {
    const memory::ShareOffer offer{page_at(order.page), frame};
    const auto answers = memory_.share(std::span(&offer, 1));
    const bool mapped = answers[0] == memory::ShareAnswer::kShared;
    tell_(control::Shared{order.order, order.page, frame, mapped ? 1u : 0u});
  });
  if (!posted) released(std::span(&frame, 1));
}

void Sharer::released(std::span<const u32> frames) {
  while (!frames.empty()) {
    control::Unshared back;
    back.count = static_cast<u32>(std::min(frames.size(), control::kMostHashes));
    std::copy_n(frames.begin(), back.count, back.frames);
    tell_(back);
    frames = frames.subspan(back.count);
  }
}

}  // namespace cloister::cell
