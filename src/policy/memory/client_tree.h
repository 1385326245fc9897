// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "policy/memory/tax.h"

// Who shares the units: clients (VMs, for memory) as leaves of a tree of pools.
namespace cloister::policy::memory {

// In proportion 1 : 2 : 4, for each MiB (of pages of 4 KiB) that the client is configured with, or that is
// configured within the pool.
enum class ShareLevel : u8 { kLow = 1, kNormal = 2, kHigh = 4 };
using ShareSetting = std::variant<ShareLevel, Shares>;
inline constexpr Units kUnitsPerShareLevel{256};

// "low", "normal", "high", or a number from 1 to 2^32. Refuses anything else, naming it.
Result<ShareSetting> parse_shares(std::string_view text);
std::string format_shares(const ShareSetting& shares);

struct Settings {
  ShareSetting shares = ShareLevel::kNormal;
  Units min{};                       // reserved: never taken
  std::optional<Units> limit;        // never granted above, though the client be larger
  std::optional<Fraction> tax_rate;  // none: as the pool above
  std::optional<TaxKind> tax_kind;   // none: as the pool above
};

// Names a client or a pool as long as it is in the tree; then the id may be another's.
struct ClientId {
  u32 raw = 0;
  constexpr auto operator<=>(const ClientId&) const = default;
};
inline constexpr ClientId kRoot{0};

enum class NodeKind : u8 { kPool, kClient };

// Every change is checked as a whole before it is made; an Error names the client, the value and the remedy.
// Whether the minimums fit the host is admission's question (admission.h). Not thread safe.
class ClientTree {
 public:
  struct Node {
    NodeKind kind = NodeKind::kPool;
    std::string name;
    ClientId parent;
    Units size{};  // a client's configured size; for a pool what is configured within
    Settings settings;
    std::vector<ClientId> children;  // in the order of their coming: ties are decided by it
  };

  // The root pool holds everything. `tax` is the host's.
  explicit ClientTree(Tax tax = {});

  // Refused: a name that is taken or empty, a parent that is not a pool, size 0 or too large, settings that
  // contradict each other or the size, minimums that together exceed the limit of a pool above.
  Result<ClientId> add_pool(ClientId parent, std::string name, const Settings& settings);
  Result<ClientId> add_client(ClientId parent, std::string name, Units size, const Settings& settings);
  Result<void> change(ClientId id, const Settings& settings);
  // Refused: a pool that is not empty, the root.
  Result<void> remove(ClientId id);
  Result<void> set_tax(Tax tax);

  bool contains(ClientId id) const { return id.raw < slots_.size() && slots_[id.raw].has_value(); }
  std::optional<ClientId> find(std::string_view name) const;
  // Precondition: contains(id).
  const Node& node(ClientId id) const;
  // Ids are below this.
  u32 bound() const { return static_cast<u32>(slots_.size()); }
  std::vector<ClientId> clients() const;

  Shares shares(ClientId id) const;
  Tax tax(ClientId id) const;
  // What cannot be taken: a pool's own min or its children's together, whichever is more, but no more than
  // cap(). Of a client, its min.
  Units guaranteed(ClientId id) const;
  // What admission has set aside: as guaranteed(), also where a pool has nothing in it yet.
  Units reserved(ClientId id) const;
  // The most that can be granted: size and limit; of a pool, its limit or its children's caps together.
  Units cap(ClientId id) const;

 private:
  Result<ClientId> add(Node node);
  Result<void> check_settings(const Node& node, const Settings& settings) const;
  Result<void> check_own_limit(ClientId id) const;
  Result<void> check_limits_above(ClientId id) const;
  ClientId free_slot();
  Node& at(ClientId id) { return *slots_[id.raw]; }
  void add_size(ClientId pool, Units size);
  void subtract_size(ClientId pool, Units size);

  Tax tax_;
  std::vector<std::optional<Node>> slots_;
  std::map<std::string, ClientId, std::less<>> names_;
  u32 first_free_ = 1;  // no slot below it is free
};

}  // namespace cloister::policy::memory
