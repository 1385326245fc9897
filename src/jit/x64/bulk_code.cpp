// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/bulk_code.h"

#include <algorithm>
#include <bit>

// Many rounds at once.
//
// First it is seen how many rounds of the stretch come before a bound; then 32 bytes at a time are looked at
// for what stops the loop. Of the rounds that do not leave the loop all but the last are done: what they
// store is copied or filled, registers move, the countdown too. The last leaves in registers what a round
// leaves there, and what follows is as always.
//
// All bytes lie in pages that the stretch knows, so nothing here can trap. What is looked at may be more than
// the rounds would look at, but never in another page. If anything is not as usual, nothing was changed yet,
// and all rounds are done as written.
namespace cloister::jit::x64 {

using Kind = ir::Bulk::Node::Kind;
namespace Inst = x86::Inst;

namespace {

constexpr i32 kWide = 32;  // bytes of a vector
constexpr i32 kWord = 8;
// With fewer rounds to go it does not pay.
constexpr i32 kFewest = 4;
constexpr std::size_t kVectors = 16;

bool is_small(i64 value) { return value >= -(1 << 20) && value <= 1 << 20; }

// What is reached from it is marked.
void reach(const ir::Bulk& bulk, u32 index, std::vector<bool>& reached) {
  reached[index] = true;
  const ir::Bulk::Node& node = bulk.nodes[index];
  if (node.is_load() || node.is_plain()) return;
  reach(bulk, node.left, reached);
  if (node.kind < Kind::kShiftLeft) reach(bulk, node.right, reached);
}

bool needs_pointer(const ir::Bulk& bulk, u32 base) {
  if (bulk.bases[base].has_stops) return true;
  if (!bulk.write) return false;
  const ir::Bulk::Node& from = bulk.nodes[bulk.write->node];
  return bulk.write->base == base || (from.is_load() && from.base == base);
}

// Of values that each round makes before it looks at them.
std::vector<u8> temporaries(const ir::Bulk& bulk, const Rounds& rounds) {
  u64 kept = ~rounds.written;
  for (const auto& moving : bulk.moving) kept |= u64{1} << moving.reg;
  for (const auto& derived : bulk.derived) kept |= u64{1} << derived.reg;
  for (const auto& carried : bulk.carried) kept |= u64{1} << carried.reg;
  std::vector<u8> result;
  for (u8 reg = 1; reg < 32; ++reg) {
    if ((kept >> reg & 1) == 0 && rounds.homes.has(reg)) result.push_back(reg);
  }
  return result;
}

std::vector<x86::Ymm> free_vectors(const Homes& region) {
  std::vector<x86::Ymm> result;
  for (u32 id = 0; id < kVectors; ++id) {
    bool is_home = false;
    for (u32 reg = 32; reg < 64; ++reg) is_home |= region.has(reg) && region.floating(reg).id() == id;
    if (!is_home) result.push_back(x86::ymm(id));
  }
  return result;
}

bool offsets_fit(const ir::Bulk& bulk) {
  return std::ranges::all_of(bulk.nodes,
                             [](const auto& node) { return !node.is_load() || is_small(node.value); }) &&
         std::ranges::all_of(bulk.moving, [](const auto& moving) { return is_small(moving.by); }) &&
         std::ranges::all_of(bulk.bounds, [](const auto& bound) { return is_small(bound.from.offset); }) &&
         (!bulk.write || is_small(bulk.write->offset));
}

}  // namespace

std::optional<BulkPlaces> BulkCode::find_places(const Rounds& rounds, const Homes& region) {
  const ir::Bulk& bulk = *rounds.loop.bulk;
  BulkPlaces places;
  places.vectors = free_vectors(region);
  std::vector<bool> reached(bulk.nodes.size(), false);
  for (const ir::Bulk::Stop& stop : bulk.stops) {
    reach(bulk, stop.left, reached);
    reach(bulk, stop.right, reached);
  }
  const auto values = static_cast<std::size_t>(std::count(reached.begin(), reached.end(), true));
  if (values + bulk.stops.size() + 2 > places.vectors.size() || !offsets_fit(bulk)) return std::nullopt;
  // Those that are no stream's addend first.
  std::vector<x86::Gp> spare = rounds.homes.spare();
  std::rotate(spare.begin(), spare.begin() + static_cast<i64>(std::min(spare.size(), rounds.addends.size())),
              spare.end());
  std::vector<u8> temporary = temporaries(bulk, rounds);
  for (u32 base = 0; base < bulk.bases.size(); ++base) {
    places.pointers.emplace_back();
    if (!needs_pointer(bulk, base)) continue;
    if (!spare.empty()) {
      places.pointers.back() = spare.front();
      spare.erase(spare.begin());
    } else if (!temporary.empty()) {
      places.pointers.back() = rounds.homes.integer(temporary.back());
      places.borrowed.push_back(temporary.back());
      temporary.pop_back();
    } else {
      return std::nullopt;
    }
  }
  return places;
}

void BulkCode::emit() {
  few_ = a_.newLabel();
  done_ = a_.newLabel();
  for (const ir::Bulk::Bound& bound : bulk().bounds) count_to(bound);
  a_.cmp(x86::rdx, kFewest);
  a_.jb(few_);
  load_pointers();
  bulk().stops.empty() ? (void)a_.mov(x86::ecx, x86::edx) : scan();
  a_.sub(x86::rcx, 1);
  a_.jbe(done_);
  if (bulk().write) write();
  move_registers();
  a_.bind(done_);
  restore();
  a_.bind(few_);
}

// -- How many -----------------------------------------------------------------------------------------------

void BulkCode::load_sum(const x86::Gp& to, const ir::Sum& sum, const x86::Gp& scratch) {
  if (sum.scaled != 0) {
    emit_.load(to, sum.scaled);
    if (sum.shift != 0) a_.shl(to, sum.shift);
    if (sum.plain != 0) a_.add(to, emit_.use(sum.plain, scratch));
  } else {
    emit_.load(to, sum.plain);
  }
  if (sum.offset == static_cast<i32>(sum.offset)) {
    if (sum.offset != 0) a_.add(to, sum.offset);
  } else {
    a_.mov(scratch, sum.offset);
    a_.add(to, scratch);
  }
}

// rdx: the fewer of that and the rounds before the bound.
void BulkCode::count_to(const ir::Bulk::Bound& bound) {
  load_sum(x86::rax, bound.to, x86::rcx);
  load_sum(x86::rcx, bound.from, x86::rcx);
  a_.sub(x86::rax, x86::rcx);
  switch (bound.kind) {
    case ir::Bulk::Bound::Kind::kNotEqual:
      if (bound.shift != 0) a_.shr(x86::rax, bound.shift);
      break;
    case ir::Bulk::Bound::Kind::kBelow:
      bound.is_signed ? a_.jle(few_) : a_.jbe(few_);
      if (bound.shift == 0) break;
      a_.sub(x86::rax, 1);
      a_.shr(x86::rax, bound.shift);
      a_.add(x86::rax, 1);
      break;
    case ir::Bulk::Bound::Kind::kNotAbove:
      bound.is_signed ? a_.jl(few_) : a_.jb(few_);
      if (bound.shift != 0) a_.shr(x86::rax, bound.shift);
      a_.add(x86::rax, 1);
      break;
  }
  a_.cmp(x86::rdx, x86::rax);
  a_.cmova(x86::rdx, x86::rax);
}

// -- Where --------------------------------------------------------------------------------------------------

// A base's pages, if there are two, lie in a row for the host too.
void BulkCode::load_pointers() {
  for (u32 base = 0; base < bulk().bases.size(); ++base) {
    if (!needs_pointer(bulk(), base)) continue;
    const std::vector<u32>& streams = bulk().bases[base].streams;
    for (std::size_t i = 1; i < streams.size(); ++i) {
      a_.mov(x86::rax, addend_at(slot_of(base)));
      a_.cmp(x86::rax, addend_at(rounds_.loop.streams[streams[i]].slot));
      a_.jne(few_);
    }
  }
  for (const u8 reg : places().borrowed) a_.mov(state_x(reg), rounds_.homes.integer(reg));
  for (u32 base = 0; base < bulk().bases.size(); ++base) {
    if (!needs_pointer(bulk(), base)) continue;
    load_sum(x86::rax, bulk().bases[base].sum, x86::rcx);
    a_.add(x86::rax, addend_at(slot_of(base)));
    a_.mov(pointer(base), x86::rax);
    if (bulk().bases[base].looks_back) need_page_before(base);
  }
}

void BulkCode::restore() {
  for (const u8 reg : places().borrowed) a_.mov(rounds_.homes.integer(reg), state_x(reg));
  for (std::size_t i = 0; i < rounds_.addends.size(); ++i) {
    const auto& addend = rounds_.addends[i];
    const auto& pointers = places().pointers;
    if (addend && std::find(pointers.begin(), pointers.end(), *addend) != pointers.end())
      a_.mov(*addend, addend_at(rounds_.loop.streams[i].slot));
  }
  if (!bulk().stops.empty() || bulk().write) a_.vzeroupper();
}

// What the round before the first has loaded may lie in the page before: then one round is done as written,
// and it is looked at again.
void BulkCode::need_page_before(u32 base) {
  const ir::Bulk::Base& where = bulk().bases[base];
  i64 low = where.low;
  if (bulk().write && bulk().nodes[bulk().write->node].is_load() &&
      bulk().nodes[bulk().write->node].base == base) {
    const i64 from = bulk().nodes[bulk().write->node].value;
    low = where.has_stops ? std::min(low, from) : from;
  }
  const Label known = a_.newLabel();
  a_.lea(x86::rax, x86::ptr(pointer(base), static_cast<i32>(low)));
  a_.lea(x86::rcx, x86::ptr(pointer(base), static_cast<i32>(low + where.stride)));
  a_.xor_(x86::rax, x86::rcx);
  a_.cmp(x86::rax, kPage);
  a_.jb(known);
  shorten_stretch();
  a_.jmp(done_);
  a_.bind(known);
}

void BulkCode::shorten_stretch() {
  const i32 steps = static_cast<i32>(rounds_.loop.steps);
  a_.sub(kCountdown, steps);
  a_.add(frame_at(offsetof(Frame, stretch_end)), kCountdown);
  a_.mov(kCountdown, steps);
}

// -- Looking ------------------------------------------------------------------------------------------------

x86::Ymm BulkCode::take() { return places().vectors[taken_++]; }

// rcx: how many of the rdx rounds that there are, do not leave the loop.
void BulkCode::scan() {
  const u32 shift = static_cast<u32>(std::countr_zero(bulk().round_bytes));
  const Label wide = a_.newLabel(), again = a_.newLabel(), all = a_.newLabel(), stop = a_.newLabel(),
              counted = a_.newLabel();
  const x86::Mem rounds = frame_at(offsetof(Frame, scratch));
  a_.mov(rounds, x86::rdx);
  a_.vpcmpeqd(ones(), ones(), ones());
  values_.assign(bulk().nodes.size(), std::nullopt);
  std::vector<bool> reached(bulk().nodes.size(), false);
  for (const ir::Bulk::Stop& each : bulk().stops) {
    reach(bulk(), each.left, reached);
    reach(bulk(), each.right, reached);
  }
  for (u32 i = 0; i < bulk().nodes.size(); ++i) {
    if (!reached[i] || !bulk().nodes[i].is_plain()) continue;
    values_[i] = take();
    load_plain(*values_[i], bulk().nodes[i], bulk().element);
  }
  if (shift != 0) a_.shl(x86::rdx, shift);
  a_.sub(x86::rdx, kWide);
  a_.jae(wide);
  for (u32 base = 0; base < bulk().bases.size(); ++base) need_room(base);
  a_.xor_(x86::edx, x86::edx);
  a_.bind(wide);
  a_.xor_(x86::ecx, x86::ecx);
  const std::size_t taken = taken_;
  const auto values = values_;
  const auto look_anew = [&] {
    taken_ = taken;
    values_ = values;
    look();
    a_.jnz(stop);
  };
  a_.bind(again);
  look_anew();
  a_.add(x86::rcx, kWide);
  a_.cmp(x86::rcx, x86::rdx);
  a_.jb(again);
  a_.mov(x86::rcx, x86::rdx);
  look_anew();
  a_.bind(all);
  a_.mov(x86::rcx, rounds);
  a_.jmp(counted);
  a_.bind(stop);
  a_.bsf(x86::eax, x86::eax);
  a_.add(x86::rcx, x86::rax);
  if (shift != 0) a_.shr(x86::rcx, shift);
  a_.cmp(x86::rcx, rounds);
  a_.ja(all);
  a_.bind(counted);
}

// Fewer bytes than a vector has: it may look at more, where they lie in the same page.
void BulkCode::need_room(u32 base) {
  const ir::Bulk::Base& where = bulk().bases[base];
  if (!where.has_stops) return;
  const i32 last = static_cast<i32>(where.high - i64{bulk().round_bytes});
  a_.lea(x86::eax, x86::ptr(pointer(base), last));
  a_.and_(x86::eax, kPage - 1);
  a_.cmp(x86::eax, kPage - kWide);
  a_.ja(done_);
}

void BulkCode::load_plain(const x86::Ymm& to, const ir::Bulk::Node& node, u32 size) {
  if (node.kind == Kind::kValue && node.value == 0) return (void)a_.vpxor(to, to, to);
  if (node.kind == Kind::kValue && node.value == -1) return (void)a_.vpcmpeqd(to, to, to);
  if (node.kind == Kind::kValue) {
    a_.mov(x86::rax, node.value);
  } else {
    emit_.load(x86::rax, node.reg);
  }
  a_.vmovq(to.xmm(), x86::rax);
  constexpr u32 kSpread[] = {Inst::kIdVpbroadcastb, Inst::kIdVpbroadcastw, Inst::kIdVpbroadcastd,
                             Inst::kIdVpbroadcastq};
  a_.emit(kSpread[std::countr_zero(size)], to, to.xmm());
}

// eax: a bit for each byte, from rcx on, of what stops the loop; the flags say whether there is one.
void BulkCode::look() {
  constexpr u32 kCompare[] = {Inst::kIdVpcmpeqb, Inst::kIdVpcmpeqw, Inst::kIdVpcmpeqd, Inst::kIdVpcmpeqq};
  const u32 compare = kCompare[std::countr_zero(bulk().element)];
  const bool is_inverse = bulk().stops.size() == 1 && !bulk().stops.front().if_equal;
  std::optional<x86::Ymm> found;
  for (const ir::Bulk::Stop& stop : bulk().stops) {
    const x86::Ymm left = evaluate(stop.left), right = evaluate(stop.right), result = take();
    a_.emit(compare, result, left, right);
    if (!stop.if_equal && !is_inverse) a_.vpxor(result, result, ones());
    if (found) a_.vpor(result, result, *found);
    found = result;
  }
  a_.vpmovmskb(x86::eax, *found);
  is_inverse ? (void)a_.xor_(x86::eax, -1) : (void)a_.test(x86::eax, x86::eax);
}

x86::Ymm BulkCode::evaluate(u32 index) {
  if (values_[index]) return *values_[index];
  const ir::Bulk::Node& node = bulk().nodes[index];
  const x86::Ymm to = take();
  if (node.is_load()) {
    a_.vmovdqu(to, x86::ptr(pointer(node.base), x86::rcx, 0, static_cast<i32>(node.value), kWide));
  } else {
    emit_operation(to, node);
  }
  values_[index] = to;
  return to;
}

void BulkCode::emit_operation(const x86::Ymm& to, const ir::Bulk::Node& node) {
  const x86::Ymm left = evaluate(node.left);
  switch (node.kind) {
    case Kind::kAdd:
      return (void)a_.vpaddq(to, left, evaluate(node.right));
    case Kind::kSub:
      return (void)a_.vpsubq(to, left, evaluate(node.right));
    case Kind::kAnd:
      return (void)a_.vpand(to, left, evaluate(node.right));
    case Kind::kOr:
      return (void)a_.vpor(to, left, evaluate(node.right));
    case Kind::kXor:
      return (void)a_.vpxor(to, left, evaluate(node.right));
    case Kind::kShiftLeft:
      return (void)a_.vpsllq(to, left, node.value);
    case Kind::kShiftRight:
      return (void)a_.vpsrlq(to, left, node.value);
    default:
      a_.vpxor(to, to, to);
      a_.vpcmpeqb(to, left, to);
      return (void)a_.vpxor(to, to, ones());
  }
}

// -- Writing ------------------------------------------------------------------------------------------------

// Of rcx rounds, or somewhat fewer: all bytes once, in whole words.
void BulkCode::write() {
  const ir::Bulk::Write& write = *bulk().write;
  const ir::Bulk::Node& from = bulk().nodes[write.node];
  const i32 bytes = static_cast<i32>(bulk().round_bytes);
  if (bytes < kWord) {
    a_.and_(x86::rcx, -(kWord / bytes));
    a_.jz(done_);
  }
  a_.imul(x86::rdx, x86::rcx, bytes);
  const x86::Ymm value = places().vectors.front();
  if (!from.is_load()) load_plain(value, from, write.size);
  if (from.is_load()) need_distance(write, from);
  if (bulk().bases[write.base].stride < 0) {
    a_.lea(x86::rax, x86::ptr(x86::rdx, -bytes));
    a_.sub(pointer(write.base), x86::rax);
    if (from.is_load()) a_.sub(pointer(from.base), x86::rax);
  }
  copy_bytes(write, from);
}

// What the rounds write must not be what later ones of them load.
void BulkCode::need_distance(const ir::Bulk::Write& write, const ir::Bulk::Node& from) {
  const i32 bytes = static_cast<i32>(bulk().round_bytes);
  a_.mov(x86::rax, pointer(write.base));
  a_.sub(x86::rax, pointer(from.base));
  if (write.offset != from.value) a_.add(x86::rax, write.offset - from.value);
  a_.add(x86::rdx, bytes);
  a_.cmp(x86::rax, x86::rdx);
  a_.jb(done_);
  if (!write.may_overlap) {
    a_.neg(x86::rax);
    a_.cmp(x86::rax, x86::rdx);
    a_.jb(done_);
  }
  a_.sub(x86::rdx, bytes);
}

// rdx bytes, a multiple of kWord.
void BulkCode::copy_bytes(const ir::Bulk::Write& write, const ir::Bulk::Node& from) {
  const Label rest = a_.newLabel(), wide = a_.newLabel(), word = a_.newLabel(), done = a_.newLabel();
  const x86::Ymm value = places().vectors.front();
  const x86::Mem to = x86::ptr(pointer(write.base), x86::rax, 0, static_cast<i32>(write.offset));
  const auto source = [&] { return x86::ptr(pointer(from.base), x86::rax, 0, static_cast<i32>(from.value)); };
  a_.xor_(x86::eax, x86::eax);
  a_.sub(x86::rdx, kWide);
  a_.jb(rest);
  a_.bind(wide);
  if (from.is_load()) a_.vmovdqu(value, source());
  a_.vmovdqu(to, value);
  a_.add(x86::rax, kWide);
  a_.cmp(x86::rax, x86::rdx);
  a_.jbe(wide);
  a_.bind(rest);
  if (bulk().round_bytes % kWide == 0) return;
  a_.add(x86::rdx, kWide);
  a_.cmp(x86::rax, x86::rdx);
  a_.jae(done);
  a_.bind(word);
  if (from.is_load()) a_.vmovq(value.xmm(), source());
  a_.vmovq(to, value.xmm());
  a_.add(x86::rax, kWord);
  a_.cmp(x86::rax, x86::rdx);
  a_.jb(word);
  a_.bind(done);
}

// -- Moving on ----------------------------------------------------------------------------------------------

// By rcx rounds.
void BulkCode::move_registers() {
  for (const auto& [reg, by] : bulk().moving) {
    a_.imul(x86::rax, x86::rcx, static_cast<i32>(by));
    emit_.homes().has(reg) ? a_.add(emit_.use(reg, x86::rdx), x86::rax) : a_.add(state_x(reg), x86::rax);
  }
  a_.imul(x86::rax, x86::rcx, static_cast<i32>(rounds_.loop.steps));
  a_.sub(kCountdown, x86::rax);
  for (const auto& [reg, sum] : bulk().derived) {
    load_sum(x86::rax, sum, x86::rcx);
    emit_.store(reg, x86::rax);
  }
  for (const auto& [reg, index] : bulk().carried) {
    const ir::Bulk::Node& node = bulk().nodes[index];
    load_sum(x86::rax, bulk().bases[node.base].sum.plus(node.value), x86::rcx);
    a_.add(x86::rax, addend_at(slot_of(node.base)));
    emit_.load_from(node.op, reg, x86::ptr(x86::rax, 0, node.size));
  }
}

}  // namespace cloister::jit::x64
