// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "base/check.h"
#include "jit/x64/compiler.h"

// From an Image to Code: both parts go to their places in the cache, and what depends on these is written.
namespace cloister::jit::x64 {
namespace {

class Placing {
 public:
  Placing(const CodeCache::Place& hot, const CodeCache::Place& cold, const Thunks& thunks, const Code& code)
      : places_{hot, cold}, thunks_(thunks), code_(code) {}

  void copy(const Image& image) {
    for (const Image::Part part : {Image::kHot, Image::kCold})
      std::memcpy(places_[part].write.data(), image.parts[part].data(), image.parts[part].size());
  }

  void apply(const Image::Patch& patch) {
    switch (patch.kind) {
      case Image::Patch::Kind::kDistance:
        return write(patch.at, address(patch.target) - address(patch.base) + patch.addend);
      case Image::Patch::Kind::kThunk:
        return write(patch.at, thunks_.others[static_cast<std::size_t>(patch.thunk)] - address(patch.base) +
                                   patch.addend);
      case Image::Patch::Kind::kHeader:
        return write_address(patch, code_.header.get());
      case Image::Patch::Kind::kRuns:
        return write_address(patch, code_.runs->data());
      case Image::Patch::Kind::kJumps:
        return write_address(patch, code_.jumps.data());
    }
  }

  const std::byte* address(Image::Spot spot) const { return places_[spot.part].run + spot.offset; }

 private:
  void write(Image::Spot at, i64 distance) {
    const i32 written = static_cast<i32>(distance);
    DCHECK(written == distance);
    std::memcpy(&places_[at.part].write[at.offset], &written, sizeof(written));
  }
  void write_address(const Image::Patch& patch, const void* of) {
    const u64 written = reinterpret_cast<u64>(of) + static_cast<u64>(patch.addend);
    std::memcpy(&places_[patch.at.part].write[patch.at.offset], &written, sizeof(written));
  }

  const std::array<CodeCache::Place, 2> places_;
  const Thunks& thunks_;
  const Code& code_;
};

}  // namespace

std::optional<Code> place(const Image& image, CodeCache& cache, const Thunks& thunks) {
  const CodeCache::Place hot = cache.allocate(image.parts[Image::kHot].size());
  const CodeCache::Place cold = cache.allocate_cold(image.parts[Image::kCold].size());
  if (hot.run == nullptr || cold.run == nullptr) return std::nullopt;
  Code code;
  code.header = std::make_unique<Header>();
  code.runs = std::make_unique<std::vector<u64>>(image.runs);
  code.jumps.resize(image.jumps);
  code.sites = image.sites;
  code.size = image.size();
  code.parts = {std::span(hot.run, hot.write.size()), std::span(cold.run, cold.write.size())};
  Placing placing(hot, cold, thunks, code);
  placing.copy(image);
  for (const Image::Patch& patch : image.patches) placing.apply(patch);
  for (const Image::Entry& entry : image.entries)
    code.entries.push_back({entry.offset, entry.block, placing.address(entry.code)});
  code.enter = placing.address(image.enter);
  code.stale = placing.address(image.stale);
  return code;
}

}  // namespace cloister::jit::x64
