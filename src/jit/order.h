// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "base/units.h"
#include "hart/block.h"
#include "jit/x64/image.h"

// A region that a hart wants, and what was made of it. Whoever makes it looks at the order alone and at
// nothing of the hart, so any thread may.
namespace cloister::jit {

// Quickly, or with all passes and larger limits.
enum class Tier : u8 { kFirst, kFinal };

using PageCopy = std::array<std::byte, kPageSize>;
using Offsets = hart::BlockCache::Starts;  // in a page: a bit for each that an instruction may have

struct Order {
  Gpn page;
  u16 offset = 0;  // of the block that the region begins with
  Tier tier = Tier::kFirst;
  bool is_alone = false;  // the hart is its machine's only one
  u64 pc = 0;             // where the guest was
  PageCopy bytes;
  Offsets wanted;  // blocks that are worth their place: what was executed, and in the first tier has no code
  struct Runs {
    u16 offset;
    u64 count;
  };
  std::vector<Runs> runs;  // of blocks that code made before counts

  GuestPhys address() const { return page.address() + offset; }
};

struct Product {
  Gpn page;
  u16 offset = 0;  // of the block that it was ordered for
  Tier tier = Tier::kFirst;
  u64 pc = 0;  // where the guest was when it ordered
  struct Span {
    u16 begin;
    u16 end;
  };
  std::vector<Span> spans;       // what the code was made of, offsets in the page, rising and apart
  std::vector<std::byte> bytes;  // that lay there, one span's behind the other's
  u32 steps = 0;                 // guest instructions
  x64::Image image;              // without entries: nothing can be made of it

  GuestPhys address() const { return page.address() + offset; }
  Bytes size() const;  // about, in memory
  bool has_entry(u16 at) const;
  // Whether it was made of what stands in the page, which lies at `now`.
  bool is_of(const std::byte* now) const;
  // Puts what it was made of there.
  void copy_to(PageCopy& copy) const;
};

std::shared_ptr<const Product> make(const Order& order);

}  // namespace cloister::jit
