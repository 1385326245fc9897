// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "isa/insn.h"
#include "jit/ir/sum.h"

namespace cloister::jit::ir {

// What the rounds of a loop do, where that is little enough that many rounds can be done at once: they look
// at bytes that lie in a row and end where these are special, they copy, they fill. (passes/bulk.cpp)
struct Bulk {
  // Where accesses lie: at a sum of registers, whose own offset is 0, and a constant of each access.
  struct Base {
    Sum sum;
    i64 stride = 0;            // from round to round
    std::vector<u32> streams;  // of the loop, that know its pages
    bool looks_back = false;   // a value is of the round before: the first one's may lie in another page
    bool has_stops = false;    // which look at bytes [low, high) of the first round
    i64 low = 0;
    i64 high = 0;
  };
  // A value of a round. Loads of 8 bytes may be computed with; less is only compared.
  struct Node {
    enum class Kind : u8 {
      kLoad,
      kRegister,  // that no round writes
      kValue,
      kAdd,
      kSub,
      kAnd,
      kOr,
      kXor,
      kShiftLeft,  // by `value`
      kShiftRight,
      kFullBytes,  // each byte that is not 0 becomes 0xff
    };
    Kind kind = Kind::kValue;
    isa::Op op = isa::Op::illegal;  // of a load
    u8 size = 8;
    bool is_carried = false;  // a load of the round before
    u8 reg = 0;
    u32 base = 0;
    i64 value = 0;  // of a load: its offset
    u32 left = 0;   // nodes
    u32 right = 0;

    bool operator==(const Node&) const = default;
    bool is_load() const { return kind == Kind::kLoad; }
    bool is_plain() const { return kind == Kind::kRegister || kind == Kind::kValue; }
  };
  // The loop ends where two values are equal, or where they are not. Of an unrolled loop's stops, which are
  // alike, this is the one of the lowest element.
  struct Stop {
    u32 left = 0;
    u32 right = 0;
    bool if_equal = false;
  };
  // The loop goes on as long as `from`, which comes nearer to `to` by 1 << shift each round, is not equal to
  // it, below it, or not above it.
  struct Bound {
    enum class Kind : u8 { kNotEqual, kBelow, kNotAbove };
    Kind kind = Kind::kNotEqual;
    bool is_signed = false;
    u32 shift = 0;
    Sum from, to;
  };
  // A round writes `round_bytes` in a row, from the lowest on: what it has loaded, also in a row, or one
  // value.
  struct Write {
    u32 base = 0;
    i64 offset = 0;
    u32 size = 0;              // of each store
    u32 node = 0;              // of the lowest
    bool may_overlap = false;  // a copy whose source lies behind its target is as if all were loaded first
  };
  struct Moving {
    u8 reg;
    i64 by;
  };
  // A register that follows from moving ones at each round's head, but the first's.
  struct Derived {
    u8 reg;
    Sum sum;
  };
  // A register that holds at a round's head what the round before has loaded.
  struct Carried {
    u8 reg;
    u32 node;
  };

  // It holds only after a round, for what comes before the first may have come from elsewhere than the loop.
  bool follows_a_round = false;
  std::vector<Base> bases;
  std::vector<Node> nodes;
  u32 round_bytes = 0;
  u32 element = 0;  // bytes of what stops look at
  std::vector<Stop> stops;
  std::vector<Bound> bounds;
  std::optional<Write> write;
  std::vector<Moving> moving;
  std::vector<Derived> derived;
  std::vector<Carried> carried;
};

}  // namespace cloister::jit::ir
