// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "hart/block.h"
#include "jit/x64/compiler.h"
#include "jit/x64/emitter.h"

namespace cloister::jit::x64 {

// Turns one region into code: a header, slots, the entry, the blocks in their order, and behind them, out of
// the way of the straight path, what is seldom run: slow accesses, exits, second copies of blocks with access
// groups.
//
// When code leaves the region or calls into the host, the registers that may have been written go to the
// State.
class RegionCode final : private asmjit::ErrorHandler {
 public:
  RegionCode(const ir::Region& region, const Thunks& thunks);
  std::optional<Code> emit(CodeCache& cache);

 private:
  using Label = asmjit::Label;

  // The step being emitted, and its place.
  struct Here {
    const ir::Block* block;
    u32 block_index;
    u32 step;
    bool grouped;  // the first copy of the block, where access groups are open
    const ir::Step& current() const { return block->steps[step]; }
  };
  // Code out of the straight path, emitted after it.
  using Later = std::function<void()>;

  // A way into the region, and the way back out of it when it is of another epoch.
  struct Entrance {
    Label label;
    u32 block_index;
  };

  // A jump that may become direct: a pointer in the header that jmp goes through.
  struct Slot {
    Label pointer;
    Label stub;
    u16 offset;  // of the target in the page
  };

  // An instruction that does not exist is our mistake.
  void handleError(asmjit::Error error, const char* message, asmjit::BaseEmitter* origin) override;

  // region_code.cpp
  void run_later(std::size_t index);
  void find_written();
  void emit_entries();
  void emit_entry(u32 block_index);
  void emit_block(u32 index);
  void emit_steps(Here here);
  void emit_step(const Here& here);
  void emit_shared();
  void emit_slots();
  void check_stop(u32 block_index);
  void spill(u64 registers);
  void reload(u64 registers);
  u64 written_before(const Here& here) const;
  std::optional<Code> finish(CodeCache& cache);

  // control_code.cpp
  void emit_end(const Here& here);
  void emit_branch(const Here& here);
  void emit_jump(const Here& here);
  void emit_indirect(const Here& here);
  void go_to(const Here& here, i32 block, i64 offset);
  void leave_to_page_offset(u64 written, i64 offset);
  void leave_to_rax();
  void set_pc(i64 page_offset);

  // system_code.cpp
  void emit_csr(const Here& here);
  bool emit_plain_csr(const Here& here);
  bool emit_status(const Here& here);
  void need_supervisor(const Here& here);
  void call_csr(const Here& here);
  void load_status(const x86::Gp& to);
  void write_interrupt_enable(const Here& here);
  void go_on(const Here& here);

  // access_code.cpp
  void emit_load(const Here& here);
  void emit_store(const Here& here);
  void open_group(const Here& here);
  // rcx = addend for the access; jumps to `slow` when the soft TLB has no answer. rax holds the address.
  void look_up(u32 size, bool write, const Label& slow);
  x86::Mem host_place(const Here& here, u32 size);
  void finish_load(const isa::Insn& insn, const x86::Mem& from);
  void finish_store(const isa::Insn& insn, const x86::Mem& to);
  void slow_load(Here here, const Label& slow, const Label& back);
  void slow_store(Here here, const Label& slow, const Label& back);
  // The rest of the block without groups: where to go on after a slow access inside a group.
  const Label& ungrouped(const Here& here);
  // atomic_code.cpp
  bool emit_atomic(const Here& here);
  void emit_store_conditional(const isa::Insn& insn, u32 size);

  // call_code.cpp
  CallSite& site(const Here& here);
  void call_handler(const Here& here);
  void call_last_handler(const Here& here);
  void prepare_call(const CallSite& site, const Here& here);

  // float_code.cpp
  bool emit_float(const Here& here);
  bool emit_float_conversion(const Here& here);
  bool float_binary(const Here& here, u32 id, bool is_double);
  bool float_root(const Here& here, bool is_double);
  bool float_fused(const Here& here, u32 id, bool is_double);
  bool float_compare(const Here& here, bool is_double);
  bool float_to_integer(const Here& here, u32 width, bool is_double);
  bool float_from_integer(const Here& here, u32 width, bool is_double);
  bool float_sign(const isa::Insn& insn);
  bool float_move(const Here& here);
  bool float_widen(const Here& here);
  bool takes_current_rounding(const isa::Insn& insn) const { return insn.rm == 7; }
  void need_number(const x86::Xmm& value, bool is_double, const Label& otherwise);
  void need_boxed(u8 reg, const Label& otherwise);
  void finish_float(const isa::Insn& insn, const x86::Xmm& value, bool is_double);
  // At `otherwise`, out of the way: the interpreter's handler, then `back`.
  void by_handler(const Here& here, const Label& otherwise, const Label& back);

  const ir::Region& region_;
  const Thunks& thunks_;
  asmjit::CodeHolder holder_;
  x86::Assembler a_;
  const Homes homes_;
  Emitter emit_;

  std::vector<u64> written_;   // by block: registers that may have been written when it is entered
  u64 all_written_ = 0;        // anywhere in the region
  bool dirty_marked_ = false;  // in this block: sstatus.FS is known to be Dirty
  u32 boxed_ = 0;              // f registers known to hold a NaN-boxed single, in this block

  std::vector<Label> block_labels_;
  std::vector<std::vector<Label>> second_copies_;  // by block and step; not valid: not asked for
  Label header_, spill_all_, reload_all_, load_homes_;
  std::vector<Entrance> entrances_;
  std::vector<Slot> slots_;
  std::vector<Later> later_;
  std::unique_ptr<CallSite[]> sites_;
  std::size_t used_sites_ = 0;
  std::size_t most_sites_ = 0;
};

}  // namespace cloister::jit::x64
