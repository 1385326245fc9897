// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/image.h"

#include <cstring>

#include "base/check.h"

// From what asmjit knows of code to an Image.
//
// asmjit could place code itself, but once and where it was made. So its notes are read instead: links, from
// one section to a label in the other or to a thunk, and relocations, of tables and of calls to the host's
// functions. Those are far away, so a call goes by a pointer that lies behind the code.
namespace cloister::jit::x64 {
namespace {

using asmjit::CodeHolder, asmjit::LabelEntry, asmjit::LabelLink, asmjit::RelocEntry, asmjit::RelocType;
using Kind = Image::Patch::Kind;

Image::Spot spot(u32 section, u64 offset) { return {Image::Part(section), static_cast<u32>(offset)}; }

Image::Spot spot_of(const LabelEntry& label) { return spot(label.section()->id(), label.offset()); }

void write(Image& image, Image::Spot at, i64 value) {
  const i32 written = static_cast<i32>(value);
  CHECK(written == value);
  std::memcpy(&image.parts[at.part][at.offset], &written, sizeof(written));
}

// At once where it is the same wherever the parts lie.
void add_distance(Image& image, const Image::Patch& patch) {
  if (patch.base.part != patch.target.part) return image.patches.push_back(patch);
  write(image, patch.at, i64{patch.target.offset} - patch.base.offset + patch.addend);
}

void add_links(const LabelEntry& label, std::span<const asmjit::Label, kThunks> thunks, Image& image) {
  for (const LabelLink* link = label.links(); link != nullptr; link = link->next) {
    CHECK(link->relocId == asmjit::Globals::kInvalidId && link->format.valueSize() == sizeof(i32));
    Image::Patch patch{};
    patch.base = spot(link->sectionId, link->offset);
    patch.at = spot(link->sectionId, link->offset + link->format.valueOffset());
    patch.addend = static_cast<i32>(link->rel);
    if (label.isBound()) {
      patch.kind = Kind::kDistance;
      patch.target = spot_of(label);
      add_distance(image, patch);
      continue;
    }
    patch.kind = Kind::kThunk;
    std::size_t thunk = 0;
    while (thunk < kThunks && thunks[thunk].id() != label.id()) ++thunk;
    CHECK(thunk < kThunks);
    patch.thunk = Thunk(thunk);
    image.patches.push_back(patch);
  }
}

// How far two labels are apart.
void add_table_entry(const RelocEntry& entry, Image& image) {
  const asmjit::Expression& difference = *entry.payloadAsExpression();
  CHECK(difference.opType == asmjit::ExpressionOpType::kSub && entry.format().valueSize() == sizeof(i32));
  for (const auto type : difference.valueType) CHECK(type == asmjit::ExpressionValueType::kLabel);
  Image::Patch patch{};
  patch.kind = Kind::kDistance;
  patch.at = spot(entry.sourceSectionId(), entry.sourceOffset() + entry.format().valueOffset());
  patch.target = spot_of(*difference.value[0].label);
  patch.base = spot_of(*difference.value[1].label);
  add_distance(image, patch);
}

Image::Spot pointer_to(u64 address, Image& image) {
  std::vector<std::byte>& cold = image.parts[Image::kCold];
  cold.resize(round_up(cold.size(), sizeof(address)));
  const auto* bytes = reinterpret_cast<const std::byte*>(&address);
  cold.insert(cold.end(), bytes, bytes + sizeof(address));
  return spot(Image::kCold, cold.size() - sizeof(address));
}

// A near call or jump, behind an empty REX prefix, becomes a far one.
void add_far_call(const RelocEntry& entry, Image& image) {
  constexpr std::byte kNearCall{0xe8}, kNearJump{0xe9}, kFar{0xff}, kFarCall{0x15}, kFarJump{0x25};
  Image::Patch patch{};
  patch.kind = Kind::kDistance;
  patch.at = spot(entry.sourceSectionId(), entry.sourceOffset() + entry.format().valueOffset());
  patch.base = spot(entry.sourceSectionId(), entry.sourceOffset() + entry.format().regionSize());
  patch.target = pointer_to(entry.payload(), image);
  std::byte* value = &image.parts[patch.at.part][patch.at.offset];
  CHECK(value[-1] == kNearCall || value[-1] == kNearJump);
  value[-1] = value[-1] == kNearCall ? kFarCall : kFarJump;
  value[-2] = kFar;
  add_distance(image, patch);
}

}  // namespace

Image::Spot spot_of(const CodeHolder& holder, const asmjit::Label& label) {
  const LabelEntry& entry = *holder.labelEntry(label);
  CHECK(entry.isBound());
  return spot_of(entry);
}

void take_code(const CodeHolder& holder, const std::array<asmjit::Label, kThunks>& thunks, Image& image) {
  for (const Image::Part part : {Image::kHot, Image::kCold}) {
    const asmjit::Section& section = *holder.sectionById(part);
    const auto* bytes = reinterpret_cast<const std::byte*>(section.data());
    image.parts[part].assign(bytes, bytes + section.bufferSize());
  }
  for (const LabelEntry* label : holder.labelEntries()) add_links(*label, thunks, image);
  for (const RelocEntry* entry : holder.relocEntries()) {
    CHECK(entry->relocType() == RelocType::kExpression || entry->relocType() == RelocType::kX64AddressEntry);
    entry->relocType() == RelocType::kExpression ? add_table_entry(*entry, image)
                                                 : add_far_call(*entry, image);
  }
  image.patches.shrink_to_fit();
}

}  // namespace cloister::jit::x64
