// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "hart/translator.h"
#include "jit/code_cache.h"
#include "jit/order.h"
#include "jit/places.h"
#include "jit/workshop.h"
#include "jit/x64/compiler.h"

namespace cloister::jit {

struct TranslatorOptions {
  Bytes code_cache{16 * kMiB};
  std::shared_ptr<CodeAllowance> more_code =
      nullptr;            // what it may have beside that, if others leave it some
  bool is_alone = false;  // the hart is its machine's only one
  // A block entered so often is translated. Bound: translating an instruction costs about as much as
  // interpreting it a few hundred times, and a block that ran 24 times is likely to run thousands of times.
  // Measured: less makes a boot and short programs slower, more what runs some hundred times (exec).
  u32 hot = 24;
  // A region entered so often, or whose loops went round eight times as often, is made anew: by then more of
  // the blocks around it have been executed, and it may be larger.
  u32 very_hot = 1000;
  // Of guest code in such a region, at most.
  std::size_t pages = Order::kMostPages;
  // Which instructions it may use: of the host's CPU, or fewer. All translators of a workshop have the same.
  x64::Features features = x64::Features::of_host();
};

struct TranslatorStatistics {
  u64 regions = 0;   // made
  u64 steps = 0;     // guest instructions in them
  u64 bytes = 0;     // of machine code
  u64 clears = 0;    // times that the cache was full
  u64 changed = 0;   // regions whose guest code had changed
  u64 unlinked = 0;  // jumps within a page to where no code was
  u64 remade = 0;    // regions made anew because they were very hot
  u64 wide = 0;      // regions of several pages
};

// A hart's translations: regions of guest code as machine code, by the guest-physical addresses of their
// blocks.
//
// Code that changed. Stores are not watched. A page's regions are right for one epoch of the hart, which a
// fence.i counts up: enter() compares the page, as it was when they were made, with memory before the first
// of them runs in another epoch. Jump entries are of an epoch too. Within a page regions lead to each other
// without a look, for they are right together.
//
// A region may have code of several pages (wide.cpp).
class Translator final : public hart::Translator {
 public:
  // With a workshop, which the translators of a machine share, regions are made there while the hart goes on;
  // without, at once.
  static Result<std::unique_ptr<Translator>> create(const TranslatorOptions& options,
                                                    std::shared_ptr<Workshop> workshop = nullptr);
  ~Translator() override;

  bool is_hot(u32 heat) const override { return heat == options_.hot; }
  void translate(hart::Core& core, hart::Block& block) override;
  void take_up(hart::Core& core) override;
  void hart_ends() override;
  const void* find(const hart::Block& block) override;
  const void* enter(hart::Core& core, hart::Block& block) override;
  bool renew(hart::Core& core, hart::JumpEntry& jump) override;
  Outcome execute(hart::Core& core, hart::Block& block) override;

  const TranslatorStatistics& statistics() const { return statistics_; }
  std::vector<Figure> figures() const override;
  std::vector<Piece> pieces() const override;
  std::vector<Footprint> footprints() const override;

 private:
  // Guest code and the machine code made of it. Found again by its Header.
  struct Page;
  struct Part {
    Page* page;
    i32 distance;                       // as in the material
    std::vector<Material::Span> spans;  // what the code was made of, offsets in the page
  };
  struct Region {
    x64::Code code;
    std::vector<Part> parts;       // its own page's first
    std::size_t index = 0;         // in regions_
    bool is_final = false;         // never made anew
    bool is_hot = false;           // to be made anew
    u64 pc = 0;                    // where the guest was when it was made,
    bool supervisor = true;        // and in which mode
    std::vector<i32> short_loops;  // as Product's

    bool is_wide() const { return parts.size() > 1; }
    u64 runs(i32 offset) const;  // of the block that begins there, if counted
    bool is_short_loop(i32 head) const;
  };
  // A block with code, and where that is to be entered. Invariant: with a wide region, the way into the other
  // one leads there, and what stands before its own leads back behind that.
  struct Place {
    Region* region;
    const x64::Code::Entry* entry;
    Region* wide = nullptr;  // which lies over it, with a way in here
    const x64::Code::Entry* wide_entry = nullptr;

    bool may_lie_below() const { return !region->is_final && wide == nullptr; }
    const x64::Code::Entry* best() const { return wide != nullptr ? wide_entry : entry; }
  };
  // A page of guest memory that has regions.
  struct Page {
    Gpn number;
    u32 epoch = 0;  // in which they are right
    std::vector<Region*> regions;
    Places<Place> places;  // where blocks with code begin
    // What its regions are made of: of these bytes those of their spans, all within [begin, end).
    std::unique_ptr<PageCopy> bytes;
    u16 begin = kPageSize;
    u16 end = 0;
  };

  Translator(const TranslatorOptions& options, std::unique_ptr<CodeCache> cache,
             std::shared_ptr<Workshop> workshop);
  Page* page_of(u64 address);  // nullptr: it has no regions
  Place* place_of(u64 address);
  void validate(hart::Core& core, Page& page);
  const x64::Code::Entry* right_entry(hart::Core& core, const hart::Block& block);
  void drop_changed(hart::Core& core, Page& page, const PageCopy* now);
  static bool is_of(const Part& part, const std::byte* now);
  void retire(hart::Core& core, Region& region);
  bool take_from_shelf(hart::Core& core, u64 address, Tier tier);
  bool take_from_shelf(hart::Core& core, const Order& order);
  std::unique_ptr<Order> order(hart::Core& core, u64 address, Tier tier);
  void look_around(hart::Core& core, Order& order);
  bool add_page(hart::Core& core, Order& order, i32 offset);
  bool is_warm(const Place& place) const;
  ir::Region choose_pages(hart::Core& core, Order& order);
  ir::Region follow(hart::Core& core, Order& order, std::size_t most);
  bool is_worth_while(const ir::Region& region, const Order& order);
  Offsets known_blocks(Gpn page);
  void deliver(hart::Core& core, const Product& product);
  bool is_news(const Product& product);
  static bool is_better(const Product& product, const Place& place);
  void make_room(hart::Core& core, const Material& material);
  void refuse(hart::Core& core, const Product& product);
  void want_better(hart::Core& core, x64::Header* header);
  void heat_up(Region& region) const;
  void add_region(hart::Core& core, const Product& product, x64::Code code);
  Page& add_part(hart::Core& core, const Material& material);
  void publish(hart::Core& core, Region& region);
  void supersede(Place& place, Region& better, const x64::Code::Entry& entry);
  void publish_wide(hart::Core& core, Region& region);
  void lay_over(const Place& place);
  void lift(hart::Core& core, Region& wide);
  void drop_moved(hart::Core& core, const Page& page, u64 at);
  bool has_moved(hart::Core& core, const Region& wide, u64 at) const;
  static bool lies_below(const Region& region);
  static bool is_in_place(hart::State& state, x64::Header& header);
  bool find_in_place(hart::Core& core, Region& region, x64::Header& header);
  static Place* place_of(const x64::Code::Entry& entry);
  hart::Block* block_of(hart::Core& core, const x64::Code::Entry& entry) const;
  void clear(hart::Core& core);
  void lead(const std::byte* from, const void* to);
  void restore(const x64::Code::Entry& way_in);
  static bool read_page(hart::Core& core, Gpn page, std::span<std::byte, kPageSize> copy);

  const TranslatorOptions options_;
  std::unique_ptr<CodeCache> cache_;
  const x64::Thunks thunks_;
  const std::size_t kept_;  // bytes of the thunks
  std::vector<std::unique_ptr<Region>> regions_;
  std::unordered_map<u64, Page> pages_;                // by number; they stay until all code goes
  Page* last_page_ = nullptr;                          // that was asked for
  std::vector<std::unique_ptr<x64::Header>> retired_;  // of code that is forgotten, but still there
  // The last jump that led nowhere, and where it wants to go.
  const std::byte* open_slot_ = nullptr;
  u64 open_pc_ = 0;
  Gpn open_page_;
  const std::shared_ptr<Workshop> workshop_;
  Workshop::Client client_;
  std::unique_ptr<Order> old_order_;  // to be used again
  TranslatorStatistics statistics_;
};

}  // namespace cloister::jit
