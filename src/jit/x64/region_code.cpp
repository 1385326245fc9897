// SPDX-License-Identifier: Apache-2.0
#include "jit/x64/region_code.h"

#include <cstring>

#include "isa/properties.h"

// The layout of a region's code, and what goes in and out of it.
namespace cloister::jit::x64 {

namespace {

bool has_groups(const ir::Region& region) {
  for (const ir::Block& block : region.blocks) {
    for (const ir::Step& step : block.steps) {
      if (step.group != ir::kNoGroup) return true;
    }
  }
  return false;
}

std::size_t count_steps(const ir::Region& region) {
  std::size_t count = 0;
  for (const ir::Block& block : region.blocks) count += block.steps.size();
  return count;
}

asmjit::Environment host_environment() { return asmjit::Environment::host(); }

}  // namespace

std::optional<Code> compile(const ir::Region& region, CodeCache& cache, const Thunks& thunks) {
  DCHECK(!region.blocks.front().steps.empty());
  return RegionCode(region, thunks).emit(cache);
}

RegionCode::RegionCode(const ir::Region& region, const Thunks& thunks)
    : region_(region),
      thunks_(thunks),
      homes_(passes::rank_registers(region), has_groups(region)),
      emit_(a_, homes_, Features::of_host()) {
  holder_.init(host_environment());
  holder_.setErrorHandler(this);
  holder_.attach(&a_);
  most_sites_ = 2 * count_steps(region);  // a step stands at most twice
  sites_ = std::make_unique<CallSite[]>(most_sites_);
}

void RegionCode::handleError(asmjit::Error, const char* message, asmjit::BaseEmitter*) {
  check_failed(__FILE__, __LINE__, message);
}

std::optional<Code> RegionCode::emit(CodeCache& cache) {
  find_written();
  for (std::size_t i = 0; i < region_.blocks.size(); ++i) {
    block_labels_.push_back(a_.newLabel());
    second_copies_.emplace_back(region_.blocks[i].steps.size());
  }
  spill_all_ = a_.newLabel();
  reload_all_ = a_.newLabel();
  load_homes_ = a_.newLabel();
  header_ = a_.newLabel();
  for (u32 i = 0; i < region_.blocks.size(); ++i) emit_block(i);
  for (std::size_t i = 0; i < later_.size(); ++i) run_later(i);
  emit_entries();
  emit_shared();
  emit_slots();
  return finish(cache);
}

// A piece may add more: it is taken out first, for the list may move.
void RegionCode::run_later(std::size_t index) {
  const Later piece = std::move(later_[index]);
  piece();
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
      for (const i32 follower : {region_.blocks[i].taken, region_.blocks[i].next}) {
        if (follower == ir::kLeaves) continue;
        u64& there = written_[static_cast<std::size_t>(follower)];
        const u64 with = there | written_[i] | own[i];
        changed |= with != there;
        there = with;
      }
    }
  }
}

u64 RegionCode::written_before(const Here& here) const {
  u64 written = written_[here.block_index];
  for (u32 i = 0; i < here.step; ++i) written |= passes::effects(here.block->steps[i]).writes;
  return written;
}

void RegionCode::spill(u64 registers) {
  registers &= homes_.homed();
  for (u32 reg = 1; reg < 32; ++reg) {
    if (registers >> reg & 1) a_.mov(state_x(reg), homes_.integer(reg));
  }
  for (u32 reg = 32; reg < 64; ++reg) {
    if (registers >> reg & 1) a_.movsd(state_f(reg - 32), homes_.floating(reg));
  }
}

void RegionCode::reload(u64 registers) {
  registers &= homes_.homed();
  for (u32 reg = 1; reg < 32; ++reg) {
    if (registers >> reg & 1) a_.mov(homes_.integer(reg), state_x(reg));
  }
  for (u32 reg = 32; reg < 64; ++reg) {
    if (registers >> reg & 1) a_.movsd(homes_.floating(reg), state_f(reg - 32));
  }
}

// Each block may be entered: what jumps into the middle of a region would else need a region of its own,
// which repeats the rest of this one.
void RegionCode::emit_entries() {
  for (u32 i = 0; i < region_.blocks.size(); ++i) {
    if (!region_.blocks[i].steps.empty()) emit_entry(i);
  }
}

void RegionCode::emit_entry(u32 index) {
  entrances_.push_back({a_.newLabel(), index});
  a_.bind(entrances_.back().label);
  const Label stale = a_.newLabel(), interpret = a_.newLabel();
  a_.mov(x86::eax, state_at(offsetof(hart::State, epoch), 4));
  a_.cmp(x86::eax, x86::dword_ptr(header_));
  a_.jne(stale);
  if (region_.uses_float) {
    // Rounding to the nearest with ties away (frm 4) and illegal modes are beyond the host's unit.
    a_.cmp(state_at(offsetof(hart::State, fs), 1), 0);
    a_.je(interpret);
    a_.cmp(state_at(offsetof(hart::State, frm), 1), 3);
    a_.ja(interpret);
  }
  a_.call(load_homes_);
  a_.jmp(block_labels_[index]);
  if (region_.uses_float) {
    a_.bind(interpret);
    set_pc(region_.blocks[index].begin);
    a_.mov(x86::eax, kExitInterpret);
    a_.jmp(asmjit::imm(thunks_.leave));
  }
  a_.bind(stale);
  set_pc(region_.blocks[index].begin);
  a_.lea(x86::rdx, x86::ptr(header_));
  a_.mov(x86::eax, kExitStale);
  a_.jmp(asmjit::imm(thunks_.leave));
}

void RegionCode::set_pc(i64 page_offset) {
  a_.mov(x86::rax, state_at(offsetof(hart::State, page)));
  if (page_offset != 0) a_.add(x86::rax, page_offset);
  a_.mov(state_at(offsetof(hart::State, pc)), x86::rax);
}

// At each block boundary, as the interpreter: is the budget spent, does anybody want this hart?
void RegionCode::check_stop(u32 index) {
  const Label stop = a_.newLabel();
  a_.test(kCountdown, kCountdown);
  a_.jle(stop);
  a_.cmp(state_at(offsetof(hart::State, attention), 4), 0);
  a_.jne(stop);
  later_.push_back([this, stop, index] {
    a_.bind(stop);
    spill(written_[index]);
    set_pc(region_.blocks[index].begin);
    a_.xor_(x86::eax, x86::eax);
    a_.jmp(asmjit::imm(thunks_.leave));
  });
}

void RegionCode::emit_block(u32 index) {
  const ir::Block& block = region_.blocks[index];
  a_.bind(block_labels_[index]);
  if (block.steps.empty()) {
    leave_to_page_offset(written_[index], block.begin);
    return;
  }
  check_stop(index);
  a_.sub(kCountdown, static_cast<i32>(block.steps.size()));
  emit_steps({&block, index, 0, true});
}

void RegionCode::emit_steps(Here here) {
  dirty_marked_ = false;
  boxed_ = 0;
  for (; here.step < here.block->steps.size(); ++here.step) {
    Label& copy = second_copies_[here.block_index][here.step];
    if (!here.grouped && copy.isValid() && !holder_.isLabelBound(copy)) a_.bind(copy);
    const bool last = here.step + 1 == here.block->steps.size();
    if (last && isa::ends_block(here.current().insn.op)) return emit_end(here);
    if (!here.current().dead) emit_step(here);
  }
  here.step = static_cast<u32>(here.block->steps.size()) - 1;
  go_to(here, here.block->next, here.block->end);
}

void RegionCode::emit_step(const Here& here) {
  const ir::Step& step = here.current();
  const isa::Properties& p = isa::properties(step.insn.op);
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
      return emit_load(here);
    case isa::Format::kStore:
    case isa::Format::kFStore:
      return emit_store(here);
    case isa::Format::kFence:
      // x86 keeps all orders but that of a store before a later load, which is what fence.tso leaves out.
      if ((step.insn.imm & 0x50) != 0 && (step.insn.imm & 0x0a) != 0 && step.insn.imm != 0x833) a_.mfence();
      return;
    default:
      break;
  }
  if (p.is_float() && emit_float(here)) return;
  if (emit_atomic(here)) return;
  call_handler(here);
}

// Used by all slow accesses and calls: with homes in the State, the host's code may look at them and change
// them.
void RegionCode::emit_shared() {
  a_.bind(spill_all_);
  a_.mov(state_at(offsetof(hart::State, countdown)), kCountdown);
  spill(all_written_);
  a_.ret();
  a_.bind(reload_all_);
  a_.mov(kCountdown, state_at(offsetof(hart::State, countdown)));
  a_.bind(load_homes_);
  reload(homes_.homed());
  a_.ret();
}

void RegionCode::emit_slots() {
  for (const Slot& slot : slots_) {
    a_.bind(slot.stub);
    set_pc(slot.offset);
    a_.lea(x86::rdx, x86::ptr(slot.pointer));
    a_.mov(x86::eax, kExitSlot);
    a_.jmp(asmjit::imm(thunks_.leave));
  }
  a_.align(asmjit::AlignMode::kData, 64);
  a_.bind(header_);
  const Header header{};
  a_.embed(&header, sizeof(header));
  for (const Slot& slot : slots_) {
    a_.bind(slot.pointer);
    a_.embedUInt64(0);
  }
}

std::optional<Code> RegionCode::finish(CodeCache& cache) {
  CHECK(holder_.flatten() == asmjit::kErrorOk);
  CHECK(holder_.resolveUnresolvedLinks() == asmjit::kErrorOk);
  const std::size_t size = holder_.codeSize();
  const CodeCache::Place place = cache.allocate(size);
  if (place.run == nullptr) return std::nullopt;
  CHECK(holder_.relocateToBase(reinterpret_cast<u64>(place.run)) == asmjit::kErrorOk);
  CHECK(holder_.codeSize() <= size);
  CHECK(holder_.copyFlattenedData(place.write.data(), place.write.size()) == asmjit::kErrorOk);
  for (const Slot& slot : slots_) {
    const u64 stub = reinterpret_cast<u64>(place.run) + holder_.labelOffset(slot.stub);
    std::memcpy(place.write.data() + holder_.labelOffset(slot.pointer), &stub, sizeof(stub));
  }
  Code code;
  for (const Entrance& way : entrances_)
    code.entries.push_back(
        {region_.blocks[way.block_index].begin, place.run + holder_.labelOffset(way.label)});
  code.header = reinterpret_cast<Header*>(place.write.data() + holder_.labelOffset(header_));
  code.size = size;
  code.sites = std::move(sites_);
  return code;
}

}  // namespace cloister::jit::x64
