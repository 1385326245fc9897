// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/region_code.h"

#include <algorithm>
#include <cstring>
#include <numeric>

#include "isa/properties.h"

// The layout of a region's code, and what goes in and out of it.
namespace cloister::jit::x64 {

namespace {

asmjit::Environment host_environment() { return asmjit::Environment::host(); }

}  // namespace

std::optional<Code> compile(const ir::Region& region, CodeCache& cache, const Thunks& thunks) {
  DCHECK(!region.blocks.front().steps.empty());
  return RegionCode(region, thunks).emit(cache);
}

RegionCode::RegionCode(const ir::Region& region, const Thunks& thunks)
    : region_(region),
      thunks_(thunks),
      homes_(passes::rank_registers(region)),
      emit_(a_, homes_, Features::of_host()) {
  holder_.init(host_environment());
  holder_.setErrorHandler(this);
  holder_.attach(&a_);
  CHECK(holder_.newSection(&cold_, ".cold", SIZE_MAX, asmjit::SectionFlags::kExecutable, 16) ==
        asmjit::kErrorOk);
}

void RegionCode::handleError(asmjit::Error, const char* message, asmjit::BaseEmitter*) {
  check_failed(__FILE__, __LINE__, message);
}

std::optional<Code> RegionCode::emit(CodeCache& cache) {
  find_order();
  find_written();
  build_uops();
  loop_heads_ = ir::find_loop_heads(region_);
  const bool has_loop = std::find(loop_heads_.begin(), loop_heads_.end(), true) != loop_heads_.end();
  if (region_.counts_entries && has_loop) runs_->resize(region_.blocks.size());
  for (const ir::Block& block : region_.blocks) {
    block_labels_.push_back(a_.newLabel());
    second_copies_.emplace_back(block.steps.size() + 1);
  }
  call_step_ = a_.newLabel();
  call_fill_ = a_.newLabel();
  call_csr_ = a_.newLabel();
  call_last_ = a_.newLabel();
  has_entrance_.assign(region_.blocks.size(), false);
  known_at_end_.resize(region_.blocks.size());
  enter_ = a_.newLabel();
  leave_at_ = a_.newLabel();
  leave_slot_ = a_.newLabel();
  stale_ = a_.newLabel();
  find_rounds();
  for (const u32 index : order_) emit_block(index);
  for (const Rounds& rounds : rounds_) emit_rounds(rounds);
  emit_entries();
  a_.section(cold_);
  for (std::size_t i = 0; i < later_.size(); ++i) run_later(i);
  emit_calls();
  emit_slots();
  return finish(cache);
}

// Each block before what follows it, and its straight way on next to it.
void RegionCode::find_order() {
  constexpr u32 kNowhere = ~u32{0};
  place_in_order_.assign(region_.blocks.size(), kNowhere);
  std::vector<u32> open(region_.blocks.size());
  std::iota(open.rbegin(), open.rend(), 0u);
  while (!open.empty()) {
    const u32 index = open.back();
    open.pop_back();
    if (place_in_order_[index] != kNowhere) continue;
    place_in_order_[index] = static_cast<u32>(order_.size());
    order_.push_back(index);
    const ir::Block& block = region_.blocks[index];
    for (const i32 one : block.targets) open.push_back(static_cast<u32>(one));
    for (const i32 one : {block.taken, block.next}) {
      if (one != ir::kLeaves) open.push_back(static_cast<u32>(one));
    }
  }
}

void RegionCode::build_uops() {
  for (const ir::Block& block : region_.blocks) {
    std::vector<u16> code;
    for (const ir::Step& step : block.steps) {
      code.push_back(static_cast<u16>(step.bits));
      if (step.insn.length == 4) code.push_back(static_cast<u16>(step.bits >> 16));
    }
    uops_.push_back(hart::decode_uops(code));
  }
}

// A piece may add more: it is taken out first, for the list may move.
void RegionCode::run_later(std::size_t index) {
  const Later piece = std::move(later_[index]);
  emit_.knowledge() = piece.known;
  emit_.use_homes(*piece.homes);
  piece.emit();
  emit_.use_homes(homes_);
}

// Forward over the blocks until nothing changes.
void RegionCode::find_written() {
  const std::size_t count = region_.blocks.size();
  std::vector<u64> own(count, 0);
  written_.assign(count, 0);
  for (std::size_t i = 0; i < count; ++i) {
    for (const ir::Step& step : region_.blocks[i].steps) own[i] |= passes::effects(step).writes;
    all_written_ |= own[i];
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (std::size_t i = 0; i < count; ++i) {
      ir::for_each_follower(region_.blocks[i], [&](u32 follower) {
        u64& there = written_[follower];
        const u64 with = there | written_[i] | own[i];
        changed |= with != there;
        there = with;
      });
    }
  }
}

u64 RegionCode::written_before(const Here& here) const {
  u64 written = written_[here.block_index];
  for (u32 i = 0; i < here.step; ++i) written |= passes::effects(here.block->steps[i]).writes;
  return written;
}

void RegionCode::spill(u64 registers) {
  const Homes& homes = emit_.homes();
  registers &= homes.homed();
  for (u32 reg = 1; reg < 32; ++reg) {
    if (registers >> reg & 1) a_.mov(state_x(reg), homes.integer(reg));
  }
  for (u32 reg = 32; reg < 64; ++reg) {
    if (registers >> reg & 1) a_.movsd(state_f(reg - 32), homes.floating(reg));
  }
}

void RegionCode::reload(u64 registers) {
  const Homes& homes = emit_.homes();
  registers &= homes.homed();
  for (u32 reg = 1; reg < 32; ++reg) {
    if (registers >> reg & 1) a_.mov(homes.integer(reg), state_x(reg));
  }
  for (u32 reg = 32; reg < 64; ++reg) {
    if (registers >> reg & 1) a_.movsd(homes.floating(reg), state_f(reg - 32));
  }
}

// Whether the block before it in the code may go straight on to it.
bool RegionCode::is_fallen_into(u32 index) const {
  const u32 place = place_in_order_[index];
  if (place == 0) return false;
  const ir::Block& before = region_.blocks[order_[place - 1]];
  return before.taken == static_cast<i32>(index) || before.next == static_cast<i32>(index);
}

void RegionCode::emit_block(u32 index) {
  const ir::Block& block = region_.blocks[index];
  if (!block.steps.empty() && !is_fallen_into(index)) emit_entrance(index);
  a_.bind(block_labels_[index]);
  if (block.steps.empty()) {
    leave_to_page_offset(written_[index], block.begin);
    return;
  }
  if (loop_heads_[index]) emit_loop_head(index);
  if (!runs_->empty()) {
    a_.mov(x86::rax, asmjit::imm(&(*runs_)[index]));
    a_.add(x86::qword_ptr(x86::rax), 1);
  }
  a_.sub(kCountdown, static_cast<i32>(block.steps.size()));
  emit_steps({&block, index, 0, true});
}

void RegionCode::emit_steps(Here here) {
  dirty_marked_ = here.rounds != nullptr;
  if (here.rounds == nullptr) emit_.knowledge() = {};
  for (; here.step < here.block->steps.size(); ++here.step) {
    Label& copy = second_copies_[here.block_index][here.step];
    if (!here.grouped && copy.isValid() && !holder_.isLabelBound(copy)) a_.bind(copy);
    const bool last = here.step + 1 == here.block->steps.size();
    if (last && isa::ends_block(here.current().insn.op)) {
      if (here.rounds == nullptr && here.grouped) known_at_end_[here.block_index] = emit_.knowledge();
      return here.rounds != nullptr ? emit_round_end(here) : emit_end(here);
    }
    if (!here.current().dead) emit_step(here);
  }
  Label& copy = second_copies_[here.block_index].back();
  if (!here.grouped && copy.isValid() && !holder_.isLabelBound(copy)) a_.bind(copy);
  here.step = static_cast<u32>(here.block->steps.size()) - 1;
  if (here.rounds != nullptr) return go_round(here);
  settle();
  go_to(here, here.block->next, here.block->end);
}

void RegionCode::emit_step(const Here& here) {
  const ir::Step& step = here.current();
  const isa::Properties& p = isa::properties(step.insn.op);
  known_before_ = emit_.knowledge();
  if (step.result) return emit_.set_known(step.insn.rd, step.result);
  // As the interpreter's check_float: from the first instruction of a block that may write.
  if (p.is_float() && !p.is_store() && !dirty_marked_) {
    a_.mov(state_at(offsetof(hart::State, fs), 1), 3);
    dirty_marked_ = true;
  }
  if (emit_.compute(step)) return;
  switch (p.format) {
    case isa::Format::kLoad:
    case isa::Format::kFLoad:
      return emit_access(here, false);
    case isa::Format::kStore:
    case isa::Format::kFStore:
      return emit_access(here, true);
    case isa::Format::kFence:
      // x86 keeps all orders but that of a store before a later load, which is what fence.tso leaves out. Any
      // locked instruction does that, for half the time of an mfence.
      if ((step.insn.imm & 0x50) != 0 && (step.insn.imm & 0x0a) != 0 && step.insn.imm != 0x833)
        a_.lock().or_(x86::dword_ptr(x86::rsp), 0);
      return;
    default:
      break;
  }
  if (p.is_float() && emit_float(here)) return;
  if (emit_atomic(here)) return;
  call_handler(here);
  emit_.knowledge() = {};
}

// The two sections go to their places in the cache; what asmjit adds to them, addresses for far calls, lies
// behind what seldom runs.
bool RegionCode::place_sections(CodeCache& cache) {
  CHECK(holder_.flatten() == asmjit::kErrorOk);
  asmjit::Section* hot = holder_.textSection();
  const u64 cold_begin = cold_->offset();
  const CodeCache::Place place = cache.allocate(hot->realSize());
  const CodeCache::Place rest = cache.allocate_cold(holder_.codeSize() - cold_begin);
  if (place.run == nullptr || rest.run == nullptr) return false;
  const u64 distance = static_cast<u64>(rest.run - place.run);
  for (asmjit::Section* section : holder_.sections()) {
    if (section != hot) section->setOffset(section->offset() - cold_begin + distance);
  }
  CHECK(holder_.resolveUnresolvedLinks() == asmjit::kErrorOk);
  CHECK(holder_.relocateToBase(reinterpret_cast<u64>(place.run)) == asmjit::kErrorOk);
  for (const asmjit::Section* section : holder_.sections()) {
    std::byte* to = section == hot ? place.write.data() : rest.write.data() + (section->offset() - distance);
    const std::size_t size = section->bufferSize();
    CHECK(section == hot || section->offset() - distance + size <= rest.write.size());
    std::memcpy(to, section->data(), size);
  }
  base_ = place.run;
  parts_ = {std::span(place.run, place.write.size()), std::span(rest.run, rest.write.size())};
  return true;
}

std::optional<Code> RegionCode::finish(CodeCache& cache) {
  if (!place_sections(cache)) return std::nullopt;
  const auto address = [this](const Label& label) { return base_ + holder_.labelOffsetFromBase(label); };
  Code code;
  for (const Entrance& way : entrances_) {
    const u16 offset = region_.blocks[way.block_index].begin;
    code.entries.push_back({offset, static_cast<u16>(way.block_index), address(way.label)});
  }
  code.enter = address(enter_);
  code.stale = address(stale_);
  code.header = std::move(header_);
  code.size = parts_[0].size() + parts_[1].size();
  code.parts = parts_;
  code.runs = std::move(runs_);
  code.sites = std::move(sites_);
  code.uops = std::move(uops_);
  return code;
}

}  // namespace cloister::jit::x64
