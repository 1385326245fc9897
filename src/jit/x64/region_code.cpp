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

Image compile(const ir::Region& region, const Features& features) {
  DCHECK(!region.blocks.front().steps.empty());
  return RegionCode(region, features).emit();
}

RegionCode::RegionCode(const ir::Region& region, const Features& features)
    : region_(region), homes_(passes::rank_registers(region)), emit_(a_, homes_, features) {
  holder_.init(host_environment());
  holder_.setErrorHandler(this);
  holder_.attach(&a_);
  CHECK(holder_.newSection(&cold_, ".cold", SIZE_MAX, asmjit::SectionFlags::kExecutable, 16) ==
        asmjit::kErrorOk);
}

void RegionCode::handleError(asmjit::Error, const char* message, asmjit::BaseEmitter*) {
  check_failed(__FILE__, __LINE__, message);
}

Image RegionCode::emit() {
  find_order();
  find_written();
  sites_->uops.resize(region_.blocks.size());
  loop_heads_ = ir::find_loop_heads(region_);
  const bool has_loop = std::find(loop_heads_.begin(), loop_heads_.end(), true) != loop_heads_.end();
  if (region_.counts_entries && has_loop) image_.runs = static_cast<u32>(region_.blocks.size());
  for (const ir::Block& block : region_.blocks) {
    block_labels_.push_back(a_.newLabel());
    entrances_.push_back(a_.newLabel());
    second_copies_.emplace_back(block.steps.size() + 1);
  }
  call_step_ = a_.newLabel();
  call_fill_ = a_.newLabel();
  call_csr_ = a_.newLabel();
  call_last_ = a_.newLabel();
  has_entrance_.assign(region_.blocks.size(), false);
  known_at_end_.resize(region_.blocks.size());
  enter_ = a_.newLabel();
  enter_far_ = a_.newLabel();
  leave_at_ = a_.newLabel();
  leave_slot_ = a_.newLabel();
  stale_ = a_.newLabel();
  alone_ = a_.newLabel();
  for (Label& each : thunks_) each = a_.newLabel();
  find_rounds();
  for (const u32 index : order_) emit_block(index);
  for (const Rounds& rounds : rounds_) emit_rounds(rounds);
  emit_entries();
  a_.section(cold_);
  for (std::size_t i = 0; i < later_.size(); ++i) run_later(i);
  emit_calls();
  emit_slots();
  return finish();
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
  if (!block.steps.empty() && block.is_way_in && !is_fallen_into(index)) emit_entrance(index);
  a_.bind(block_labels_[index]);
  if (block.steps.empty()) {
    leave_to_page_offset(written_[index], block.begin);
    return;
  }
  if (loop_heads_[index]) emit_loop_head(index);
  if (image_.runs != 0) {
    load_address(x86::rax, Image::Patch::Kind::kRuns, index * u32{sizeof(u64)});
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
  if (emit_atomic(here) || emit_zero_block(here)) return;
  call_handler(here);
  emit_.knowledge() = {};
}

Image RegionCode::finish() {
  take_code(holder_, thunks_, image_);
  for (u16 i = 0; i < region_.blocks.size(); ++i) {
    if (has_entrance_[i])
      image_.entries.push_back({region_.blocks[i].begin, i, spot_of(holder_, entrances_[i])});
  }
  image_.enter = spot_of(holder_, enter_);
  image_.stale = spot_of(holder_, stale_);
  image_.sites = std::move(sites_);
  return std::move(image_);
}

}  // namespace cloister::jit::x64
