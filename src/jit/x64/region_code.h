// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <vector>

#include "hart/block.h"
#include "jit/x64/compiler.h"
#include "jit/x64/emitter.h"
#include "jit/x64/image.h"
#include "jit/x64/region_parts.h"

namespace cloister::jit::x64 {

// What a call of the host's code brings back in eax.
enum : u32 {
  kLeft,        // not on in this code: after an instruction, State::pc is where
  kGoOn,        // on in this code
  kGoOnAfresh,  // likewise, but what look-ups found is good no longer: the soft TLB has forgotten pages
};

// Turns one region into code: a header, slots, the entry, the blocks in their order, and behind them, out of
// the way of the straight path, what is seldom run: slow accesses, exits, second copies of blocks with access
// groups.
//
// When code leaves the region or calls into the host, the registers that may have been written go to the
// State.
class RegionCode final : private asmjit::ErrorHandler {
 public:
  RegionCode(const ir::Region& region, const Features& features);
  Image emit();

 private:
  using Label = asmjit::Label;

  // The step being emitted, and its place.
  struct Here {
    const ir::Block* block;
    u32 block_index;
    u32 step;
    bool grouped;                    // the first copy of the block, where access groups are open
    const Rounds* rounds = nullptr;  // a copy of the block in a loop's rounds without checks,
    std::size_t place = 0;           // which of its blocks,
    u32 copy = 0;                    // and which of its copies
    const ir::Step& current() const { return block->steps[step]; }
  };
  // Code out of the straight path, emitted after it, and what is known of registers where it is entered.
  struct Later {
    std::function<void()> emit;
    Knowledge known;
    const Homes* homes;
  };

  // An instruction that does not exist is our mistake.
  void handleError(asmjit::Error error, const char* message, asmjit::BaseEmitter* origin) override;

  // region_code.cpp
  void later(std::function<void()> emit) { later(std::move(emit), emit_.knowledge()); }
  void later(std::function<void()> emit, const Knowledge& known) {
    later_.push_back({std::move(emit), known, &emit_.homes()});
  }
  void run_later(std::size_t index);
  void find_written();
  void emit_entries();
  void emit_entrance(u32 block_index);
  void emit_common_entry();
  void check_place(const Label& otherwise);
  void go_below();
  void count_entry(const Label& hot);
  void emit_ways_out(const Label& interpret, const Label& hot);
  void leave_at(u32 block_index, u64 exit);
  void emit_loop_head(u32 block_index);
  const Label& thunk(Thunk which) const { return thunks_[static_cast<std::size_t>(which)]; }
  void load_header(const x86::Gp& to);
  void load_address(const x86::Gp& to, Image::Patch::Kind kind, u32 offset);
  void count_down(i32 by, const Label& hot);
  bool is_fallen_into(u32 index) const;
  void emit_block(u32 index);
  void emit_steps(Here here);
  void emit_step(const Here& here);
  void emit_slots();
  void find_order();
  // At entries and at the heads of loops: goes to `stop` when the hart must be looked after, or may have to
  // be before the next check.
  void check_stop(const Label& stop);
  void spill(u64 registers);
  void reload(u64 registers);
  u64 written_before(const Here& here) const;
  Image finish();

  // control_code.cpp
  void emit_end(const Here& here);
  void emit_branch(const Here& here);
  void emit_jump(const Here& here);
  void emit_indirect(const Here& here);
  void compare_returns(const Here& here);
  void jump_by_table(const Here& here);
  bool falls_through(const Here& here, i32 block) const;
  const Label& label_of(const Here& here, i32 block) const;
  void go_to(const Here& here, i32 block, i64 offset);
  void leave_to_page_offset(u64 written, i64 offset, Leaving leaving = {});
  // Precondition: all registers are in the State.
  void leave_to_rax(Target target, Leaving leaving = {});
  void note_return(Leaving leaving, const std::function<void()>& call);
  void jump(Target target);
  void jump_by_cache(bool notes);
  void leave_by_slot(const Label& jump, i32 offset);
  void set_pc(i64 page_offset);

  // loop_code.cpp
  void find_rounds();
  void place_bulk(Rounds& rounds) const;
  bool place_asides(Rounds& rounds, std::vector<x86::Gp>& spare) const;
  const Rounds* rounds_between(u32 last, u32 head) const;
  void emit_rounds(const Rounds& rounds);
  void emit_round_end(const Here& here);
  void emit_branch_in_round(const Here& here);
  void emit_aside(const Here& here, const ir::Aside& aside);
  void go_round(const Here& here);
  Knowledge known_at_head(const Rounds& rounds) const;
  void settle_for_head(const Rounds& rounds);
  void check_stretch(const Rounds& rounds, const Label& otherwise);
  void load_in_page(const ir::Stream& stream, const ir::Sum& place);
  void check_place(const ir::Stream& stream, const ir::Sum& place, const Label& otherwise);
  void count_rounds(const ir::Stream& stream);
  void enter_rounds(const Rounds& rounds);
  void leave_rounds(const Rounds& rounds);
  u32 steps_to(const Here& here) const;
  void restore_countdown(const Rounds& rounds, u32 done);
  // Goes on with this step in the loop's ordinary code.
  Label leave_rounds_before(const Here& here);
  std::optional<x86::Mem> streamed_place(const Here& here, u32 size);
  void open_group_in_round(const Here& here);

  // system_code.cpp
  void emit_csr(const Here& here);
  bool emit_plain_csr(const Here& here);
  bool emit_status(const Here& here);
  void need_supervisor(const Here& here);
  void call_csr(const Here& here);
  void emit_csr_call();
  void load_status(const x86::Gp& to);
  void write_interrupt_enable(const Here& here);
  void go_on(const Here& here);

  // access_code.cpp
  void emit_access(const Here& here, bool write);
  bool holds_addend(u16 slot) const;
  x86::Mem member_place(const Here& here, u32 size);
  x86::Mem single_place(const Here& here, u32 size, bool write, const Label& back);
  x86::Gp address_of(const isa::Insn& insn);
  void open_group(const Here& here);
  void compare_with_slot(const Here& here, const Label& otherwise);
  void note_in_slot(const ir::Group& group);
  void find_group(const Here& here, const Label& otherwise);
  void find_or_fill_group(const Here& here);
  void fill_group(const Here& here);
  void forget_found(i32 depth);
  // rcx = addend for the access; jumps to `otherwise` when the soft TLB has no answer. Uses rdx.
  void look_up(const x86::Gp& address, u32 size, bool read, bool write, const Label& otherwise);
  void finish_load(const isa::Insn& insn, const x86::Mem& from);
  void finish_store(const isa::Insn& insn, const x86::Mem& to);
  bool emit_zero_block(const Here& here);
  // Where the second copy goes on from `step`. All values must be wide.
  const Label& ungrouped(const Here& here, u32 step);

  // atomic_code.cpp
  bool emit_atomic(const Here& here);
  void emit_alone(const isa::Insn& insn, u32 operation, const x86::Mem& place, u32 size);
  void emit_store_conditional(const isa::Insn& insn, u32 size);

  // call_code.cpp
  CallSite& site(const Here& here);
  void call_handler(const Here& here);
  void call_last_handler(const Here& here);
  void by_handler(const Here& here, const Label& otherwise, const Label& back);
  void emit_calls();
  // By what was emitted so far. Precondition: it is not bound.
  bool is_used(const Label& label) const { return holder_.labelEntry(label)->links() != nullptr; }
  void emit_call(const Label& label, u64 (*function)(hart::State&, const CallSite&));
  void spill_for_call();

  // flags_code.cpp
  void emit_flags_access(const Here& here);
  bool emit_quiet_comparison(const Here& here);
  void gather_flags(const Here& here);

  // float_code.cpp
  bool emit_float(const Here& here);
  bool emit_float_conversion(const Here& here);
  bool float_binary(const Here& here, FloatOp op, bool is_double);
  bool float_root(const Here& here, bool is_double);
  bool float_fused(const Here& here, FusedOp op, bool is_double);
  void emit_fused(const isa::Insn& insn, FusedOp op, const x86::Xmm& to, bool is_double);
  bool float_compare(const Here& here, bool is_double);
  bool float_to_integer(const Here& here, u32 width, bool is_double);
  bool float_from_integer(const Here& here, u32 width, bool is_double);
  bool float_sign(const isa::Insn& insn);
  bool float_move(const Here& here);
  bool float_widen(const Here& here);
  static bool takes_current_rounding(const isa::Insn& insn) { return insn.rm == 7; }
  x86::Xmm float_source(u8 reg, bool is_double, const x86::Xmm& scratch);
  void need_boxed(u8 reg, const Label& otherwise);
  void finish_float(const isa::Insn& insn, const x86::Xmm& value, bool is_double);

  // nan_code.cpp
  // Before other code: all registers become what the guest sees.
  void settle();
  void settle_float(u8 reg);
  void make_canonical(const x86::Xmm& value, bool is_double);
  void finish_arithmetic(const isa::Insn& insn, const x86::Xmm& value, bool is_double);

  const ir::Region& region_;
  asmjit::CodeHolder holder_;
  x86::Assembler a_;
  asmjit::Section* cold_ = nullptr;  // for what seldom runs
  std::array<Label, kThunks> thunks_;
  Image image_;
  const Homes homes_;
  Emitter emit_;

  std::vector<u64> written_;  // by block: registers that may have been written when it is entered
  u64 all_written_ = 0;       // anywhere in the region
  Knowledge known_before_;    // the step being emitted
  static constexpr u16 kNoSlot = 0xffff;
  u16 held_slot_ = kNoSlot;    // whose addend rcx holds,
  std::size_t held_at_ = 0;    // at this place of the code
  bool dirty_marked_ = false;  // in this block: sstatus.FS is known to be Dirty

  std::vector<Label> block_labels_;
  std::vector<std::vector<Label>> second_copies_;  // by block and step; not valid: not asked for
  std::vector<u32> order_;                         // in which the blocks lie
  std::vector<u32> place_in_order_;                // by block
  std::vector<bool> loop_heads_;                   // by block
  std::vector<bool> has_entrance_;                 // by block
  std::vector<Knowledge> known_at_end_;            // by block: where its last step begins
  Label enter_, enter_far_, stale_, alone_, leave_at_, leave_slot_;
  Label call_step_, call_fill_, call_csr_, call_last_;
  std::vector<Label> entrances_;  // by block
  std::vector<Slot> slots_;
  std::vector<Table> tables_;
  std::deque<Rounds> rounds_;
  std::vector<Later> later_;
  std::shared_ptr<Sites> sites_ = std::make_shared<Sites>();
};

}  // namespace cloister::jit::x64
