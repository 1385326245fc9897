// SPDX-License-Identifier: Apache-2.0
#include "lockstep/hart_executor.h"

#include <cstring>

#include "base/check.h"
#include "hart/hart.h"
#include "isa/encode.h"
#include "isa/registers.h"
#include "jit/translator.h"
#include "memory/guest_memory.h"

namespace cloister::lockstep {
namespace {

using isa::Op;
namespace reg = isa::reg;

constexpr u64 kMemoryBytes = 64 * kMiB;
constexpr Bytes kCode{16 * kMiB}, kLittleCode{256 * kKiB};
// Bound: no program here runs longer; one that does has lost its way.
constexpr u64 kMostInstructions = 400'000'000;

// Behind the image: the boot code, the page that holds its page table.
constexpr u64 kBoot = kImageBase + kMemoryBytes - 2 * kPageSize;
constexpr u64 kTable = kImageBase + kMemoryBytes - kPageSize;

constexpr i32 kCsrSstatus = 0x100, kCsrSatp = 0x180;
constexpr i32 kFsDirtyUpper = 0x6;  // sstatus.FS, shifted right by 12
constexpr u64 kSv39 = u64{8} << 60;
constexpr u64 kGigapage = 0xcf;  // V R W X A D

class BareMachine final : public hart::Environment {
 public:
  u64 time() override { return 0; }
  bool device_load(GuestPhys, u32, u64&) override { return false; }
  bool device_store(GuestPhys, u32, u64) override { return false; }
  void timer_changed(hart::Hart&, u64) override {}

  void supervisor_call(hart::Hart& hart) override {
    if (hart.reg(reg::a7) == kCallWrite) return hart.set_reg(reg::a0, hart.reg(reg::a2));
    exited_ = hart.reg(reg::a7) == kCallExit;
    hart.request_exit();
  }

  bool exited() const { return exited_; }

 private:
  bool exited_ = false;
};

// sstatus.FS on, satp from a1, and off to the image.
std::vector<u32> boot_code() {
  return {
      isa::encode({.op = Op::lui, .rd = reg::t0, .imm = kFsDirtyUpper << 12}),
      isa::encode({.op = Op::csrrs, .rs1 = reg::t0, .imm = kCsrSstatus}),
      isa::encode({.op = Op::csrrw, .rs1 = reg::a1, .imm = kCsrSatp}),
      isa::encode({.op = Op::sfence_vma}),
      isa::encode({.op = Op::addi, .rd = reg::t0, .imm = 1}),
      isa::encode({.op = Op::slli, .rd = reg::t0, .rs1 = reg::t0, .imm = 31}),
      isa::encode({.op = Op::jalr, .rs1 = reg::t0}),
  };
}
static_assert(kImageBase == u64{1} << 31);

void load(memory::GuestMemory& memory, const Image& image) {
  CHECK(image.bytes.size() < kBoot - kImageBase);
  CHECK(memory.write({kImageBase}, image.bytes));
  const std::vector<u32> boot = boot_code();
  CHECK(memory.write({kBoot}, std::as_bytes(std::span(boot))));
  // One gigapage, onto itself: entry 2 of the root.
  const u64 entry = kImageBase >> 12 << 10 | kGigapage;
  CHECK(memory.write({kTable + (kImageBase >> 30) * 8}, std::as_bytes(std::span(&entry, 1))));
}

}  // namespace

const char* HartExecutor::name() const {
  switch (engine_) {
    case Engine::kInterpreter:
      return paging_ == Paging::kBare ? "interpreter, bare" : "interpreter, Sv39";
    case Engine::kTranslator:
      return paging_ == Paging::kBare ? "translator, bare" : "translator, Sv39";
    case Engine::kTranslatorPlain:
      return "translator, for a plain host";
    case Engine::kTranslatorTight:
      return "translator, with little room";
  }
  return "?";
}

Result<std::vector<State>> HartExecutor::run(const Program&, const Image& image) {
  const auto memory = TRY(memory::GuestMemory::create({kImageBase}, {kMemoryBytes}));
  load(*memory, image);
  BareMachine machine;
  std::unique_ptr<jit::Translator> translator;
  hart::HartOptions options;
  if (engine_ != Engine::kInterpreter) {
    const bool tight = engine_ == Engine::kTranslatorTight;
    // With little room it also has the atomics of a hart that is alone, as this one is.
    jit::TranslatorOptions made{
        .code_cache = tight ? kLittleCode : kCode, .is_alone = tight, .hot = 2, .very_hot = 8};
    if (engine_ == Engine::kTranslatorPlain) made.features = {};
    translator = TRY(jit::Translator::create(made));
    options.translator = translator.get();
    if (tight) options.tlb_entries = 4;
  }
  hart::Hart hart(0, *memory, machine, options);
  hart.reset(kBoot, paging_ == Paging::kSv39 ? kSv39 | kTable >> 12 : 0);
  while (!machine.exited()) {
    hart.run(1'000'000);
    // A trap goes to address 0, where nothing is.
    if (hart.pc() < kImageBase || hart.instructions() > kMostInstructions)
      return error("lost at pc {:#x} after {} instructions", hart.pc(), hart.instructions());
  }
  executed_ += hart.instructions();
  std::vector<std::byte> areas(area_bytes(image));
  CHECK(memory->read({kImageBase + image.areas}, areas));
  return states_in(areas, image.states);
}

}  // namespace cloister::lockstep
