// SPDX-License-Identifier: Apache-2.0
#include "hart/hart.h"

#include <algorithm>
#include <limits>
#include <thread>

#include "base/check.h"
#include "hart/core.h"
#include "hart/execute.h"

namespace cloister::hart {

Core::Core(Hart& hart_, u64 id_, memory::GuestMemory& memory_, Environment& environment_,
           const HartOptions& options)
    : mailbox(state.attention),
      tlb(state, options.tlb_entries),
      walker(memory_),
      blocks(options.code_cache.raw, options.translator != nullptr),
      hart(hart_),
      id(id_),
      memory(memory_),
      environment(environment_),
      translator(options.translator) {
  state.core = this;
}

Hart::Hart(u64 id, memory::GuestMemory& memory, Environment& environment, const HartOptions& options)
    : core_(std::make_unique<Core>(*this, id, memory, environment, options)) {
  core_->holder = memory.attach(*this);
  core_->walker.attach(core_->holder);
  reset(0, 0);
}

Hart::~Hart() {
  if (core_->translator != nullptr) core_->translator->hart_ends();
  core_->memory.detach(core_->holder);
}

void Hart::reset(u64 pc, u64 opaque) {
  State& s = core_->state;
  std::fill(std::begin(s.x), std::end(s.x), 0);
  std::fill(std::begin(s.f), std::end(s.f), 0);
  s.x[10] = core_->id;
  s.x[11] = opaque;
  s.pc = pc;
  s.supervisor = true;
  s.reserved_size = 0;
  s.fs = s.frm = s.fflags = 0;
  CsrFile& csr = core_->csr;
  csr.sstatus = csr.stvec = csr.scounteren = csr.senvcfg = csr.sscratch = 0;
  csr.sepc = csr.scause = csr.stval = csr.satp = 0;
  csr.sie = 0;
  csr.stimecmp = ~u64{0};
  csr.sip.fetch_and(~(u64{1} << static_cast<u32>(Interrupt::kTimer)));
  fence_all(*core_);
  refresh_context(*core_);
  fence_instructions(*core_);
}

// -- Running ----------------------------------------------------------------------------------------------

namespace {

// Fences by range: up to this many pages one by one, above it the whole space at once.
constexpr u64 kMostSinglePages = 64;

void do_fence(Core& core, const Fence& fence) {
  core.state.reserved_size = 0;
  switch (fence.kind) {
    case Fence::Kind::kInstructions:
      return fence_instructions(core);
    case Fence::Kind::kAll:
      return fence_all(core);
    case Fence::Kind::kSpace:
      return fence_space(core, fence.asid);
    case Fence::Kind::kRange:
      for (u64 i = 0; i < fence.pages.raw; ++i) core.tlb.flush_page(fence.start.raw + i * kPageSize);
  }
}

// At a block boundary, when State::attention is not 0.
void attend(Core& core) {
  const u32 wanted = core.state.attention.exchange(0);
  if ((wanted & attention::kSafePoint) != 0) core.memory.safe_point(core.holder);
  if ((wanted & attention::kFence) != 0)
    core.mailbox.do_fences([&core](const Fence& fence) { do_fence(core, fence); });
  if ((wanted & attention::kTimer) != 0) update_timer(core);
  if ((wanted & (attention::kTimer | attention::kInterrupt)) != 0) take_interrupt(core);
  if ((wanted & attention::kExit) != 0) core.exit = Exit::kRequest;
  if ((wanted & attention::kCode) != 0) core.translator->take_up(core);
}

// Executes blocks until something must be done outside them.
void execute(Core& core) {
  State& s = core.state;
  Block** link = std::exchange(s.link, nullptr);
  const u64 drops = core.blocks.drops();
  Block* block = find_block(core);
  if (block == nullptr) return;
  if (link != nullptr && drops == core.blocks.drops() && !block->straddles()) *link = block;
  enter(s, block, s.pc);
}

Exit run_until_exit(Core& core) {
  State& s = core.state;
  for (;;) {
    if (s.attention.load(std::memory_order_relaxed) != 0) {
      s.link = nullptr;
      attend(core);
    }
    if (core.exit) return *std::exchange(core.exit, std::nullopt);
    if (s.countdown <= 0) return Exit::kBudget;
    if (core.wanted != nullptr) core.translator->translate(core, *std::exchange(core.wanted, nullptr));
    execute(core);
  }
}

}  // namespace

namespace {

// Back in the guest for a while, in a call of the environment: with the fences done that came meanwhile.
class Inside {
 public:
  explicit Inside(Core& core) : core_(core) {
    core_.memory.enter(core_.holder);
    core_.mailbox.enter_guest();
    core_.mailbox.do_fences([this](const Fence& fence) { do_fence(core_, fence); });
  }
  ~Inside() {
    core_.mailbox.leave_guest();
    core_.memory.leave(core_.holder);
  }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  Core& core_;
};

}  // namespace

void Hart::pages_to_write(GuestVirt va, std::span<std::optional<Gpn>> pages,
                          const std::function<void()>& then) {
  const Inside inside(*core_);
  for (u64 done = 0; done < pages.size();) {
    const u64 at = va.raw + done * kPageSize;
    const auto mapped = walk(*core_, at, Use::kStore);
    const u64 page = at >> kPageShift, leaf = mapped ? u64{1} << (mapped->page_shift - kPageShift) : 1;
    const u64 count = std::min(pages.size() - done, leaf - page % leaf);
    for (u64 i = 0; i < count; ++i) {
      pages[done + i].reset();
      if (mapped) pages[done + i] = Gpn{mapped->page.raw + i};
    }
    done += count;
  }
  then();
}

Exit Hart::run(u64 budget) {
  Core& core = *core_;
  State& s = core.state;
  fp::HostFp host_fp(s.frm, s.fflags);
  core.host_fp = &host_fp;
  s.float_unit = &fp::thread_state;
  core.memory.enter(core.holder);
  core.mailbox.enter_guest();
  core.limit += static_cast<i64>(std::min<u64>(budget, std::numeric_limits<i64>::max() / 2)) - s.countdown;
  s.countdown = static_cast<i64>(std::min<u64>(budget, std::numeric_limits<i64>::max() / 2));
  s.link = nullptr;
  core.wait_bound = Nanos{~u64{0}};
  // The lines and the time may have changed while nobody looked.
  s.attention.fetch_or(attention::kTimer);
  const Exit exit = run_until_exit(core);
  core.mailbox.leave_guest();
  core.memory.leave(core.holder);
  core.host_fp = nullptr;
  core.published.store(instructions(), std::memory_order_relaxed);
  return exit;
}

// -- Registers --------------------------------------------------------------------------------------------

u64 Hart::id() const { return core_->id; }
u64 Hart::reg(u32 index) const { return core_->state.x[index & 31]; }
void Hart::set_reg(u32 index, u64 value) {
  if ((index & 31) != 0) core_->state.x[index & 31] = value;
}
u64 Hart::freg(u32 index) const { return core_->state.f[index & 31]; }
void Hart::set_freg(u32 index, u64 value) { core_->state.f[index & 31] = value; }
u64 Hart::pc() const { return core_->state.pc; }
bool Hart::supervisor() const { return core_->state.supervisor; }
u64 Hart::address_space() const { return core_->csr.satp; }

u64 Hart::instructions() const {
  return static_cast<u64>(core_->limit - core_->state.countdown) - core_->traps;
}

const Tally& Hart::tally() const { return core_->tally; }

u64 Hart::instructions_published() const { return core_->published.load(std::memory_order_relaxed); }

u64 Hart::counter(Counter which) const {
  return instructions() + core_->counter_offset[static_cast<u32>(which)];
}
void Hart::set_counter(Counter which, u64 value) {
  core_->counter_offset[static_cast<u32>(which)] = value - instructions();
}

void Hart::set_timer(u64 deadline) { hart::set_timer(*core_, deadline); }

// -- From other threads -----------------------------------------------------------------------------------

bool Hart::interrupt_pending() const {
  const CsrFile& csr = core_->csr;
  constexpr u64 kTimerBit = u64{1} << static_cast<u32>(Interrupt::kTimer);
  if ((enabled_interrupts(csr) & ~kTimerBit) != 0) return true;
  return (csr.sie.load() & kTimerBit) != 0 && core_->environment.time() >= csr.stimecmp.load();
}

u64 Hart::timer_deadline() const { return core_->csr.stimecmp; }
Nanos Hart::wait_bound() const { return core_->wait_bound; }
void Hart::check_timer() { core_->mailbox.call(attention::kTimer); }

void Hart::set_interrupt(Interrupt which, bool pending) {
  const u64 bit = u64{1} << static_cast<u32>(which);
  if (!pending) {
    core_->csr.sip.fetch_and(~bit);
    return;
  }
  core_->csr.sip.fetch_or(bit);
  core_->mailbox.call(attention::kInterrupt);
}

void Hart::request_exit() { core_->mailbox.call(attention::kExit); }

namespace {

// The SBI: a start and size of 0, or a size of all ones, mean the whole space.
Fence range_fence(GuestVirt start, u64 size, Fence whole) {
  const bool all = (start.raw == 0 && size == 0) || size > kMostSinglePages * kPageSize;
  if (all) return whole;
  const u64 first = start.raw & ~kPageMask;
  const u64 pages = (start.raw - first + size + kPageMask) >> kPageShift;
  return {Fence::Kind::kRange, whole.asid, GuestVirt{first}, Pages{pages}};
}

void post(Core& core, const Fence& fence, Wait wait) {
  core.mailbox.post(fence);
  if (wait == Wait::kUntilDone) core.mailbox.await_fences();
}

}  // namespace

void Hart::post_fence_i(Wait wait) { post(*core_, {Fence::Kind::kInstructions, 0, {}, {}}, wait); }

void Hart::post_sfence_vma(GuestVirt start, u64 size, Wait wait) {
  post(*core_, range_fence(start, size, {Fence::Kind::kAll, 0, {}, {}}), wait);
}

void Hart::post_sfence_vma_asid(GuestVirt start, u64 size, u64 asid, Wait wait) {
  post(*core_, range_fence(start, size, {Fence::Kind::kSpace, static_cast<u16>(asid), {}, {}}), wait);
}

void Hart::await_fences() { core_->mailbox.await_fences(); }
bool Hart::fence_outstanding() const { return core_->mailbox.fence_outstanding(); }

void Hart::sleep(Nanos at_most) {
  const Nanos bound = std::min(at_most, core_->wait_bound);
  if (bound.raw == 0) {
    std::this_thread::yield();
  } else if (!interrupt_pending()) {
    core_->mailbox.sleep(bound);
  }
}

void Hart::ask_for_safe_point() { core_->mailbox.call(attention::kSafePoint); }

void Hart::forget(const memory::PageSet& pages) {
  core_->walker.forget();
  if (core_->tlb.forget(pages)) fence_instructions(*core_);
}

}  // namespace cloister::hart
