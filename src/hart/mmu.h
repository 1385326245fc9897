// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>

#include "base/units.h"
#include "hart/state.h"
#include "isa/cause.h"
#include "isa/pte.h"
#include "memory/guest_memory.h"

namespace cloister::hart {

// A page as the guest's tables map it. Its permissions are those of the use that was asked for; `dirty` says
// that its D bit is set, so that a store needs no walk.
struct Mapped {
  Gpn page;
  u8 page_shift = kPageShift;
  bool writable = false;  // stores are allowed and D is set
  bool global = false;    // in all address spaces
};

// How addresses are translated now: satp, and what of sstatus matters.
struct Regime {
  u64 satp = 0;
  bool supervisor = true;
  bool sum = false;
  bool mxr = false;
};

// The page-table walker: Sv39, Sv48, Sv57 with Svnapot, Svpbmt (every memory is main memory here: the types
// are checked, and make no difference), Svadu (A and D are set by compare-and-swap) and Svvptc (an entry that
// is not valid is never kept, so one that becomes valid is seen at once).
class Walker {
 public:
  Walker(memory::GuestMemory& memory) : memory_(memory) {}
  void attach(memory::GuestMemory::HolderId holder) { holder_ = holder; }

  // The page of `va`, or nothing with the exception's cause in `fault`. A safe point.
  std::optional<Mapped> walk(const Regime& regime, u64 va, Use use, isa::Cause& fault);

  // The same for fetching, but nothing where that would set A too.
  std::optional<Mapped> look(const Regime& regime, u64 va);

  // The frames of page tables that this keeps are no longer valid.
  void forget() {
    tables_.fill({});
    forget_ways();
  }
  // What this keeps of page tables' upper levels may have changed: every fence but those for one address.
  void forget_ways() { ways_.fill({}); }

 private:
  struct Leaf {
    u64 entry;
    u32 level;
    GuestPhys place;  // of the entry
    bool global;
  };
  // From a root to a table of the last level, which maps 2 MiB.
  struct Way {
    u64 satp = 0;
    u64 stretch = ~u64{0};  // va >> 21
    GuestPhys table;
    const std::byte* host = nullptr;
    bool global = false;
  };
  struct Table {
    Gpn page{~u64{0}};
    const std::byte* host = nullptr;
  };
  enum class Found : u8 { kLeaf, kPageFault, kAccessFault };

  Found find_leaf(const Regime& regime, const isa::PagingShape& shape, u64 va, Leaf& leaf);
  Found look_at(u64 entry, u32 level, GuestPhys place, bool global, Leaf& leaf);
  void note_way(const Regime& regime, u64 va, GuestPhys table, const std::byte* host, bool global);
  bool mark(const Leaf& leaf, u64 bits);
  const std::byte* table_at(Gpn page);

  memory::GuestMemory& memory_;
  memory::GuestMemory::HolderId holder_{};
  std::array<Table, 64> tables_;  // direct-mapped by page
  std::array<Way, 256> ways_;     // direct-mapped by stretch
};

// Where a guest address leads.
struct Place {
  enum class Kind : u8 { kMemory, kDevice, kFault };
  Kind kind = Kind::kFault;
  isa::Cause fault{};
  GuestPhys address;          // kMemory, kDevice
  std::byte* host = nullptr;  // kMemory
};

// Translates `va` for `use` and remembers it in the soft TLB when it is memory. A safe point: host addresses
// found before are no longer valid.
Place locate(State& s, u64 va, Use use);
// A store of zeros to all of the page of `va`: where locate() would lead, but `host` is nullptr where nothing
// is left to be cleared.
Place locate_to_clear(State& s, u64 va);

// The page that code at `va` is fetched from, if that can be told without a change that the guest could see.
// Remembered in the soft TLB. A safe point.
std::optional<Gpn> look_for_code(State& s, u64 va);

// The page of `va` as the hart may use it now, past the soft TLB; nothing when it may not. A safe point.
std::optional<Mapped> walk(Core& core, u64 va, Use use);

// Fences on the hart's own translations, for all addresses.
void fence_all(Core& core);
void fence_space(Core& core, u16 asid);

// After a change of satp, the privilege, or of what of sstatus matters.
void refresh_context(Core& core);

}  // namespace cloister::hart
