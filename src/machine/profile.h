// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "hart/tally.h"
#include "hart/translator.h"

namespace cloister::machine {

// Names of guest code addresses, from the lines of `nm`, System.map or /proc/kallsyms: "ffffffff80000000 T
// name". Lines of other kinds are passed over. A program's lines serve for each process that has code there.
class Symbols {
 public:
  Symbols() = default;
  explicit Symbols(const std::string& lines);
  // The function that `address` lies in; where none is known, the address of its page.
  std::string name_of(u64 address) const;
  // Where that ends, for all that is known: the next function, or the page's end.
  u64 end_of(u64 address) const;

 private:
  struct Symbol {
    u64 address;
    std::string name;
  };
  std::vector<Symbol>::const_iterator behind(u64 address) const;

  std::vector<Symbol> symbols_;  // by address
};

// Where a hart was each time that a slice of time came to its end. The owner's thread, then whoever reports.
class Samples {
 public:
  // Bound: a machine takes some 5000 a second and hart, so a day's worth of different places is a few GiB
  // less than it could be: at most these are told apart, the rest counts as one.
  static constexpr std::size_t kMostPlaces = 1 << 20;

  void add(u64 pc, bool supervisor);

 private:
  friend class Profile;
  std::unordered_map<u64, u64> supervisor_;
  std::unordered_map<u64, u64> user_;
  u64 elsewhere_ = 0;
};

// A machine's profile, put together from its harts'.
class Profile {
 public:
  void add(const Samples& samples, const Symbols& symbols);
  // What of the functions has machine code.
  void add(const std::vector<hart::Translator::Footprint>& footprints, const Symbols& symbols);
  void add(const hart::Tally& tally);
  void add(const std::string& what, u64 count) { counts_[what] += count; }
  // A table for people: functions by time, each with the bytes of its machine code, then the counts.
  std::string text() const;

 private:
  std::string functions() const;

  struct Function {
    u64 samples = 0;
    u64 bytes = 0;  // of machine code
  };
  std::unordered_map<std::string, Function> by_function_;
  std::unordered_map<std::string, u64> counts_;
  u64 samples_ = 0;
};

}  // namespace cloister::machine
