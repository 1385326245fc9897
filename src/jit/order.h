// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "base/units.h"
#include "hart/block.h"
#include "jit/ir/region.h"
#include "jit/x64/features.h"
#include "jit/x64/image.h"

// A region that a hart wants, and what was made of it. Whoever makes it looks at the order alone and at
// nothing of the hart, so any thread may.
namespace cloister::jit {

// Quickly, or with all passes and larger limits, or so and of several pages.
enum class Tier : u8 { kFirst, kFinal, kWide };

using PageCopy = std::array<std::byte, kPageSize>;
using Offsets = hart::BlockCache::Starts;  // in a page: a bit for each that an instruction may have

// Offsets count from the virtual address of the first page.
struct Order {
  struct Page : ir::CodePage {
    PageCopy bytes;
    Offsets
        wanted;  // blocks that are worth their place: what was executed, and in the first tier has no code
    Offsets ways_in;  // of a wide region: where others have code below
  };
  // Bound: as many look-ups when a wide region is entered in another address space.
  static constexpr std::size_t kMostPages = 4;

  std::vector<Page> pages{1};
  u16 offset = 0;  // of the block that the region begins with
  Tier tier = Tier::kFirst;
  bool is_alone = false;   // the hart is its machine's only one
  x64::Features features;  // of the CPU that it is for
  u64 pc = 0;              // where the guest was,
  bool supervisor = true;  // and in which mode
  struct Runs {
    i32 offset;
    u64 count;
  };
  std::vector<Runs> runs;        // of blocks that code made before counts
  std::vector<i32> short_loops;  // their heads, as found when code was made for good

  // Of one page, none of whose blocks is known, with the memory that it had.
  void clear();
  GuestPhys address() const { return pages[0].number.address() + offset; }
  const Page* page_at(i32 distance) const;  // nullptr: none
};

// What code was made of, in one page.
struct Material : ir::CodePage {
  struct Span {
    u16 begin;
    u16 end;
  };
  std::vector<Span> spans;       // offsets in the page, rising and apart
  std::vector<std::byte> bytes;  // that lay there, one span's behind the other's

  // Whether that stands in the page, which lies at `now`.
  bool is_in(const std::byte* now) const;
  void copy_to(PageCopy& copy) const;
};

struct Product {
  u16 offset = 0;  // of the block that it was ordered for
  Tier tier = Tier::kFirst;
  u64 pc = 0;                       // where the guest was when it ordered,
  bool supervisor = true;           // and in which mode
  std::vector<Material> materials;  // by page, as in the region
  u32 steps = 0;                    // guest instructions
  std::vector<i32> short_loops;     // heads
  x64::Image image;                 // without entries: nothing can be made of it

  // Where an offset from the first page is in memory. Precondition: in one of the pages.
  GuestPhys address_of(i32 at) const;
  GuestPhys address() const { return address_of(offset); }
  Bytes size() const;  // about, in memory
  bool has_entry(i32 at) const;
  // Whether it was made of what stands in its pages; `now` says where a page lies, or nullptr.
  template <typename Now>
  bool is_of(Now now) const {
    return std::all_of(materials.begin(), materials.end(), [&](const Material& material) {
      const std::byte* const place = now(material.number);
      return place != nullptr && material.is_in(place);
    });
  }
  // Likewise, of what the order's pages were, at the same distances.
  bool is_of(const Order& order) const;
};

std::shared_ptr<const Product> make(const Order& order);

}  // namespace cloister::jit
