// SPDX-License-Identifier: Apache-2.0
#include "cell/sharer.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/os/clock.h"
#include "base/os/entropy.h"

namespace cloister::cell {
namespace {

constexpr int kMostRounds = 8;

}  // namespace

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
  const bool posted = housekeeper_.post([this, order] {
    control::Hashes told;
    told.order = order.order;
    work([&] { hash_now(told, order.count); });
    told.micros = static_cast<u32>(std::exchange(spent_, {}).raw / 1000);
    tell_(told);
  });
  if (!posted) tell_(control::Hashes{order.order, 0, 0, {}});
}

void Sharer::work(std::function<void()> job) {
  const Nanos begin = os::thread_time();
  job();
  spent_ = spent_ + (os::thread_time() - begin);
}

// Drawn at random over the whole memory. Those that have no frame of their own cost next to nothing, so
// others are drawn in their place.
void Sharer::hash_now(control::Hashes& told, u64 count) {
  const u64 pages = memory_.size().raw >> kPageShift;
  count = std::min<u64>(count, control::kMostHashes);
  for (int round = 0; round < kMostRounds && told.count < count; ++round) {
    std::vector<Gpn> drawn;
    for (u64 i = told.count; i < count; ++i) drawn.push_back(page_at(random_.below(pages)));
    const auto hashes = memory_.hash(drawn);
    for (std::size_t i = 0; i < drawn.size(); ++i) {
      if (hashes[i]) told.pages[told.count++] = {drawn[i].raw - memory_.base().page(), *hashes[i]};
    }
  }
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

// The references of offers that nobody can look at come back at once.
void Sharer::share(const control::Share& order) {
  std::vector<memory::ShareOffer> offers;
  for (u64 i = 0; i < order.count; ++i)
    offers.push_back({page_at(order.offers[i].page), order.offers[i].frame});
  const bool posted =
      vault_ && housekeeper_.post([this, offers] { work([&] { (void)memory_.share(offers); }); });
  if (posted) return;
  std::vector<u32> frames;
  for (const memory::ShareOffer& offer : offers) frames.push_back(offer.slot);
  released(frames);
}

void Sharer::released(std::span<const u32> frames) {
  while (!frames.empty()) {
    control::Unshared back;
    back.count = static_cast<u32>(std::min(frames.size(), control::kMostFrames));
    std::copy_n(frames.begin(), back.count, back.frames);
    tell_(back);
    frames = frames.subspan(back.count);
  }
}

}  // namespace cloister::cell
