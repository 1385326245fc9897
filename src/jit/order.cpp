// SPDX-License-Identifier: Apache-2.0
#include "jit/order.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "jit/ir/region.h"
#include "jit/passes/passes.h"
#include "jit/x64/compiler.h"

namespace cloister::jit {
namespace {

u32 in_page(i32 offset) { return static_cast<u32>(offset - ir::page_distance(offset)); }

// Which of the order's pages the region came to.
void note_pages(const Order& order, ir::Region& region) {
  region.pages.clear();
  for (const Order::Page& page : order.pages) {
    const auto is_there = [&](const ir::Block& block) {
      return !block.steps.empty() && ir::page_distance(block.begin) == page.distance;
    };
    const bool is_first = page.distance == 0;
    if (is_first || std::any_of(region.blocks.begin(), region.blocks.end(), is_there))
      region.pages.push_back(page);
  }
  if (!region.is_wide()) return;
  for (ir::Block& block : region.blocks) {
    const Order::Page& page = *order.page_at(ir::page_distance(block.begin));
    block.is_way_in = page.ways_in.test(in_page(block.begin) / 2);
  }
}

ir::Region read(const Order& order) {
  const bool first = order.tier == Tier::kFirst;
  const auto bytes = [&](i32 distance) {
    const Order::Page* const page = order.page_at(distance);
    return page == nullptr ? nullptr : page->bytes.data();
  };
  const auto wanted = [&](i32 offset) {
    const Order::Page* const page = order.page_at(ir::page_distance(offset));
    return page != nullptr && page->wanted.test(in_page(offset) / 2);
  };
  std::vector<i32> executed;
  for (const Order::Page& page : order.pages) {
    for (i32 offset = 0; offset < i32{kPageSize} && !first; offset += 2) {
      if (page.wanted.test(static_cast<u32>(offset) / 2)) executed.push_back(page.distance + offset);
    }
  }
  std::sort(executed.begin(), executed.end());
  ir::Region region =
      ir::build(bytes, order.offset, first ? ir::kFirstLimits : ir::kHotLimits, wanted, executed);
  note_pages(order, region);
  region.is_alone = order.is_alone;
  region.counts_entries = first;
  for (const Order::Runs& runs : order.runs) {
    const auto is_there = [&](const ir::Block& block) { return block.begin == runs.offset; };
    const auto block = std::find_if(region.blocks.begin(), region.blocks.end(), is_there);
    if (block != region.blocks.end()) block->runs = runs.count;
  }
  for (ir::Block& block : region.blocks) {
    const auto& heads = order.short_loops;
    block.was_short = std::find(heads.begin(), heads.end(), block.begin) != heads.end();
  }
  return region;
}

// The bytes of the blocks of the page at `distance`, each once.
std::vector<Material::Span> spans_of(const ir::Region& region, i32 distance) {
  std::vector<Material::Span> spans;
  for (const ir::Block& block : region.blocks) {
    if (ir::page_distance(block.begin) == distance)
      spans.push_back({static_cast<u16>(block.begin - distance), static_cast<u16>(block.end - distance)});
  }
  std::sort(spans.begin(), spans.end(), [](auto a, auto b) { return a.begin < b.begin; });
  std::size_t last = 0;
  for (const Material::Span& span : spans) {
    if (span.begin > spans[last].end) {
      spans[++last] = span;
    } else {
      spans[last].end = std::max(spans[last].end, span.end);
    }
  }
  spans.resize(last + 1);
  return spans;
}

Material material_of(const Order& order, const ir::Region& region, const ir::CodePage& page) {
  Material material{page, spans_of(region, page.distance), {}};
  const PageCopy& bytes = order.page_at(page.distance)->bytes;
  for (const Material::Span& span : material.spans)
    material.bytes.insert(material.bytes.end(), &bytes[span.begin], bytes.data() + span.end);
  return material;
}

}  // namespace

void Order::clear() {
  pages.resize(1);
  pages[0].wanted.reset();
  pages[0].ways_in.reset();
  runs.clear();
  short_loops.clear();
}

const Order::Page* Order::page_at(i32 distance) const {
  const auto found =
      std::find_if(pages.begin(), pages.end(), [=](const Page& page) { return page.distance == distance; });
  return found == pages.end() ? nullptr : &*found;
}

GuestPhys Product::address_of(i32 at) const {
  const i32 distance = ir::page_distance(at);
  const auto page = std::find_if(materials.begin(), materials.end(),
                                 [=](const Material& material) { return material.distance == distance; });
  DCHECK(page != materials.end());
  return page->number.address() + static_cast<u64>(at - distance);
}

Bytes Product::size() const {
  constexpr u64 kPerEntry = 64;  // that it is found by
  u64 bytes = 0;
  for (const Material& material : materials) bytes += sizeof(material) + material.bytes.size();
  return Bytes{sizeof(*this) + bytes + image.size() + image.patches.size() * sizeof(x64::Image::Patch) +
               image.entries.size() * (sizeof(x64::Image::Entry) + kPerEntry) +
               (image.sites ? image.sites->sites.size() * sizeof(x64::CallSite) : 0)};
}

bool Product::is_of(const Order& order) const {
  return std::all_of(materials.begin(), materials.end(), [&](const Material& material) {
    const Order::Page* const page = order.page_at(material.distance);
    return page != nullptr && page->number == material.number && material.is_in(page->bytes.data());
  });
}

bool Product::has_entry(i32 at) const {
  return std::any_of(image.entries.begin(), image.entries.end(),
                     [at](const x64::Image::Entry& entry) { return entry.offset == at; });
}

bool Material::is_in(const std::byte* now) const {
  const std::byte* of = bytes.data();
  return std::all_of(spans.begin(), spans.end(), [&](const Span& span) {
    const std::size_t size = span.end - span.begin;
    return std::memcmp(now + span.begin, std::exchange(of, of + size), size) == 0;
  });
}

void Material::copy_to(PageCopy& copy) const {
  const std::byte* from = bytes.data();
  for (const Span& span : spans) {
    const std::size_t size = span.end - span.begin;
    std::memcpy(&copy[span.begin], std::exchange(from, from + size), size);
  }
}

std::shared_ptr<const Product> make(const Order& order) {
  auto product = std::make_shared<Product>();
  product->offset = order.offset;
  product->tier = order.tier;
  product->pc = order.pc;
  product->supervisor = order.supervisor;
  ir::Region region = read(order);
  if (product->tier == Tier::kWide && !region.is_wide()) product->tier = Tier::kFinal;
  for (const ir::CodePage& page : region.pages)
    product->materials.push_back(material_of(order, region, page));
  if (!region.blocks.front().steps.empty()) {
    passes::fuse(region);
    passes::find_constants(region);
    passes::find_dead(region);
    passes::group_accesses(region);
    if (order.tier != Tier::kFirst) passes::find_loops(region);
    product->image = x64::compile(region, order.features);
    product->steps = region.count_steps();
    product->short_loops = std::move(region.short_loops);
  }
  return product;
}

}  // namespace cloister::jit
