// SPDX-License-Identifier: Apache-2.0
#include "jit/order.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "jit/ir/region.h"
#include "jit/passes/passes.h"
#include "jit/x64/compiler.h"

namespace cloister::jit {
namespace {

ir::Region read(const Order& order) {
  const bool first = order.tier == Tier::kFirst;
  const auto wanted = [&](u16 offset) { return order.wanted.test(offset / 2u); };
  std::vector<u16> executed;
  for (u16 offset = 0; offset < kPageSize && !first; offset = static_cast<u16>(offset + 2)) {
    if (wanted(offset)) executed.push_back(offset);
  }
  ir::Region region =
      ir::build(order.bytes, order.offset, first ? ir::kFirstLimits : ir::kHotLimits, wanted, executed);
  region.page = order.page;
  region.is_alone = order.is_alone;
  region.counts_entries = first;
  for (const Order::Runs& runs : order.runs) {
    const auto is_there = [&](const ir::Block& block) { return block.begin == runs.offset; };
    const auto block = std::find_if(region.blocks.begin(), region.blocks.end(), is_there);
    if (block != region.blocks.end()) block->runs = runs.count;
  }
  return region;
}

// The blocks' bytes, each once.
std::vector<Product::Span> spans_of(const ir::Region& region) {
  std::vector<Product::Span> spans;
  for (const ir::Block& block : region.blocks) spans.push_back({block.begin, block.end});
  std::sort(spans.begin(), spans.end(), [](auto a, auto b) { return a.begin < b.begin; });
  std::size_t last = 0;
  for (const Product::Span& span : spans) {
    if (span.begin > spans[last].end) {
      spans[++last] = span;
    } else {
      spans[last].end = std::max(spans[last].end, span.end);
    }
  }
  spans.resize(last + 1);
  return spans;
}

}  // namespace

Bytes Product::size() const {
  constexpr u64 kPerEntry = 64;  // that it is found by
  return Bytes{sizeof(*this) + bytes.size() + image.size() +
               image.patches.size() * sizeof(x64::Image::Patch) +
               image.entries.size() * (sizeof(x64::Image::Entry) + kPerEntry) +
               (image.sites ? image.sites->sites.size() * sizeof(x64::CallSite) : 0)};
}

bool Product::has_entry(u16 at) const {
  return std::any_of(image.entries.begin(), image.entries.end(),
                     [at](const x64::Image::Entry& entry) { return entry.offset == at; });
}

bool Product::is_of(const std::byte* now) const {
  const std::byte* of = bytes.data();
  return std::all_of(spans.begin(), spans.end(), [&](const Span& span) {
    const std::size_t size = span.end - span.begin;
    return std::memcmp(now + span.begin, std::exchange(of, of + size), size) == 0;
  });
}

void Product::copy_to(PageCopy& copy) const {
  const std::byte* from = bytes.data();
  for (const Span& span : spans) {
    const std::size_t size = span.end - span.begin;
    std::memcpy(&copy[span.begin], std::exchange(from, from + size), size);
  }
}

std::shared_ptr<const Product> make(const Order& order) {
  auto product = std::make_shared<Product>();
  product->page = order.page;
  product->offset = order.offset;
  product->tier = order.tier;
  product->pc = order.pc;
  ir::Region region = read(order);
  if (!region.blocks.front().steps.empty()) {
    passes::fuse(region);
    passes::find_constants(region);
    passes::find_dead(region);
    passes::group_accesses(region);
    if (order.tier == Tier::kFinal) passes::find_loops(region);
    product->image = x64::compile(region);
    product->spans = spans_of(region);
    for (const Product::Span& span : product->spans)
      product->bytes.insert(product->bytes.end(), &order.bytes[span.begin], &order.bytes[span.end]);
    product->steps = region.count_steps();
  }
  return product;
}

}  // namespace cloister::jit
