// SPDX-License-Identifier: Apache-2.0
//
// How equal pages are found
//
// Cells draw pages of their guests at random and tell their hashes. A hash that nobody told before is kept as
// a hint: nothing is protected, so a page that changes meanwhile costs nothing. When a second page has the
// hash of a hint, the hinted page is read anew and hashed again, here; if it is still the same, its content
// is copied into a frame of the group's vault, which no cell can write, and the frame is offered to both.
// Each compares in full, after it has write-protected its page. So a wrong hint, or a cell that lies about
// what it holds, wastes a frame for a moment and does nothing else. A page whose hash is in the vault already
// is offered that frame at once.
//
// Machines of different trust groups never meet here: each group has a vault and hints of its own, and a
// machine that names no group is a group by itself. To compare pages with a stranger's would tell it, by
// the time a write takes, what the stranger has in memory.
//
// The budget is a share of the time of one CPU of the host. What it took is paid for afterwards: cells
// measure what their housekeepers spent, and tell it with the hashes; this side measures itself; and what the
// messages cost beside that has a price. Nobody is asked for hashes before that is paid. A cell that tells
// too little is charged the least that it can have taken, one that tells too much no more than there was
// time.
#include "host/sharing.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/os/clock.h"

namespace cloister::host {

using cell::control::Content;
using cell::control::Hashes;
using cell::control::PageHash;
using cell::control::Unshared;

namespace {

// Nanoseconds of a CPU.
constexpr i64 kMessageCost = 50'000;    // one asked and one answered, for the threads that are woken
constexpr i64 kLeastHashCost = 300;     // of a page
constexpr i64 kUsualCost = 2'000'000;   // of one cell's answer, until it is known
constexpr i64 kMostSaved = 20'000'000;  // what was saved up while nobody had to be asked

}  // namespace

Sharing::Sharing(const Settings& settings, Events& events, Governor& governor)
    : settings_(settings), events_(events), governor_(governor), random_(1) {
  governor_.set_vault_use([this](const Cell& cell) {
    const auto found = members_.find(&cell);
    if (found == members_.end()) return Governor::VaultUse{};
    const Group& group = *found->second.group;
    return Governor::VaultUse{group.vault->held_by(found->second.holder), group.members};
  });
}

// The frames of the vaults are given back by whoever owns the books' end.
Sharing::~Sharing() { governor_.set_vault_use({}); }

Sharing::Group& Sharing::group_of(const Cell& cell) {
  const std::string& named = cell.order().terms.trust_group;
  // A name cannot hold a slash: so no machine's own group is ever another's named one.
  const std::string name = named.empty() ? "/" + cell.name() : named;
  Group& group = groups_[name];
  group.name = name;
  return group;
}

void Sharing::join(Cell& cell) {
  if (members_.contains(&cell) || settings_.scan_share == 0) return;
  Group& group = group_of(cell);
  if (!group.vault) {
    auto made = Vault::create("cloister-vault", Pages{settings_.pool.raw >> kPageShift});
    if (!made.ok()) return events_.say(LogLevel::kWarning, cell.name(), "vault", made.failure().message);
    group.vault = std::make_unique<Vault>(made.take());
  }
  const auto descriptor = group.vault->descriptor();
  if (!descriptor.ok())
    return events_.say(LogLevel::kWarning, cell.name(), "vault", descriptor.failure().message);
  ++group.members;
  members_[&cell] = {&cell, &group, next_holder_++, false, os::monotonic_now(), {}, {}};
  cell.send(cell::control::VaultIs{group.vault->capacity().raw}, *descriptor);
}

void Sharing::leave(const Cell& cell) {
  const auto found = members_.find(&cell);
  if (found == members_.end()) return;
  Group& group = *found->second.group;
  const auto holder = found->second.holder;
  governor_.give_vault_frames(group.vault->release_all(holder));
  std::erase_if(group.hints, [&](const auto& hint) { return hint.second.holder == holder; });
  members_.erase(found);
  if (--group.members == 0) {
    CHECK(group.vault->used() == Pages{});
    groups_.erase(std::string(group.name));
  }
}

void Sharing::lost(const Cell& cell) {
  const auto found = members_.find(&cell);
  if (found == members_.end()) return;
  found->second.asked = false;
  found->second.reading.clear();
}

void Sharing::said(Cell& cell, const cell::control::Message& message) {
  const auto found = members_.find(&cell);
  if (found == members_.end()) return;
  const Nanos begin = os::thread_time();
  if (const auto* hashes = std::get_if<Hashes>(&message)) on_hashes(found->second, *hashes);
  if (const auto* content = std::get_if<Content>(&message)) on_content(found->second, *content);
  if (const auto* unshared = std::get_if<Unshared>(&message)) on_unshared(found->second, *unshared);
  for (auto& [other, member] : members_) tell_offers(member);
  budget_ -= static_cast<i64>((os::thread_time() - begin).raw);
  // The next question follows the answer, if it can be paid.
  if (std::holds_alternative<Hashes>(message)) tick(os::monotonic_now());
}

void Sharing::tick(Nanos now) {
  const Nanos since = now - last_tick_;
  last_tick_ = now;
  budget_ += static_cast<i64>(std::min(since.raw, u64{1'000'000'000}) * settings_.scan_share / 100);
  budget_ = std::min(budget_, kMostSaved);
  std::vector<Member*> idle;
  i64 awaited = 0;  // what is not paid yet
  for (auto& [cell, member] : members_) {
    if (member.asked) awaited += kUsualCost;
    if (!member.asked && cell->connected() && cell->state() == CellState::kRunning) idle.push_back(&member);
  }
  for (; !idle.empty() && budget_ > awaited; awaited += kUsualCost) {
    const std::size_t pick = random_.below(idle.size());
    Member& member = *idle[pick];
    idle.erase(idle.begin() + static_cast<std::ptrdiff_t>(pick));
    budget_ -= kMessageCost;
    member.asked = true;
    member.cell->send(cell::control::HashPages{next_order_++, cell::control::kMostHashes});
  }
}

void Sharing::on_hashes(Member& member, const Hashes& hashes) {
  member.asked = false;
  const i64 least = hashes.count * kLeastHashCost;
  const Nanos now = os::monotonic_now();
  const i64 most = std::max(least, static_cast<i64>((now - std::exchange(member.told_at, now)).raw));
  budget_ -= std::clamp(i64{hashes.micros} * 1000, least, most);
  for (u32 i = 0; i < hashes.count; ++i) {
    if (hashes.pages[i].page < member.cell->order().size().raw) on_hash(member, hashes.pages[i]);
  }
}

void Sharing::on_hash(Member& member, PageHash page) {
  Group& group = *member.group;
  const Hint hint{member.holder, page.page};
  if (const auto frame = group.vault->find(page.hash)) return offer(group, hint, *frame);
  const auto known = group.hints.find(page.hash);
  if (known == group.hints.end()) {
    if (group.hints.size() >= kMostHints) group.hints.erase(group.hints.begin());
    group.hints.emplace(page.hash, hint);
    return;
  }
  const Hint first = known->second;
  if (first.holder == hint.holder && first.page == hint.page) return;
  Member* owner = find(first.holder);
  if (owner == nullptr || !owner->cell->connected() || owner->reading.size() >= kMostReading) return;
  group.hints.erase(known);
  const u64 order = next_order_++;
  owner->reading[order] = {page.hash, first, hint};
  budget_ -= kMessageCost;
  owner->cell->send(cell::control::ReadPage{order, first.page});
}

void Sharing::on_content(Member& member, const Content& content) {
  const auto found = member.reading.find(content.order);
  if (found == member.reading.end()) return;
  const Match match = found->second;
  member.reading.erase(found);
  Group& group = *member.group;
  const bool same = content.known != 0 && XXH3_64bits(content.bytes, kPageSize) == match.hash;
  if (!same) {
    group.hints[match.hash] = match.second;  // the first has changed; the second is the better hint now
    return;
  }
  if (!governor_.take_vault_frame()) return;
  const auto frame = group.vault->put(match.hash, content.bytes);
  if (!frame) return governor_.give_vault_frames(Pages{1});
  offer(group, match.first, *frame);
  offer(group, match.second, *frame);
  governor_.give_vault_frames(group.vault->drop_unreferred(*frame));
}

void Sharing::offer(Group& group, const Hint& to, u32 frame) {
  Member* member = find(to.holder);
  if (member == nullptr || !member->cell->connected()) return;
  group.vault->refer(to.holder, frame);
  member->offers.offers[member->offers.count++] = {to.page, frame, 0};
  if (member->offers.count == cell::control::kMostOffers) tell_offers(*member);
}

void Sharing::tell_offers(Member& member) {
  if (member.offers.count == 0) return;
  member.cell->send(member.offers);
  member.offers = {};
}

void Sharing::on_unshared(Member& member, const Unshared& unshared) {
  Pages freed;
  for (u32 i = 0; i < unshared.count; ++i) {
    if (!member.group->vault->release(member.holder, unshared.frames[i], freed)) {
      events_.say(LogLevel::kError, member.cell->name(), "lied",
                  "it gives back a shared frame that it was not given");
    }
  }
  governor_.give_vault_frames(freed);
}

Sharing::Member* Sharing::find(Vault::HolderId holder) {
  for (auto& [cell, member] : members_) {
    if (member.holder == holder) return &member;
  }
  return nullptr;
}

Pages Sharing::frames() const {
  Pages frames;
  for (const auto& [name, group] : groups_) frames += group.vault ? group.vault->used() : Pages{};
  return frames;
}

u64 Sharing::references() const {
  u64 references = 0;
  for (const auto& [name, group] : groups_) references += group.vault ? group.vault->references() : 0;
  return references;
}

void Sharing::check_invariants() const {
  for (const auto& [name, group] : groups_) {
    if (group.vault) group.vault->check_invariants();
  }
  CHECK(frames() == governor_.vault_frames());
}

}  // namespace cloister::host
