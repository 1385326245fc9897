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

enum class Use : u8 { kFetch, kLoad, kStore };

// A page as the guest's tables map it. Its permissions are those of the use that was asked for; `dirty` says
// that its D bit is set, so that a store needs no walk.
struct Mapped {
  Gpn page;
  u8 page_shift = kPageShift;
  bool writable = false;  // stores are allowed and D is set
};

// How addresses are translated now: satp, and what of sstatus matters.
struct Regime {
  u64 satp = 0;
  bool supervisor = true;
  bool sum = false;
  bool mxr = false;
};

// The page-table walker: Sv39, Sv48, Sv57 with Svnapot, Svpbmt (every memory is main memory here: the types
// are checked, and make no difference) and Svadu (A and D are set by compare-and-swap).
class Walker {
 public:
  Walker(memory::GuestMemory& memory) : memory_(memory) {}
  void attach(memory::GuestMemory::HolderId holder) { holder_ = holder; }

  // The page of `va`, or nothing with the exception's cause in `fault`. A safe point.
  std::optional<Mapped> walk(const Regime& regime, u64 va, Use use, isa::Cause& fault);

  // The frames of page tables that this keeps are no longer valid.
  void forget() { tables_.fill({}); }

 private:
  struct Leaf {
    u64 entry;
    u32 level;
    GuestPhys place;  // of the entry
  };
  struct Table {
    Gpn page{~u64{0}};
    const std::byte* host = nullptr;
  };
  enum class Found : u8 { kLeaf, kPageFault, kAccessFault };

  Found find_leaf(const Regime& regime, const isa::PagingShape& shape, u64 va, Leaf& leaf);
  bool mark(const Leaf& leaf, u64 bits);
  std::optional<u64> load_entry(GuestPhys place);

  memory::GuestMemory& memory_;
  memory::GuestMemory::HolderId holder_{};
  std::array<Table, 64> tables_;  // direct-mapped by page
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

// Fences on the hart's own translations, as sfence.vma's operands say.
void refresh_context(Core& core);

}  // namespace cloister::hart
