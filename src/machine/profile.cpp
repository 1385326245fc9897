// SPDX-License-Identifier: Apache-2.0
//
// A hart executes in slices of equal time, and a slice ends at the first block boundary behind its time. So
// where slices end is a sample of where the time goes, for nothing: no signal, no code in translations. A
// hart that sleeps is not sampled.
#include "machine/profile.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "isa/cause.h"

namespace cloister::machine {
namespace {

constexpr std::size_t kRows = 60;

// By what is at `key` of each, then by name.
template <typename Map, typename Key>
auto most_first(const Map& map, Key key) {
  std::vector<std::pair<std::string, typename Map::mapped_type>> rows(map.begin(), map.end());
  std::sort(rows.begin(), rows.end(), [key](const auto& a, const auto& b) {
    return key(a.second) != key(b.second) ? key(a.second) > key(b.second) : a.first < b.first;
  });
  return rows;
}

bool is_code(char kind) { return kind == 't' || kind == 'T' || kind == 'w' || kind == 'W'; }

std::string place_of(const Symbols& symbols, u64 pc, bool supervisor) {
  return supervisor ? symbols.name_of(pc) : "user " + symbols.name_of(pc);
}

}  // namespace

Symbols::Symbols(const std::string& lines) {
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) {
    std::istringstream words(line);
    std::string address, kind, name;
    words >> address >> kind >> name;
    u64 value = 0;
    const auto parsed = std::from_chars(address.data(), address.data() + address.size(), value, 16);
    if (parsed.ec != std::errc() || value == 0 || kind.size() != 1 || !is_code(kind[0]) || name.empty())
      continue;
    symbols_.push_back({value, name});
  }
  std::sort(symbols_.begin(), symbols_.end(),
            [](const Symbol& a, const Symbol& b) { return a.address < b.address; });
}

std::vector<Symbols::Symbol>::const_iterator Symbols::behind(u64 address) const {
  return std::upper_bound(symbols_.begin(), symbols_.end(), address,
                          [](u64 wanted, const Symbol& symbol) { return wanted < symbol.address; });
}

std::string Symbols::name_of(u64 address) const {
  const auto next = behind(address);
  // Bound: no function is longer; what is farther behind the last symbol is something else, such as a module.
  constexpr u64 kLongest = kMiB;
  if (next == symbols_.begin() || address - std::prev(next)->address >= kLongest)
    return fmt::format("{:#x}", address & ~kPageMask);
  return std::prev(next)->name;
}

u64 Symbols::end_of(u64 address) const {
  const auto next = behind(address);
  const u64 page_end = (address | kPageMask) + 1;
  return next == symbols_.end() ? page_end : std::min(page_end, next->address);
}

void Samples::add(u64 pc, bool supervisor) {
  auto& places = supervisor ? supervisor_ : user_;
  if (places.size() < kMostPlaces || places.contains(pc)) {
    ++places[pc];
  } else {
    ++elsewhere_;
  }
}

void Profile::add(const Samples& samples, const Symbols& symbols) {
  const auto count = [this](const std::string& name, u64 times) {
    by_function_[name].samples += times;
    samples_ += times;
  };
  for (const auto& [pc, times] : samples.supervisor_) count(place_of(symbols, pc, true), times);
  for (const auto& [pc, times] : samples.user_) count(place_of(symbols, pc, false), times);
  if (samples.elsewhere_ != 0) count("elsewhere", samples.elsewhere_);
}

void Profile::add(const std::vector<hart::Translator::Footprint>& footprints, const Symbols& symbols) {
  for (const auto& [begin, end, supervisor, bytes] : footprints) {
    for (u64 at = begin, next; at < end; at = next) {
      next = std::min(end, symbols.end_of(at));
      by_function_[place_of(symbols, at, supervisor)].bytes += bytes * (next - at) / (end - begin);
    }
  }
}

void Profile::add(const hart::Tally& tally) {
  for (u32 cause = 0; cause < tally.exceptions.size(); ++cause) {
    if (tally.exceptions[cause] != 0) add(isa::cause_name(cause), tally.exceptions[cause]);
    if (tally.interrupts[cause] != 0)
      add(isa::cause_name(isa::kInterruptBit | cause), tally.interrupts[cause]);
  }
  add("SBI calls", tally.supervisor_calls);
  add("guest programs' calls", tally.guest_calls);
  add("device accesses", tally.device_accesses);
  add("page-table walks", tally.walks);
  add("block look-ups", tally.lookups);
  add("decoded blocks", tally.decoded_blocks);
  add("waits", tally.waits);
}

std::string Profile::functions() const {
  std::string text = fmt::format("{:>8}  {:>6}  {:>10}  function\n", "samples", "%", "translated");
  u64 shown = 0;
  const auto samples = [](const Function& function) { return function.samples; };
  for (const auto& [name, function] : most_first(by_function_, samples)) {
    if (++shown > kRows || function.samples == 0) break;
    const double share = 100.0 * static_cast<double>(function.samples) / static_cast<double>(samples_);
    text += fmt::format("{:>8}  {:>6.2f}  {:>10}  {}\n", function.samples, share, function.bytes, name);
  }
  return text;
}

std::string Profile::text() const {
  std::string text = functions() + fmt::format("\n{:>14}  what\n", "times");
  const auto itself = [](u64 times) { return times; };
  for (const auto& [what, times] : most_first(counts_, itself))
    text += fmt::format("{:>14}  {}\n", times, what);
  return text;
}

}  // namespace cloister::machine
