// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "hart/translator.h"
#include "jit/code_cache.h"
#include "jit/ir/region.h"
#include "jit/x64/compiler.h"

namespace cloister::jit {

struct TranslatorOptions {
  Bytes code_cache{16 * kMiB};
  // A block entered so often is translated. Bound: translating an instruction costs about as much as
  // interpreting it a few hundred times, and a block that ran 16 times is likely to run thousands of times.
  u32 hot = 16;
  // A region entered so often, or whose loops went round eight times as often, is made anew: by then more of
  // the blocks around it have been executed, and it may be larger.
  u32 very_hot = 1000;
};

struct TranslatorStatistics {
  u64 regions = 0;  // made
  u64 steps = 0;    // guest instructions in them
  u64 bytes = 0;    // of machine code
  u64 clears = 0;   // times that the cache was full
  u64 changed = 0;  // regions whose guest code had changed
  u64 remade = 0;   // regions made anew because they were very hot
};

// A hart's translations: regions of guest code as machine code, by the guest-physical addresses of their
// blocks.
//
// Code that changed. Stores are not watched. Each way into a region compares the hart's epoch, which a
// fence.i counts up, with the region's own; a region of an older one is left at once, and execute() compares
// the guest's bytes before the code runs again.
class Translator final : public hart::Translator {
 public:
  static Result<std::unique_ptr<Translator>> create(const TranslatorOptions& options);

  bool is_hot(u32 heat) const override { return heat == options_.hot; }
  void translate(hart::Core& core, hart::Block& block) override;
  Outcome execute(hart::Core& core, hart::Block& block) override;

  const TranslatorStatistics& statistics() const { return statistics_; }
  std::vector<Figure> figures() const override;

 private:
  // Guest code and the machine code made of it. Found again by its Header.
  struct Region {
    x64::Code code;
    Gpn page;
    std::size_t index = 0;  // in regions_
    bool is_final = false;  // never made anew
    bool is_hot = false;    // to be made anew
    struct Span {
      u16 begin;
      u16 end;
    };
    std::vector<Span> spans;       // what the code was made of, offsets in the page
    std::vector<std::byte> bytes;  // of the spans, one behind the other

    const void* entry(u64 offset) const;  // nullptr when no block begins there
    u64 runs(u64 offset) const;           // of the block that begins there, if counted
  };
  struct Place {
    Region* region;
    const void* code;
  };

  Translator(const TranslatorOptions& options, std::unique_ptr<CodeCache> cache);
  const void* find_valid(hart::Core& core, u64 address);
  const void* find_valid(hart::Core& core, x64::Header* header, u64 pc);
  bool validate(hart::Core& core, Region& region);
  void drop(hart::Core& core, Region& region);
  void retire(hart::Core& core, Region& region);
  enum class Tier : u8 { kFirst, kFinal };
  const void* make(hart::Core& core, u64 address, Tier tier);
  ir::Region read(hart::Core& core, u64 address, std::span<const std::byte, kPageSize> page, Tier tier);
  void want_better(hart::Core& core, x64::Header* header);
  void supersede(Region& old, const Region& better);
  void note_sources(Region& region, const ir::Region& made_of, std::span<const std::byte> page);
  void publish(hart::Core& core, Region& region);
  void clear(hart::Core& core);
  void lead(const std::byte* from, const void* to);

  const TranslatorOptions options_;
  std::unique_ptr<CodeCache> cache_;
  const x64::Thunks thunks_;
  const std::size_t kept_;  // bytes of the thunks
  std::vector<std::unique_ptr<Region>> regions_;
  std::unordered_map<u64, Place> places_;
  std::vector<std::unique_ptr<x64::Header>> retired_;  // of code that is forgotten, but still there
  // The last jump that led nowhere, and where it wants to go.
  const std::byte* open_slot_ = nullptr;
  u64 open_pc_ = 0;
  TranslatorStatistics statistics_;
};

}  // namespace cloister::jit
