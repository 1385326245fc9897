// SPDX-License-Identifier: Apache-2.0
// Loops whose accesses can be checked for many rounds at once.
//
// Programs spend their time in short loops that walk through arrays: copies, sums, searches. Each access must
// be seen to stay in its page, each round that the hart need not stop: more host instructions than the work
// itself. Here are found the loops with one way round, apart from ways out, and of their accesses those whose
// address moves by a constant from one round to the next. A stretch of such rounds lies in one page if its
// first and its last do; so the code looks at both ends of many rounds, and runs these without any
// check: as many as the pages have room for. Whatever is not as usual, a way out, a page's end, an
// instruction that needs the host, goes on in the loop's ordinary code, which is exact at each instruction.
//
// A branch over a few simple instructions makes no second way round: they are an aside, which the host works
// out in any case and then takes or leaves, without a branch to be mispredicted.
//
// Addresses are followed symbolically through one round (passes/sums.h). A round's sum put into itself gives
// the next round's; where the second and the third differ by a constant, so do all that follow. The first may
// be another: compilers turn loops so that they begin in the middle.
#include <algorithm>
#include <array>
#include <limits>
#include <optional>

#include "isa/properties.h"
#include "jit/passes/bulk.h"
#include "jit/passes/sums.h"

namespace cloister::jit::passes {
namespace {

using ir::Sum;
using isa::Format;
using isa::Op;

// Bounds: of a loop's way round; of what is looked at beforehand in instructions (a safe point comes so much
// later); of the bytes from one round to the next, for else too few rounds fit in a page; of the bytes
// between places of a stream; of an aside's instructions, which are worked out in vain when it is left out.
constexpr std::size_t kMostBlocks = 6;
constexpr u32 kMostSteps = 2048;
constexpr i64 kMostStride = 256;
constexpr i64 kMostBytes = 1024;
constexpr std::size_t kMostAside = 4;
// Of a short round the count and the jump back are much of the work: so several stand one behind the other.
constexpr u32 kMostCopies = 4;
constexpr u32 kMostInCopies = 32;
// A loop that runs fewer rounds than this gains nothing.
constexpr u64 kFewRounds = 6;

constexpr std::array kSimple = {Op::addi,  Op::addiw,  Op::xori,   Op::ori,    Op::andi,  Op::slli, Op::srli,
                                Op::srai,  Op::slliw,  Op::srliw,  Op::sraiw,  Op::add,   Op::sub,  Op::addw,
                                Op::subw,  Op::xor_,   Op::or_,    Op::and_,   Op::slt,   Op::sltu, Op::slti,
                                Op::sltiu, Op::sh1add, Op::sh2add, Op::sh3add, Op::add_uw};

class Finder {
 public:
  Finder(const ir::Region& region, u32 head) : region_(region), head_(head) {}

  std::optional<ir::Loop> find() {
    way_ = {head_};
    if (!extend() || has_other_ways() || is_short()) return std::nullopt;
    loop_.blocks = best_;
    follow();
    for (const Moving& one : moving_) add(one);
    if (loop_.streams.empty() && has_rare_steps()) return std::nullopt;
    loop_.rounds = kMostSteps / loop_.most_steps;
    while (loop_.most_steps * loop_.copies * 2 <= kMostInCopies) loop_.copies *= 2;
    loop_.copies = std::min(loop_.copies, kMostCopies);
    for (ir::Stream& stream : loop_.streams) choose_places(stream);
    loop_.bulk = find_bulk(region_, loop_);
    if (loop_.bulk) loop_.copies = 1;  // few rounds are left
    return std::move(loop_);
  }
  // After find(): why it is none.
  bool found_short() const { return found_short_; }

 private:
  // A group of accesses, its lowest byte in the first two rounds, and by how much it moves in each later one.
  struct Moving {
    ir::Stream::Member member;
    Sum first, second;
    i64 stride;
    const ir::Group* group;

    // Whether the first round is as all others.
    bool is_even() const { return first.same_registers(second) && second.offset - first.offset == stride; }
    const Sum& led_by(u32 round) const { return round == 1 ? first : second; }
  };

  static bool goes_straight_on(const ir::Block& block) {
    if (block.steps.empty() || block.ends_in_interpreter || !block.targets.empty()) return false;
    const Op last = block.steps.back().insn.op;
    const Format format = isa::properties(last).format;
    return !isa::ends_block(last) || format == Format::kB || format == Format::kJ;
  }

  // The shortest way from the last block of way_ back to the head, in best_.
  bool extend() {
    const ir::Block& block = region_.blocks[way_.back()];
    if (!goes_straight_on(block)) return false;
    bool found = false;
    for (const i32 follower : {block.taken, block.next}) {
      if (follower == ir::kLeaves) continue;
      const u32 next = static_cast<u32>(follower);
      if (next == head_) {
        if (best_.empty() || way_.size() < best_.size()) best_ = way_;
        found = true;
      } else if (way_.size() < kMostBlocks && std::find(way_.begin(), way_.end(), next) == way_.end()) {
        way_.push_back(next);
        found |= extend();
        way_.pop_back();
      }
    }
    return found;
  }

  bool is_on_way(i32 block) const {
    return block != ir::kLeaves &&
           std::find(best_.begin(), best_.end(), static_cast<u32>(block)) != best_.end();
  }

  // Whether the loop has an inner one, or another side of a branch that soon comes back and is no aside.
  bool has_other_ways() {
    i32 least = std::numeric_limits<i32>::max(), greatest = std::numeric_limits<i32>::min();
    for (const u32 index : best_) {
      least = std::min(least, region_.blocks[index].begin);
      greatest = std::max(greatest, region_.blocks[index].end);
    }
    for (std::size_t i = 0; i < best_.size(); ++i) {
      const u32 next = i + 1 < best_.size() ? best_[i + 1] : head_;
      const ir::Block& block = region_.blocks[best_[i]];
      for (const i32 out : {block.taken, block.next}) {
        if (out == ir::kLeaves || static_cast<u32>(out) == next || note_aside(best_[i], out, next)) continue;
        const i32 begin = region_.blocks[static_cast<u32>(out)].begin;
        if (is_on_way(out) || (begin >= least && begin < greatest && comes_back(out, 2))) return true;
      }
    }
    return false;
  }

  // Blocks repeat the tail of what they lie before: an aside that the branch leads over is the beginning of
  // its block, one that lies elsewhere is all of its block, with the jump back.
  bool note_aside(u32 branches, i32 out, u32 next) {
    const ir::Block& from = region_.blocks[static_cast<u32>(out)];
    if (from.steps.empty()) return false;
    ir::Aside aside{branches, static_cast<u32>(out)};
    for (const ir::Step& step : from.steps) {
      if (step.offset == region_.blocks[next].begin) break;
      if (++aside.steps > kMostAside) return false;
      const bool jumps_back = step.insn.op == Op::jal && step.insn.rd == 0;
      if (jumps_back && from.taken == static_cast<i32>(next)) break;
      if (!is_simple(step)) return false;
      aside.writes |= static_cast<u32>(effects(step).writes);
    }
    const ir::Step& last = from.steps[aside.steps - 1];
    const bool comes_on =
        last.insn.op == Op::jal || last.offset + last.insn.length == region_.blocks[next].begin;
    if (!comes_on || last.folded) return false;
    loop_.asides.push_back(aside);
    return true;
  }

  // What the host does in an instruction or two, and nobody can see until its result is taken.
  static bool is_simple(const ir::Step& step) {
    const Op op = step.insn.op;
    if (step.result.kind == ir::Known::Kind::kValue) return true;
    return std::find(kSimple.begin(), kSimple.end(), op) != kSimple.end();
  }

  // Whether it was left too often, as far as is known, for a look beforehand to pay. Of a loop that has its
  // last code already nobody counts the rounds any more, though what comes behind it may be counted.
  bool is_short() {
    const ir::Block& head = region_.blocks[head_];
    found_short_ = head.runs == 0 ? head.was_short : head.runs < kFewRounds * count_left();
    return found_short_;
  }

  u64 count_left() const {
    u64 left = 0;
    for (const u32 index : best_) {
      const ir::Block& block = region_.blocks[index];
      const ir::Aside* aside = loop_.aside_of(index);
      for (const i32 out : {block.taken, block.next}) {
        if (out == ir::kLeaves || is_on_way(out)) continue;
        if (aside == nullptr || static_cast<i32>(aside->from) != out)
          left += region_.blocks[static_cast<u32>(out)].runs;
      }
    }
    return left;
  }

  // What mostly needs the host, or other harts.
  bool has_rare_steps() const {
    for (const u32 index : loop_.blocks) {
      for (const ir::Step& step : region_.blocks[index].steps) {
        const isa::Properties& p = isa::properties(step.insn.op);
        const bool is_access = p.format == Format::kLoad || p.format == Format::kStore ||
                               p.format == Format::kFLoad || p.format == Format::kFStore;
        if ((p.memory != isa::MemoryUse::kNone && !is_access) || p.format == Format::kNone ||
            p.format == Format::kFence)
          return true;
      }
    }
    return false;
  }

  bool comes_back(i32 from, u32 blocks) const {
    if (from == ir::kLeaves) return false;
    if (is_on_way(from)) return true;
    if (blocks == 0) return false;
    const ir::Block& block = region_.blocks[static_cast<u32>(from)];
    return comes_back(block.taken, blocks - 1) || comes_back(block.next, blocks - 1);
  }

  // Follows the registers through a round.
  void follow() {
    std::vector<std::pair<ir::Stream::Member, Sum>> places;
    Registers registers;
    for (const u32 index : loop_.blocks) {
      const ir::Block& block = region_.blocks[index];
      const ir::Aside* aside = loop_.aside_of(index);
      loop_.steps += static_cast<u32>(block.steps.size());
      for (std::size_t i = 0; i < block.steps.size(); ++i) {
        const ir::Step& step = block.steps[i];
        const MaybeSum& base = registers[step.insn.rs1];
        if (step.group != ir::kNoGroup && block.groups[step.group].first == i && base)
          places.push_back({{index, step.group}, *base});
        registers.execute(step);
      }
      if (aside != nullptr) registers.forget(aside->writes);
      loop_.most_steps += static_cast<u32>(block.steps.size()) + (aside != nullptr ? aside->steps : 0);
    }
    for (const auto& [member, base] : places) {
      const ir::Group& group = region_.blocks[member.block].groups[member.group];
      if (group.is_kept) note(member, base.plus(group.low), registers);
    }
  }

  void note(ir::Stream::Member member, const Sum& first, const Registers& end) {
    const MaybeSum second = a_round_later(first, end);
    const MaybeSum third = second ? a_round_later(*second, end) : std::nullopt;
    if (!third || !third->same_registers(*second)) return;
    const i64 stride = third->offset - second->offset;
    if (std::abs(stride) > kMostStride) return;
    moving_.push_back({member, first, *second, stride, &region_.blocks[member.block].groups[member.group]});
  }

  // To the stream that it keeps its distance from, or to one of its own.
  void add(const Moving& one) {
    for (std::size_t i = 0; i < loop_.streams.size(); ++i) {
      if (may_join(*leaders_[i], one)) return join(loop_.streams[i], one);
    }
    ir::Stream stream;
    stream.slot = one.group->slot;
    stream.low = one.group->low;
    stream.stride = one.stride;
    stream.lead_by = one.is_even() ? 1 : 2;
    stream.leader = one.led_by(stream.lead_by);
    loop_.streams.push_back(stream);
    leaders_.push_back(&one);
    join(loop_.streams.back(), one);
  }

  static bool may_join(const Moving& leader, const Moving& one) {
    return leader.second.same_registers(one.second) && leader.stride == one.stride &&
           leader.is_even() == one.is_even() && leader.group->reads == one.group->reads &&
           leader.group->writes == one.group->writes &&
           std::abs(leader.second.offset - one.second.offset) < kMostBytes;
  }

  static void join(ir::Stream& stream, const Moving& one) {
    stream.members.push_back(one.member);
    stream.size = std::max(stream.size, static_cast<u32>(one.group->high - one.group->low));
    const Sum& leads = one.led_by(stream.lead_by);
    const bool is_ahead =
        one.stride > 0 ? leads.offset > stream.leader.offset : leads.offset < stream.leader.offset;
    if (is_ahead) stream.leader = leads;
  }

  void choose_places(ir::Stream& stream) {
    for (const Moving& one : moving_) {
      const bool is_member = std::any_of(stream.members.begin(), stream.members.end(), [&](auto member) {
        return member.block == one.member.block && member.group == one.member.group;
      });
      if (!is_member) continue;
      add_place(stream, one.first);
      if (stream.lead_by == 2) add_place(stream, one.second);
    }
  }

  // Of places that differ by a constant only the two at the ends matter.
  static void add_place(ir::Stream& stream, const Sum& place) {
    std::vector<Sum*> same;
    for (Sum& known : stream.places) {
      if (known.same_registers(place)) same.push_back(&known);
    }
    if (same.size() < 2) {
      if (same.empty() || same[0]->offset != place.offset) stream.places.push_back(place);
      return;
    }
    if (same[0]->offset > same[1]->offset) std::swap(same[0], same[1]);
    if (place.offset < same[0]->offset) *same[0] = place;
    if (place.offset > same[1]->offset) *same[1] = place;
  }

  const ir::Region& region_;
  const u32 head_;
  std::vector<u32> way_, best_;
  std::vector<Moving> moving_;
  std::vector<const Moving*> leaders_;  // by stream
  ir::Loop loop_;
  bool found_short_ = false;
};

}  // namespace

void find_loops(ir::Region& region) {
  const std::vector<bool> heads = ir::find_loop_heads(region);
  for (u32 i = 0; i < heads.size(); ++i) {
    if (!heads[i]) continue;
    Finder finder(region, i);
    if (auto loop = finder.find()) region.loops.push_back(std::move(*loop));
    if (finder.found_short()) region.short_loops.push_back(region.blocks[i].begin);
  }
}

}  // namespace cloister::jit::passes
