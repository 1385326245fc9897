// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "hart/hart.h"
#include "isa/cause.h"
#include "isa/csr.h"
#include "isa/encode.h"
#include "isa/insn.h"
#include "isa/pte.h"
#include "memory/guest_memory.h"

// For tests: a hart in a bare machine, made to execute short pieces of code.
namespace cloister::hart::testing {

using isa::Csr;
using isa::Op;

inline constexpr u64 kBase = 0x80000000;
inline constexpr u64 kSize = 16 * kMiB;
inline constexpr u64 kMonitor = kBase;          // the first page: monitor and trap handler
inline constexpr u64 kHandler = kBase + 0x100;  // stvec
inline constexpr u64 kCode = kBase + 0x10000;   // run()'s pieces, one behind the other
inline constexpr u64 kData = kBase + 0x100000;  // for tests
inline constexpr u64 kTables = kBase + 0x800000;
inline constexpr u64 kDevice = 0x10000000;  // a register that reads back what was written

enum Reg : u8 {
  zero,
  ra,
  sp,
  gp,
  tp,
  t0,
  t1,
  t2,
  s0,
  s1,
  a0,
  a1,
  a2,
  a3,
  a4,
  a5,
  a6,
  a7,
  s2,
  s3,
  s4,
  s5,
  s6
};

// -- Instructions -----------------------------------------------------------------------------------------

inline u32 code(Op op, u32 rd, u32 rs1, u32 rs2, i32 imm = 0) {
  isa::Insn insn;
  insn.op = op;
  insn.rd = static_cast<u8>(rd);
  insn.rs1 = static_cast<u8>(rs1);
  insn.rs2 = static_cast<u8>(rs2);
  insn.imm = imm;
  return isa::encode(insn);
}
inline u32 code(Op op) { return code(op, 0, 0, 0); }
inline u32 addi(u32 rd, u32 rs1, i32 imm) { return code(Op::addi, rd, rs1, 0, imm); }
inline u32 load(Op op, u32 rd, u32 rs1, i32 imm = 0) { return code(op, rd, rs1, 0, imm); }
inline u32 store(Op op, u32 rs2, u32 rs1, i32 imm = 0) { return code(op, 0, rs1, rs2, imm); }
inline u32 branch(Op op, u32 rs1, u32 rs2, i32 offset) { return code(op, 0, rs1, rs2, offset); }
inline u32 csrr(u32 rd, Csr csr) { return code(Op::csrrs, rd, 0, 0, static_cast<i32>(csr)); }
inline u32 csrw(Csr csr, u32 rs1) { return code(Op::csrrw, 0, rs1, 0, static_cast<i32>(csr)); }
inline u32 csrs(Csr csr, u32 rs1) { return code(Op::csrrs, 0, rs1, 0, static_cast<i32>(csr)); }
inline u32 csrc(Csr csr, u32 rs1) { return code(Op::csrrc, 0, rs1, 0, static_cast<i32>(csr)); }
inline u32 sfence(u32 rs1 = 0, u32 rs2 = 0) { return code(Op::sfence_vma, 0, rs1, rs2); }

struct Trap {
  u64 cause = 0;
  u64 tval = 0;
  u64 epc = 0;
  bool is(isa::Cause which) const { return cause == isa::scause_of(which); }
  bool is(isa::InterruptCause which) const { return cause == isa::scause_of(which); }
};

// One hart over memory that others may share. Code runs in S-mode with translation off until a test changes
// that.
class TestGuest : public Environment {
 public:
  explicit TestGuest(HartOptions options = {}, memory::GuestMemory* shared = nullptr, u64 id = 0)
      : own_(shared != nullptr ? nullptr
                               : memory::GuestMemory::create(GuestPhys{kBase}, Bytes{kSize}).take()),
        memory_(shared != nullptr ? *shared : *own_),
        hart_(id, memory_, *this, options),
        next_code_(kCode + id * 0x10000) {
    constexpr u32 x17 = 17, x28 = 28, x29 = 29, x30 = 30, x31 = 31;
    put(kMonitor, {addi(x17, 0, 0), code(Op::ecall), code(Op::jalr, 0, x31, 0)});
    put(kHandler, {csrr(x28, Csr::scause), csrr(x29, Csr::stval), csrr(x30, Csr::sepc), addi(x17, 0, 1),
                   code(Op::ecall), code(Op::jalr, 0, x31, 0)});
    hart_.reset(kMonitor, 0);
    finish();
    set(t0, kHandler);
    run({csrw(Csr::stvec, t0)});
  }

  Hart& hart() { return hart_; }
  memory::GuestMemory& memory() { return memory_; }
  u64 reg(u32 index) const { return hart_.reg(index); }
  void set(u32 index, u64 value) { hart_.set_reg(index, value); }

  // Lays `words` at `address`.
  void put(u64 address, std::span<const u32> words) {
    memory_.write(GuestPhys{address}, std::as_bytes(words));
  }
  void put(u64 address, std::initializer_list<u32> words) {
    put(address, std::span<const u32>(words.begin(), words.size()));
  }
  void poke(u64 address, u64 value) { memory_.store<u64>(GuestPhys{address}, value); }
  u64 peek(u64 address) { return memory_.load<u64>(GuestPhys{address}).value_or(~u64{0}); }

  // Where run() will lay its next piece.
  u64 next_code() const { return next_code_; }
  // Executes `words` and comes back at their end, or with the trap that they took. The end needs registers
  // x17 and x28 to x31.
  std::optional<Trap> run(std::initializer_list<u32> words) {
    prepare(words);
    return finish();
  }
  // The same at `address`, where code lies already: it ends with a trap or end_of_code().
  std::optional<Trap> run_at(u64 address) {
    set(31, address);
    return finish();
  }
  // Lays `words` and has the hart execute them when it next runs.
  void prepare(std::initializer_list<u32> words) {
    std::vector<u32> all(words);
    for (const u32 word : end_of_code()) all.push_back(word);
    put(next_code_, all);
    ended_ = false;
    set(31, next_code_);
    next_code_ += (all.size() * 4 + 63) / 64 * 64;
  }
  static std::vector<u32> end_of_code() {
    return {addi(17, 0, 0), code(Op::ecall), code(Op::jalr, 0, 31, 0)};
  }

  // Runs until code that was prepared is at its end. Bound: 2^24 instructions.
  std::optional<Trap> finish() {
    ended_ = false;
    for (u32 i = 0; i < 256 && !ended_; ++i) last_exit_ = hart_.run(1 << 16);
    CHECK(ended_);
    if (reg(17) == 0) return std::nullopt;
    return Trap{reg(28), reg(29), reg(30)};
  }
  bool ended() const { return ended_; }

  // In U-mode, at `address`.
  std::optional<Trap> run_user(u64 address) {
    set(t0, address);
    set(t1, isa::sstatus::kSpp);
    return run({csrw(Csr::sepc, t0), csrc(Csr::sstatus, t1), code(Op::sret)});
  }

  // -- The environment ------------------------------------------------------------------------------------
  u64 time() override { return now; }
  bool device_load(GuestPhys address, u32 size, u64& value) override {
    if (address.raw < kDevice || address.raw >= kDevice + 8) return false;
    value = device_register & (size == 8 ? ~u64{0} : (u64{1} << 8 * size) - 1);
    return true;
  }
  bool device_store(GuestPhys address, u32 /*size*/, u64 value) override {
    if (address.raw < kDevice || address.raw >= kDevice + 8) return false;
    device_register = value;
    return true;
  }
  void supervisor_call(Hart& hart) override {
    ended_ = true;
    hart.request_exit();
  }
  void timer_changed(Hart& /*hart*/, u64 deadline) override { last_deadline = deadline; }

  u64 now = 0;
  u64 device_register = 0;
  u64 last_deadline = 0;

 private:
  std::unique_ptr<memory::GuestMemory> own_;
  memory::GuestMemory& memory_;
  Hart hart_;
  u64 next_code_;
  bool ended_ = false;
  Exit last_exit_ = Exit::kBudget;
};

// -- Page tables ------------------------------------------------------------------------------------------

namespace pte = isa::pte;
inline constexpr u64 kReadWrite = pte::kValid | pte::kRead | pte::kWrite;
inline constexpr u64 kAll = kReadWrite | pte::kExecute;
inline constexpr u64 kUsed = pte::kAccessed | pte::kDirty;

// A tree of page tables in a guest's memory. What the harness needs (everything from kBase, at its physical
// address) is mapped for the supervisor.
class TestTables {
 public:
  TestTables(TestGuest& guest, isa::PagingShape shape, u64 first_table = kTables)
      : guest_(guest), shape_(shape), next_(first_table), root_(allocate()) {
    constexpr u32 kGigabyteLevel = 2;
    map(kBase, kBase, kAll | kUsed | pte::kGlobal, kGigabyteLevel);
  }

  // Maps the page of `va` by a leaf of `level` to `pa`.
  void map(u64 va, u64 pa, u64 flags, u32 level = 0) {
    guest_.poke(place(va, level), pa >> 12 << 10 | flags);
  }
  // Where the leaf of `level` for `va` lies.
  u64 place(u64 va, u32 level = 0) {
    u64 table = root_;
    for (u32 i = shape_.levels - 1; i > level; --i) {
      const u64 at = table + 8 * isa::PagingShape::index(va, i);
      if (guest_.peek(at) == 0) guest_.poke(at, allocate() >> 12 << 10 | pte::kValid);
      table = pte::ppn(guest_.peek(at)) << 12;
    }
    return table + 8 * isa::PagingShape::index(va, level);
  }
  u64 entry_of(u64 va, u32 level = 0) { return guest_.peek(place(va, level)); }
  u64 satp(u64 asid = 0) const {
    return u64{shape_.satp_mode} << isa::satp::kModeShift | asid << isa::satp::kAsidShift | root_ >> 12;
  }
  void activate(u64 asid = 0) {
    guest_.set(t0, satp(asid));
    guest_.run({csrw(Csr::satp, t0)});
  }

 private:
  u64 allocate() {
    next_ += kPageSize;
    return next_ - kPageSize;
  }

  TestGuest& guest_;
  isa::PagingShape shape_;
  u64 next_;
  u64 root_;
};

}  // namespace cloister::hart::testing
