// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/check.h"
#include "base/units.h"

namespace cloister::isa {

// A run of bits of an instruction.
struct Field {
  u8 shift = 0;
  u8 width = 0;  // 0: the instruction has no such field

  constexpr bool present() const { return width != 0; }
  constexpr u32 mask() const { return ((u32{1} << width) - 1) << shift; }
  constexpr u32 of(u32 bits) const { return (bits >> shift) & ((u32{1} << width) - 1); }
  constexpr u32 put(u32 value) const { return (value << shift) & mask(); }
};

// A register field; one of three bits names x8..x15.
struct RegisterField : Field {
  constexpr u32 base() const { return width == 3 ? 8 : 0; }
  constexpr u8 of(u32 bits) const { return static_cast<u8>(Field::of(bits) + base()); }
  constexpr u32 put(u32 reg) const { return Field::put(reg - base()); }
};

// `part` of the instruction holds the immediate's bits from `low` up.
struct ImmediatePart {
  Field part;
  u8 low = 0;
};

// A pattern of isa/rv64.inc, taken apart.
struct Pattern {
  // Bound: c.j's immediate lies in 8 parts, no other in more.
  static constexpr u32 kMostParts = 8;

  u32 mask = 0;     // the fixed bits …
  u32 match = 0;    // … and what they are
  u32 ignored = 0;  // bits that say nothing
  u32 nonzero = 0;  // these bits may not be all zero; 0: no such rule
  RegisterField rd, rs1, rs2, rs3;
  Field rm, aqrl;
  ImmediatePart immediate[kMostParts];
  u8 parts = 0;
  u32 sign = 0;  // the immediate's top bit when it is signed, else 0

  // Rounding modes 5 and 6 are reserved.
  constexpr bool matches(u32 bits) const {
    if ((bits & mask) != match) return false;
    if (nonzero != 0 && (bits & nonzero) == 0) return false;
    return !rm.present() || (rm.of(bits) != 5 && rm.of(bits) != 6);
  }

  constexpr i32 immediate_of(u32 bits) const {
    u32 value = 0;
    for (u32 i = 0; i < parts; ++i) value |= immediate[i].part.of(bits) << immediate[i].low;
    return static_cast<i32>((value ^ sign) - sign);
  }

  constexpr u32 put_immediate(i32 value) const {
    u32 bits = 0;
    for (u32 i = 0; i < parts; ++i)
      bits |= immediate[i].part.put(static_cast<u32>(value) >> immediate[i].low);
    return bits;
  }
};

// True when some instruction has both patterns.
constexpr bool overlap(const Pattern& a, const Pattern& b) {
  if (((a.match ^ b.match) & a.mask & b.mask) != 0) return false;
  const auto forbids = [](const Pattern& x, const Pattern& y) {
    return x.nonzero != 0 && (y.mask & x.nonzero) == x.nonzero && (y.match & x.nonzero) == 0;
  };
  return !forbids(a, b) && !forbids(b, a);
}

// Reads a pattern from left to right. A mistake in it fails a CHECK, which at compile time is an error.
class PatternReader {
 public:
  // `width`: 16 or 32.
  static constexpr Pattern read(std::string_view text, u32 width) {
    PatternReader reader(text, width);
    while (reader.at_ < text.size()) reader.read_one();
    CHECK(reader.bit_ == 0);
    return reader.pattern_;
  }

 private:
  constexpr PatternReader(std::string_view text, u32 width) : text_(text), bit_(width) {}

  constexpr void read_one() {
    const char letter = text_[at_++];
    if (letter == ' ') return;
    if (at_ < text_.size() && text_[at_] == '[') return read_immediate(letter);
    CHECK(bit_ > 0);
    --bit_;
    if (letter == '0' || letter == '1') return read_fixed(letter);
    read_letter(letter);
  }

  constexpr void read_fixed(char digit) {
    pattern_.mask |= u32{1} << bit_;
    if (digit == '1') pattern_.match |= u32{1} << bit_;
  }

  constexpr void read_letter(char letter) {
    const char kind = lower(letter);
    if (kind != letter) pattern_.nonzero |= u32{1} << bit_;
    if (kind == 'x') pattern_.ignored |= u32{1} << bit_;
    if (kind == 'b') {
      extend(pattern_.rd);
      extend(pattern_.rs1);
    } else if (kind != 'x') {
      extend(field_of(kind));
    }
  }

  constexpr Field& field_of(char kind) {
    switch (kind) {
      case 'd':
        return pattern_.rd;
      case 'r':
        return pattern_.rs1;
      case 's':
        return pattern_.rs2;
      case 't':
        return pattern_.rs3;
      case 'm':
        return pattern_.rm;
      default:
        CHECK(kind == 'q');
        return pattern_.aqrl;
    }
  }

  constexpr void extend(Field& field) const {
    CHECK(field.width == 0 || field.shift == bit_ + 1);
    field.shift = static_cast<u8>(bit_);
    ++field.width;
  }

  // From '[' to past ']': "[4:1|11]".
  constexpr void read_immediate(char letter) {
    const bool is_signed = lower(letter) == 'i';
    CHECK(is_signed || lower(letter) == 'u');
    while (text_[at_++] != ']') {
      const u32 high = read_number();
      const u32 low = text_[at_] == ':' ? (++at_, read_number()) : high;
      const Field part = add_part(high, low);
      if (lower(letter) != letter) pattern_.nonzero |= part.mask();
      if (is_signed && u32{1} << high > pattern_.sign) pattern_.sign = u32{1} << high;
    }
  }

  constexpr Field add_part(u32 high, u32 low) {
    const u32 width = high - low + 1;
    CHECK(high >= low && width <= bit_ && pattern_.parts < Pattern::kMostParts);
    bit_ -= width;
    ImmediatePart& part = pattern_.immediate[pattern_.parts++];
    part.part.shift = static_cast<u8>(bit_);
    part.part.width = static_cast<u8>(width);
    part.low = static_cast<u8>(low);
    return part.part;
  }

  constexpr u32 read_number() {
    u32 number = 0;
    CHECK(text_[at_] >= '0' && text_[at_] <= '9');
    while (text_[at_] >= '0' && text_[at_] <= '9')
      number = number * 10 + static_cast<u32>(text_[at_++] - '0');
    CHECK(number < 32);
    return number;
  }

  static constexpr char lower(char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter - 'A' + 'a') : letter;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  u32 bit_;
  Pattern pattern_;
};

}  // namespace cloister::isa
