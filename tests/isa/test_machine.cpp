// SPDX-License-Identifier: Apache-2.0
#include "isa/test_machine.h"

#include <span>

#include "base/check.h"
#include "isa/csr.h"

namespace cloister::isa_tests {
namespace {

constexpr u8 kTrapped = 24, kCause = 25, kTval = 26, kEpc = 27, kFloatOn = 28, kFcsr = 29, kStatus = 30,
             kVector = 31;

constexpr u32 number(isa::Csr csr) { return static_cast<u32>(csr); }

Program trap_handler() {
  Program program;
  program << Insn{.op = Op::addi, .rd = kTrapped, .imm = 1} << read_csr(kCause, number(isa::Csr::scause))
          << read_csr(kTval, number(isa::Csr::stval)) << read_csr(kEpc, number(isa::Csr::sepc))
          << Insn{.op = Op::ecall};
  return program;
}

Program epilogue(bool float_on) {
  Program program;
  if (float_on) program << read_csr(kFcsr, number(isa::Csr::fcsr));
  program << Insn{.op = Op::ecall};
  return program;
}

}  // namespace

Program& Program::operator<<(const Program& more) {
  halves_.insert(halves_.end(), more.halves_.begin(), more.halves_.end());
  return *this;
}

Insn read_csr(u8 rd, u32 csr) { return {.op = Op::csrrs, .rd = rd, .imm = static_cast<i32>(csr)}; }
Insn write_csr(u32 csr, u8 rs1) { return {.op = Op::csrrw, .rs1 = rs1, .imm = static_cast<i32>(csr)}; }

Program load_constant(u8 rd, u64 value) {
  Program program;
  program << Insn{.op = Op::addi, .rd = rd};
  for (int shift = 55; shift >= 0; shift -= 11) {
    program << Insn{.op = Op::slli, .rd = rd, .rs1 = rd, .imm = 11}
            << Insn{.op = Op::ori, .rd = rd, .rs1 = rd, .imm = static_cast<i32>(value >> shift & 0x7ff)};
  }
  return program;
}

const Program& TestMachine::prologue() {
  static const Program kPrologue = Program() << write_csr(number(isa::Csr::stvec), kVector)
                                             << write_csr(number(isa::Csr::sstatus), kFloatOn)
                                             << write_csr(number(isa::Csr::fcsr), kFcsr)
                                             << write_csr(number(isa::Csr::sstatus), kStatus);
  return kPrologue;
}

TestMachine::TestMachine()
    : memory_(memory::GuestMemory::create({kBase}, {kSize}).take()),
      hart_(std::make_unique<hart::Hart>(0, *memory_, *this)) {
  place(kHandler, trap_handler());
}

void TestMachine::place(u64 address, const Program& program) {
  CHECK(memory_->write({address}, std::as_bytes(std::span(program.halves()))));
}

Outcome TestMachine::run(const Program& program) {
  u64 kept[isa::kRegisters];
  for (u32 i = 0; i < isa::kRegisters; ++i) kept[i] = hart_->reg(i);
  place(kCode, Program() << prologue() << program << epilogue(float_on_));
  hart_->post_fence_i();
  hart_->reset(kCode, 0);
  for (u32 i = 1; i < isa::kRegisters; ++i) hart_->set_reg(i, kept[i]);
  hart_->set_reg(kTrapped, 0);
  hart_->set_reg(kVector, kHandler);
  hart_->set_reg(kFloatOn, isa::sstatus::kFsInitial);
  hart_->set_reg(kFcsr, fcsr_);
  hart_->set_reg(kStatus, float_on_ ? isa::sstatus::kFsInitial : 0);
  done_ = false;
  Outcome outcome;
  // Bound: no program of these tests needs a hundredth of it.
  for (int turn = 0; turn < 1000 && !done_; ++turn) {
    if (hart_->run(100) == hart::Exit::kWait) ++outcome.waits;
  }
  CHECK(done_);
  outcome.trapped = reg(kTrapped) != 0;
  outcome.cause = reg(kCause);
  outcome.tval = reg(kTval);
  outcome.epc = reg(kEpc);
  outcome.fcsr = reg(kFcsr);
  return outcome;
}

void TestMachine::store(u64 address, u64 value, u32 size) {
  CHECK(size <= sizeof(value));
  CHECK(memory_->write({address}, std::as_bytes(std::span(&value, 1)).first(size)));
}

u64 TestMachine::load(u64 address, u32 size) {
  u64 value = 0;
  CHECK(size <= sizeof(value));
  CHECK(memory_->read({address}, std::as_writable_bytes(std::span(&value, 1)).first(size)));
  return value;
}

// One register of each size, which reads as the complement of its address.
bool TestMachine::device_load(GuestPhys address, u32 /*size*/, u64& value) {
  value = ~address.raw;
  return address.raw == kDevice;
}
bool TestMachine::device_store(GuestPhys address, u32 /*size*/, u64 /*value*/) {
  return address.raw == kDevice;
}

void TestMachine::supervisor_call(hart::Hart& hart) {
  done_ = true;
  hart.request_exit();
}

void TestMachine::timer_changed(hart::Hart& /*hart*/, u64 when) { deadline = when; }

}  // namespace cloister::isa_tests
