// SPDX-License-Identifier: Apache-2.0
// Loops that go through memory as the host's wide instructions can.
//
// strlen, strcmp, memchr, memcmp, memcpy, memset, by bytes or by words, unrolled or not, and whatever loops
// of programs are like them. None is known by its instructions. A round is followed symbolically: registers
// hold sums of what registers held at its head, or values made of what was loaded. The loop qualifies when
//
//  - what its ways out compare is either sums, so that it is known how many rounds come before (bounds), or
//  values
//    whose loads lie in a row from round to round (stops);
//  - what it stores lies in a row too, and is what was loaded as far away each time, or always the same;
//  - nothing else goes from one round to the next: a register that is read before it is written moves by a
//  constant,
//    follows from such ones, or holds what the round before has loaded.
//
// Then the host may do all rounds but one of those that are known not to leave the loop: look at 32 bytes at
// a time, copy 32 bytes at a time, and let the registers move. The last of these rounds is done as written
// (x64/loop_code.cpp), so everything that a round leaves in registers is there, whatever it was made of.
//
// An unrolled loop has a stop for each element; they must be alike but for their place, and be one for each
// element of the round. Compilers load ahead, so that a round compares or stores what the one before has
// loaded: such a load is a load of this round a stride further back.
#include "jit/passes/bulk.h"

#include <algorithm>
#include <bit>
#include <map>

#include "isa/properties.h"
#include "jit/passes/sums.h"

namespace cloister::jit::passes {
namespace {

using ir::Bulk;
using ir::Sum;
using isa::Format;
using isa::Op;
using Kind = Bulk::Node::Kind;

// Bound: of values, for each has a register of the host.
constexpr std::size_t kMostNodes = 64;

constexpr i32 kOpaque = -1;   // a value that nothing is known of, made in this round
constexpr i32 kUnknown = -2;  // of the round before

// Whether a load of this kind can give the value.
bool can_give(Op op, i64 value) {
  switch (op) {
    case Op::lb:
      return value == static_cast<i8>(value);
    case Op::lbu:
      return value == static_cast<u8>(value);
    case Op::lh:
      return value == static_cast<i16>(value);
    case Op::lhu:
      return value == static_cast<u16>(value);
    case Op::lw:
      return value == static_cast<i32>(value);
    case Op::lwu:
      return value == static_cast<u32>(value);
    default:
      return true;
  }
}

class Reader {
 public:
  Reader(const ir::Region& region, const ir::Loop& loop) : region_(region), loop_(loop) {}

  std::optional<Bulk> read() {
    if (!loop_.asides.empty()) return std::nullopt;
    find_moving();
    if (!follow()) return std::nullopt;
    find_carried();
    is_strict_ = true;
    if (!follow() || !join_stops() || !join_stores()) return std::nullopt;
    note_registers();
    return std::move(bulk_);
  }

 private:
  struct Store {
    u32 base;
    i64 offset;
    u32 size;
    u32 node;
  };

  template <typename Visit>
  void for_each_step(Visit visit) const {
    for (std::size_t i = 0; i < loop_.blocks.size(); ++i) {
      for (const ir::Step& step : region_.blocks[loop_.blocks[i]].steps) {
        if (!step.dead) visit(i, step);
      }
    }
  }

  // What registers hold at a round's head: what moves and what never changes, itself; what follows from
  // these, a sum.
  void find_moving() {
    Registers end;
    for_each_step([&](std::size_t, const ir::Step& step) { end.execute(step); });
    head_[0] = Sum{};
    for (u8 reg = 1; reg < 32; ++reg) {
      const MaybeSum& last = end[reg];
      if (last && last->scaled == 0 && last->plain == reg) {
        by_[reg] = last->offset;
        head_[reg] = Sum{0, 0, reg, 0};
      }
    }
    for (u8 reg = 1; reg < 32; ++reg) {
      const MaybeSum& last = end[reg];
      if (!head_[reg] && last && head_[last->plain] && head_[last->scaled] && !is_derived(last->plain) &&
          !is_derived(last->scaled)) {
        derived_ |= 1u << reg;
        head_[reg] = last->plus(-stride_of(*last));
      }
    }
  }

  bool is_derived(u8 reg) const { return (derived_ >> reg & 1) != 0; }
  i64 stride_of(const Sum& sum) const { return by_[sum.scaled] * (i64{1} << sum.shift) + by_[sum.plain]; }

  // Follows the registers through a round. False: it does what has no place in a Bulk.
  bool follow() {
    bulk_ = {};
    stores_.clear();
    fresh_ = ~u32{0};
    used_ = 0;
    for (u8 reg = 0; reg < 32; ++reg) {
      sums_.set(reg, head_[reg]);
      data_[reg] = head_[reg] ? kOpaque : kUnknown;
      if (carried_[reg]) data_[reg] = static_cast<i32>(load_again(*carried_[reg]));
    }
    bool is_known = true;
    for_each_step([&](std::size_t block, const ir::Step& step) {
      is_known = is_known && execute(loop_.blocks[block], block, step);
    });
    return is_known && bulk_.nodes.size() <= kMostNodes;
  }

  u32 load_again(const std::pair<Sum, Op>& load) {
    const Sum place = load.first.plus(-stride_of(load.first));
    Bulk::Node node{
        .kind = Kind::kLoad, .op = load.second, .size = isa::access_size(load.second), .is_carried = true};
    node.base = base_of(place);
    node.value = place.offset;
    return add(node);
  }

  bool execute(u32 index, std::size_t place, const ir::Step& step) {
    const isa::Properties& p = isa::properties(step.insn.op);
    if (p.is_float() || !note_reads(step)) return false;
    i32 value = kOpaque;
    if (p.format == Format::kB) return note_branch(index, place, step);
    if (p.format == Format::kStore) return note_store(index, step);
    if (p.format == Format::kLoad) {
      value = note_load(index, step);
      if (value == kUnknown) return false;
    } else if (p.format != Format::kJ && can_leave(step)) {
      return false;
    } else if (!step.result) {
      value = compute(step.insn);
    }
    if (p.rd != isa::RegisterClass::kInteger || step.insn.rd == 0) return true;
    sums_.execute(step);
    data_[step.insn.rd] = value;
    fresh_ &= ~(1u << step.insn.rd);
    return true;
  }

  bool note_reads(const ir::Step& step) {
    const u32 reads = static_cast<u32>(effects(step).reads);
    used_ |= reads & fresh_;
    for (u8 reg = 1; reg < 32; ++reg) {
      if (is_strict_ && (reads >> reg & 1) != 0 && !sums_[reg] && data_[reg] == kUnknown) return false;
    }
    return true;
  }

  u32 add(const Bulk::Node& node) {
    const auto found = std::find(bulk_.nodes.begin(), bulk_.nodes.end(), node);
    if (found != bulk_.nodes.end()) return static_cast<u32>(found - bulk_.nodes.begin());
    bulk_.nodes.push_back(node);
    return static_cast<u32>(bulk_.nodes.size() - 1);
  }

  // The node of what x[reg] holds, or kOpaque.
  i32 node_of(u8 reg) {
    const MaybeSum& sum = sums_[reg];
    if (!sum) return data_[reg] >= 0 ? data_[reg] : kOpaque;
    if (sum->is_constant()) return static_cast<i32>(add({.kind = Kind::kValue, .value = sum->offset}));
    if (sum->scaled != 0 || sum->offset != 0 || by_[sum->plain] != 0) return kOpaque;
    return static_cast<i32>(add({.kind = Kind::kRegister, .reg = sum->plain}));
  }

  i32 binary(Kind kind, i32 left, i32 right) {
    for (const i32 each : {left, right}) {
      if (each < 0 || bulk_.nodes[static_cast<u32>(each)].size != 8) return kOpaque;
    }
    Bulk::Node node{.kind = kind};
    node.left = static_cast<u32>(left);
    node.right = static_cast<u32>(right);
    return static_cast<i32>(add(node));
  }

  i32 unary(Kind kind, i32 of, i64 value) {
    if (of < 0 || bulk_.nodes[static_cast<u32>(of)].size != 8) return kOpaque;
    Bulk::Node node{.kind = kind, .value = value};
    node.left = static_cast<u32>(of);
    return static_cast<i32>(add(node));
  }

  i32 constant(i64 value) { return static_cast<i32>(add({.kind = Kind::kValue, .value = value})); }
  i32 inverse(i32 node) { return binary(Kind::kXor, node, constant(-1)); }

  // Of what was loaded. Sums are none of its business.
  i32 compute(const isa::Insn& insn) {
    if (data_[insn.rs1] < 0 && data_[insn.rs2] < 0) return kOpaque;
    switch (insn.op) {
      case Op::addi:
        if (insn.imm == 0) return data_[insn.rs1];
        return binary(Kind::kAdd, node_of(insn.rs1), constant(insn.imm));
      case Op::andi:
        return binary(Kind::kAnd, node_of(insn.rs1), constant(insn.imm));
      case Op::ori:
        return binary(Kind::kOr, node_of(insn.rs1), constant(insn.imm));
      case Op::xori:
        return binary(Kind::kXor, node_of(insn.rs1), constant(insn.imm));
      case Op::slli:
        return unary(Kind::kShiftLeft, node_of(insn.rs1), insn.imm);
      case Op::srli:
        return unary(Kind::kShiftRight, node_of(insn.rs1), insn.imm);
      case Op::orc_b:
        return unary(Kind::kFullBytes, node_of(insn.rs1), 0);
      default:
        return compute_of_two(insn);
    }
  }

  i32 compute_of_two(const isa::Insn& insn) {
    const i32 left = node_of(insn.rs1), right = node_of(insn.rs2);
    switch (insn.op) {
      case Op::add:
        if (insn.rs1 == 0) return data_[insn.rs2];
        return binary(Kind::kAdd, left, right);
      case Op::sub:
        return binary(Kind::kSub, left, right);
      case Op::and_:
        return binary(Kind::kAnd, left, right);
      case Op::or_:
        return binary(Kind::kOr, left, right);
      case Op::xor_:
        return binary(Kind::kXor, left, right);
      case Op::andn:
        return binary(Kind::kAnd, left, inverse(right));
      case Op::orn:
        return binary(Kind::kOr, left, inverse(right));
      case Op::xnor:
        return inverse(binary(Kind::kXor, left, right));
      default:
        return kOpaque;
    }
  }

  // -- Accesses ---------------------------------------------------------------------------------------------

  u32 base_of(const Sum& place) {
    for (std::size_t i = 0; i < bulk_.bases.size(); ++i) {
      if (bulk_.bases[i].sum.same_registers(place)) return static_cast<u32>(i);
    }
    Bulk::Base base;
    base.sum = place.plus(-place.offset);
    base.stride = stride_of(place);
    bulk_.bases.push_back(base);
    return static_cast<u32>(bulk_.bases.size() - 1);
  }

  // Where a step's access lies, if a stream knows its page.
  MaybeSum place_of(u32 block, const ir::Step& step) {
    const MaybeSum& start = sums_[step.insn.rs1];
    if (!start || step.group == ir::kNoGroup) return std::nullopt;
    const Sum place = start->plus(step.insn.imm);
    for (std::size_t i = 0; i < loop_.streams.size(); ++i) {
      const ir::Stream& stream = loop_.streams[i];
      const bool is_member = std::any_of(
          stream.members.begin(), stream.members.end(),
          [&](const auto& member) { return member.block == block && member.group == step.group; });
      if (!is_member || stream.stride != stride_of(place)) continue;
      std::vector<u32>& streams = bulk_.bases[base_of(place)].streams;
      if (std::find(streams.begin(), streams.end(), i) == streams.end())
        streams.push_back(static_cast<u32>(i));
      return place;
    }
    return std::nullopt;
  }

  // kUnknown where nothing is known of its place.
  i32 note_load(u32 block, const ir::Step& step) {
    const MaybeSum place = place_of(block, step);
    if (!place) return kUnknown;
    Bulk::Node node{.kind = Kind::kLoad, .op = step.insn.op, .size = isa::access_size(step.insn.op)};
    node.base = base_of(*place);
    node.value = place->offset;
    return static_cast<i32>(add(node));
  }

  bool note_store(u32 block, const ir::Step& step) {
    const MaybeSum place = place_of(block, step);
    if (!place) return false;
    const i32 node = node_of(step.insn.rs2);
    const u32 size = isa::access_size(step.insn.op);
    if (node < 0) return !is_strict_;
    const Bulk::Node& value = bulk_.nodes[static_cast<u32>(node)];
    if (!value.is_plain() && !(value.is_load() && value.size == size)) return false;
    stores_.push_back({base_of(*place), place->offset, size, static_cast<u32>(node)});
    return true;
  }

  // A register that the round before has loaded.
  void find_carried() {
    for (u8 reg = 1; reg < 32; ++reg) {
      if (head_[reg] || data_[reg] < 0) continue;
      const Bulk::Node& node = bulk_.nodes[static_cast<u32>(data_[reg])];
      if (node.is_load() && !node.is_carried)
        carried_[reg] = {bulk_.bases[node.base].sum.plus(node.value), node.op};
    }
  }

  // -- Ways out ---------------------------------------------------------------------------------------------

  bool note_branch(u32 index, std::size_t place, const ir::Step& step) {
    const ir::Block& block = region_.blocks[index];
    const u32 next = loop_.blocks[place + 1 < loop_.blocks.size() ? place + 1 : 0];
    const bool stays_if_taken = block.taken == static_cast<i32>(next);
    if (stays_if_taken == (block.next == static_cast<i32>(next))) return false;
    const MaybeSum &left = sums_[step.insn.rs1], &right = sums_[step.insn.rs2];
    if (left && right) return note_bound(step.insn.op, stays_if_taken, *left, *right);
    return note_stop(step.insn, stays_if_taken);
  }

  // The loop goes on while left OP right, or while that is false.
  bool note_bound(Op op, bool stays_if_true, const Sum& left, const Sum& right) {
    if (left.scaled != 0 || right.scaled != 0) return false;
    const i64 by_left = stride_of(left), by_right = stride_of(right);
    if (by_left == by_right) {  // as it went in the round before
      bulk_.follows_a_round = true;
      return true;
    }
    Bulk::Bound bound;
    bound.is_signed = op == Op::blt || op == Op::bge;
    if (op == Op::beq || op == Op::bne) {
      if (stays_if_true != (op == Op::bne)) return false;
      return add_bound(bound, left, right, by_left - by_right) ||
             add_bound(bound, right, left, by_right - by_left);
    }
    if (by_left != 0 && by_right != 0) return false;  // so that neither wraps around unseen
    const bool is_below = (op == Op::blt || op == Op::bltu) == stays_if_true;
    bound.kind = is_below ? Bulk::Bound::Kind::kBelow : Bulk::Bound::Kind::kNotAbove;
    return is_below ? add_bound(bound, left, right, by_left - by_right)
                    : add_bound(bound, right, left, by_right - by_left);
  }

  bool add_bound(Bulk::Bound bound, const Sum& from, const Sum& to, i64 by) {
    if (by <= 0 || !std::has_single_bit(static_cast<u64>(by))) return false;
    bound.from = from;
    bound.to = to;
    bound.shift = static_cast<u32>(std::countr_zero(static_cast<u64>(by)));
    bulk_.bounds.push_back(bound);
    return true;
  }

  bool note_stop(const isa::Insn& insn, bool stays_if_taken) {
    if (insn.op != Op::beq && insn.op != Op::bne) return false;
    const i32 left = node_of(insn.rs1), right = node_of(insn.rs2);
    if (left < 0 || right < 0) return !is_strict_;
    const bool if_equal = (insn.op == Op::beq) != stays_if_taken;
    bulk_.stops.push_back({static_cast<u32>(left), static_cast<u32>(right), if_equal});
    return is_by_element(bulk_.stops.back());
  }

  // Whether the lanes of a vector compare as the registers do, or stop too early at worst.
  bool is_by_element(const Bulk::Stop& stop) {
    const Bulk::Node &left = bulk_.nodes[stop.left], &right = bulk_.nodes[stop.right];
    const u32 element = std::min(left.size, right.size);
    if (bulk_.element != 0 && bulk_.element != element) return false;
    bulk_.element = element;
    if (element == 8) return true;
    if (left.is_load() && right.is_load()) return left.op == right.op;
    const Bulk::Node &load = left.is_load() ? left : right, &other = left.is_load() ? right : left;
    if (other.kind == Kind::kValue) return can_give(load.op, other.value);
    return other.kind == Kind::kRegister && stop.if_equal;
  }

  // -- All of it --------------------------------------------------------------------------------------------

  // A stop without its place, and its place.
  using Shape = std::vector<i64>;
  void describe(u32 index, Shape& shape, std::optional<i64>& origin) const {
    const Bulk::Node& node = bulk_.nodes[index];
    if (node.is_load() && !origin) origin = node.value;
    shape.push_back(static_cast<i64>(node.kind));
    shape.push_back(node.is_load() ? node.base : node.reg);
    shape.push_back(node.is_load() ? node.value - *origin : node.value);
    if (node.is_load() || node.is_plain()) return;
    describe(node.left, shape, origin);
    if (node.kind < Kind::kShiftLeft) describe(node.right, shape, origin);
  }

  bool is_walked(u32 base) {
    const i64 bytes = std::abs(bulk_.bases[base].stride);
    if (bulk_.round_bytes == 0) bulk_.round_bytes = static_cast<u32>(bytes);
    return bytes != 0 && bytes == bulk_.round_bytes;
  }

  // Of stops that are alike the first remains.
  bool join_stops() {
    std::map<Shape, std::vector<std::pair<i64, Bulk::Stop>>> kinds;
    for (const Bulk::Stop& stop : bulk_.stops) {
      Shape shape{stop.if_equal};
      std::optional<i64> origin;
      describe(stop.left, shape, origin);
      describe(stop.right, shape, origin);
      if (!origin) return false;
      kinds[shape].push_back({*origin, stop});
    }
    bulk_.stops.clear();
    for (auto& [shape, stops] : kinds) {
      std::sort(stops.begin(), stops.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
      bulk_.stops.push_back(stops.front().second);
      if (!look(stops.front().second.left) || !look(stops.front().second.right)) return false;
      for (std::size_t i = 1; i < stops.size(); ++i) {
        if (stops[i].first - stops[i - 1].first != bulk_.element) return false;
      }
      if (stops.size() * bulk_.element != bulk_.round_bytes) return false;
      for (const auto& stop : stops) note_carried(stop.second.left), note_carried(stop.second.right);
    }
    return bulk_.stops.empty() || std::has_single_bit(bulk_.round_bytes);
  }

  // Notes what the loop looks at.
  bool look(u32 index) {
    const Bulk::Node& node = bulk_.nodes[index];
    if (node.is_plain()) return true;
    if (!node.is_load()) return look(node.left) && (node.kind >= Kind::kShiftLeft || look(node.right));
    Bulk::Base& base = bulk_.bases[node.base];
    if (!is_walked(node.base) || base.stride < 0) return false;
    const i64 end = node.value + std::max(base.stride, i64{node.size});
    base.low = base.has_stops ? std::min(base.low, node.value) : node.value;
    base.high = base.has_stops ? std::max(base.high, end) : end;
    base.has_stops = true;
    return true;
  }

  void note_carried(u32 index) {
    const Bulk::Node& node = bulk_.nodes[index];
    if (node.is_carried) bulk_.bases[node.base].looks_back = true;
    if (node.is_load() || node.is_plain()) return;
    note_carried(node.left);
    if (node.kind < Kind::kShiftLeft) note_carried(node.right);
  }

  bool join_stores() {
    if (stores_.empty()) return true;
    std::sort(stores_.begin(), stores_.end(),
              [](const Store& a, const Store& b) { return a.offset < b.offset; });
    const Store& lowest = stores_.front();
    const Bulk::Node& first = bulk_.nodes[lowest.node];
    if (!is_walked(lowest.base) || lowest.size * stores_.size() != bulk_.round_bytes) return false;
    for (std::size_t i = 0; i < stores_.size(); ++i) {
      const Store& store = stores_[i];
      const i64 further = static_cast<i64>(i * lowest.size);
      const Bulk::Node& node = bulk_.nodes[store.node];
      if (store.base != lowest.base || store.size != lowest.size) return false;
      if (store.offset != lowest.offset + further || !continues(first, node, further)) return false;
      note_carried(store.node);
    }
    bulk_.write = Bulk::Write{lowest.base, lowest.offset, lowest.size, lowest.node};
    return first.is_load() ? is_copy(first) : bulk_.stops.empty() && !uses_carried();
  }

  static bool continues(const Bulk::Node& first, const Bulk::Node& node, i64 further) {
    if (node.kind != first.kind) return false;
    if (node.is_load()) return node.base == first.base && node.value == first.value + further;
    return node.reg == first.reg && node.value == first.value;
  }

  // What is written is not looked at otherwise.
  bool is_copy(const Bulk::Node& from) {
    const Bulk::Base &source = bulk_.bases[from.base], &target = bulk_.bases[bulk_.write->base];
    if (from.base == bulk_.write->base || source.stride != target.stride) return false;
    bulk_.write->may_overlap = stores_.size() == 1 && source.stride > 0 && !uses_carried();
    for (u32 i = 0; i < bulk_.bases.size(); ++i) {
      if (i != from.base && bulk_.bases[i].has_stops) return false;
    }
    for (u8 reg = 1; reg < 32; ++reg) {
      if (uses_carried(reg) && !carried_[reg]->first.same_registers(source.sum)) return false;
    }
    return true;
  }

  bool uses_carried(u8 reg) const { return carried_[reg] && (used_ >> reg & 1) != 0; }
  bool uses_carried() const {
    for (u8 reg = 1; reg < 32; ++reg) {
      if (uses_carried(reg)) return true;
    }
    return false;
  }

  void note_registers() {
    for (u8 reg = 1; reg < 32; ++reg) {
      if (by_[reg] != 0) bulk_.moving.push_back({reg, by_[reg]});
      if (is_derived(reg) && (used_ >> reg & 1) != 0) bulk_.derived.push_back({reg, *head_[reg]});
      if (uses_carried(reg)) bulk_.carried.push_back({reg, load_again(*carried_[reg])});
    }
    bulk_.follows_a_round |= !bulk_.derived.empty() || !bulk_.carried.empty();
  }

  const ir::Region& region_;
  const ir::Loop& loop_;
  bool is_strict_ = false;  // what is not known is looked for no longer
  Bulk bulk_;
  std::array<MaybeSum, 32> head_;  // at each round's head but the first's
  std::array<i64, 32> by_{};       // how much it moves each round
  u32 derived_ = 0;                // registers, as bits
  std::array<std::optional<std::pair<Sum, Op>>, 32>
      carried_;  // what the round before has loaded, where it lay
  std::vector<Store> stores_;
  // On the way through a round:
  Registers sums_;
  std::array<i32, 32> data_{};  // nodes, of registers without a sum
  u32 fresh_ = 0;               // registers that hold what they held at the head
  u32 used_ = 0;                // registers that were read then
};

}  // namespace

std::optional<ir::Bulk> find_bulk(const ir::Region& region, const ir::Loop& loop) {
  return Reader(region, loop).read();
}

}  // namespace cloister::jit::passes
