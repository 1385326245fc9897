// SPDX-License-Identifier: Apache-2.0
#include "policy/memory/client_tree.h"

#include <algorithm>
#include <charconv>
#include <utility>

namespace cloister::policy::memory {
namespace {

struct LevelName {
  const char* name;
  ShareLevel level;
};
constexpr LevelName kLevels[] = {
    {"low", ShareLevel::kLow}, {"normal", ShareLevel::kNormal}, {"high", ShareLevel::kHigh}};

Shares per_size(ShareLevel level, Units size) {
  const u64 steps = (size.raw + kUnitsPerShareLevel.raw - 1) / kUnitsPerShareLevel.raw;
  return {std::max<u64>(steps, 1) * static_cast<u64>(level)};
}

}  // namespace

Result<ShareSetting> parse_shares(std::string_view text) {
  for (const LevelName& row : kLevels) {
    if (text == row.name) return ShareSetting(row.level);
  }
  u64 number = 0;
  const char* end = text.data() + text.size();
  const auto [stop, status] = std::from_chars(text.data(), end, number);
  if (status != std::errc() || stop != end || number == 0 || number > kMaxShares.raw) {
    return error("shares '{}' are not low, normal, high or a whole number from 1 to {}", text,
                 kMaxShares.raw);
  }
  return ShareSetting(Shares{number});
}

std::string format_shares(const ShareSetting& shares) {
  if (const Shares* number = std::get_if<Shares>(&shares)) return fmt::format("{}", number->raw);
  for (const LevelName& row : kLevels) {
    if (row.level == std::get<ShareLevel>(shares)) return row.name;
  }
  return {};
}

ClientTree::ClientTree(Tax tax) : tax_(tax) {
  CHECK(tax.rate <= kMaxTax);
  slots_.emplace_back(Node{});
}

const ClientTree::Node& ClientTree::node(ClientId id) const {
  CHECK(contains(id));
  return *slots_[id.raw];
}

std::optional<ClientId> ClientTree::find(std::string_view name) const {
  const auto found = names_.find(name);
  return found == names_.end() ? std::nullopt : std::optional(found->second);
}

std::vector<ClientId> ClientTree::clients() const {
  std::vector<ClientId> found;
  for (u32 i = 1; i < bound(); ++i) {
    if (slots_[i] && slots_[i]->kind == NodeKind::kClient) found.push_back({i});
  }
  return found;
}

Result<void> ClientTree::check_settings(const Node& node, const Settings& settings) const {
  const std::string& name = node.name;
  const Units min = settings.min;
  if (const Shares* shares = std::get_if<Shares>(&settings.shares)) {
    if (shares->raw == 0 || *shares > kMaxShares)
      return error("{}: {} shares; give 1 to {}", name, shares->raw, kMaxShares.raw);
  }
  if (settings.tax_rate && *settings.tax_rate > kMaxTax) {
    return error("{}: an idle tax of {}.{:04} %; give at most 99 %", name, settings.tax_rate->raw / 10'000,
                 settings.tax_rate->raw % 10'000);
  }
  if (min > kMaxUnits)
    return error("{}: a minimum of {} pages; at most {} can be counted", name, min.raw, kMaxUnits.raw);
  if (settings.limit && settings.limit->raw == 0)
    return error("{}: a limit of 0; leave it out for none, or stop the machine", name);
  if (settings.limit && min > *settings.limit) {
    return error("{}: the minimum of {} pages is over the limit of {}; lower one or raise the other", name,
                 min.raw, settings.limit->raw);
  }
  if (node.kind == NodeKind::kClient && min > node.size) {
    return error("{}: the minimum of {} pages is over the size of {}; lower it", name, min.raw,
                 node.size.raw);
  }
  return {};
}

Result<ClientId> ClientTree::add_pool(ClientId parent, std::string name, const Settings& settings) {
  return add({NodeKind::kPool, std::move(name), parent, {}, settings, {}});
}

Result<ClientId> ClientTree::add_client(ClientId parent, std::string name, Units size,
                                        const Settings& settings) {
  const Units there = node(kRoot).size;
  if (size.raw == 0) return error("{}: a size of 0; give at least one page", name);
  if (size > kMaxUnits - there) {
    return error("{}: {} pages beside the {} that are configured; at most {} can be counted", name, size.raw,
                 there.raw, kMaxUnits.raw);
  }
  return add({NodeKind::kClient, std::move(name), parent, size, settings, {}});
}

Result<ClientId> ClientTree::add(Node fresh) {
  if (fresh.name.empty()) return error("a client or pool without a name; give it one");
  if (find(fresh.name)) return error("{} is there already; choose another name", fresh.name);
  if (!contains(fresh.parent) || node(fresh.parent).kind != NodeKind::kPool)
    return error("{}: what is to hold it is not a pool", fresh.name);
  TRY(check_settings(fresh, fresh.settings));
  const ClientId id = free_slot();
  names_.emplace(fresh.name, id);
  at(fresh.parent).children.push_back(id);
  add_size(fresh.parent, fresh.size);
  slots_[id.raw] = std::move(fresh);
  const Result<void> fits = check_limits_above(id);
  if (!fits.ok()) {
    CHECK(remove(id).ok());
    return fits.failure();
  }
  return id;
}

ClientId ClientTree::free_slot() {
  u32 i = first_free_;
  while (i < bound() && slots_[i]) ++i;
  if (i == bound()) slots_.emplace_back();
  first_free_ = i + 1;
  return {i};
}

Result<void> ClientTree::check_limits_above(ClientId id) const {
  for (ClientId pool = node(id).parent; pool != kRoot; pool = node(pool).parent) {
    const Node& above = node(pool);
    if (!above.settings.limit) continue;
    const Units wanted = reserved(pool);
    if (wanted > *above.settings.limit) {
      return error(
          "{}: with it the minimums in pool {} are {} pages, over its limit of {}; lower one or raise it",
          node(id).name, above.name, wanted.raw, above.settings.limit->raw);
    }
  }
  return {};
}

Result<void> ClientTree::change(ClientId id, const Settings& settings) {
  TRY(check_settings(node(id), settings));
  if (id == kRoot && settings.limit) return error("the whole host takes no limit; set the pool's size");
  const Settings before = std::exchange(at(id).settings, settings);
  Result<void> fits = check_own_limit(id);
  if (fits.ok()) fits = check_limits_above(id);
  if (!fits.ok()) at(id).settings = before;
  return fits;
}

Result<void> ClientTree::check_own_limit(ClientId id) const {
  const Node& own = node(id);
  const Units wanted = reserved(id);
  if (!own.settings.limit || wanted <= *own.settings.limit) return {};
  return error("{}: a limit of {} pages is under the minimums within of {}; raise it or lower them", own.name,
               own.settings.limit->raw, wanted.raw);
}

Result<void> ClientTree::remove(ClientId id) {
  if (id == kRoot) return error("the whole host cannot be removed");
  const Node& gone = node(id);
  if (!gone.children.empty())
    return error("{} still holds {}; remove that first", gone.name, node(gone.children[0]).name);
  std::erase(at(gone.parent).children, id);
  if (gone.kind == NodeKind::kClient) subtract_size(gone.parent, gone.size);
  names_.erase(gone.name);
  slots_[id.raw].reset();
  first_free_ = std::min(first_free_, id.raw);
  return {};
}

Result<void> ClientTree::set_tax(Tax tax) {
  if (tax.rate > kMaxTax) return error("an idle tax over 99 %; give less");
  tax_ = tax;
  return {};
}

void ClientTree::add_size(ClientId pool, Units size) {
  for (;; pool = at(pool).parent) {
    at(pool).size += size;
    if (pool == kRoot) return;
  }
}

void ClientTree::subtract_size(ClientId pool, Units size) {
  for (;; pool = at(pool).parent) {
    at(pool).size -= size;
    if (pool == kRoot) return;
  }
}

Shares ClientTree::shares(ClientId id) const {
  const Node& of = node(id);
  if (const Shares* number = std::get_if<Shares>(&of.settings.shares)) return *number;
  return per_size(std::get<ShareLevel>(of.settings.shares), of.size);
}

Tax ClientTree::tax(ClientId id) const {
  std::optional<Fraction> rate;
  std::optional<TaxKind> kind;
  for (ClientId at = id;; at = node(at).parent) {
    const Settings& settings = node(at).settings;
    if (!rate) rate = settings.tax_rate;
    if (!kind) kind = settings.tax_kind;
    if (at == kRoot) break;
  }
  return {kind.value_or(tax_.kind), rate.value_or(tax_.rate)};
}

Units ClientTree::reserved(ClientId id) const {
  const Node& of = node(id);
  Units children{};
  for (const ClientId child : of.children) children += reserved(child);
  return std::max(of.settings.min, children);
}

Units ClientTree::guaranteed(ClientId id) const {
  const Node& of = node(id);
  Units children{};
  for (const ClientId child : of.children) children += guaranteed(child);
  return std::min(std::max(of.settings.min, children), cap(id));
}

Units ClientTree::cap(ClientId id) const {
  const Node& of = node(id);
  Units most = of.size;
  if (of.kind == NodeKind::kPool) {
    most = {};
    for (const ClientId child : of.children) most += cap(child);
  }
  return of.settings.limit ? std::min(most, *of.settings.limit) : most;
}

}  // namespace cloister::policy::memory
