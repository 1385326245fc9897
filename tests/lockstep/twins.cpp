// SPDX-License-Identifier: Apache-2.0
#include "lockstep/twins.h"

#include <fmt/format.h>

#include <cstring>
#include <numeric>

#include "base/check.h"
#include "isa/csr.h"
#include "isa/encode.h"
#include "isa/registers.h"
#include "lockstep/calls.h"
#include "lockstep/image.h"
#include "lockstep/loops.h"
#include "lockstep/mixture.h"
#include "memory/testing_host.h"

namespace cloister::lockstep {
namespace {

using isa::Op;
namespace reg = isa::reg;

constexpr u64 kBase = 0x80000000, kBytes = 8 * kMiB;
constexpr u64 kCode = kBase + 0x10000, kTables = kBase + 0x200000, kData = kBase + 0x400000,
              kBoot = kBase + 0x700000, kHandler = kBoot + 0x1000;
static_assert(kBase == kImageBase);
constexpr u64 kSv39 = u64{8} << 60;
constexpr u64 kAbsent = 0, kReadOnly = 0xc3, kUsual = 0xc7, kUntouched = 0x07, kIdentity = 0xcf;
constexpr u64 kDevice = 0x10000000;
// sstatus.FS from dirty to clean, so that marking it is seen.
constexpr i32 kFsBit = 0x2000, kFsDirty = 0x6000;

constexpr i32 number(isa::Csr csr) { return static_cast<i32>(csr); }

class NoMachine final : public hart::Environment {
 public:
  u64 time() override { return 0; }
  bool device_load(GuestPhys, u32, u64&) override { return false; }
  bool device_store(GuestPhys, u32, u64) override { return false; }
  void timer_changed(hart::Hart&, u64) override {}
  void supervisor_call(hart::Hart&) override {}
};

std::vector<u32> boot_code() {
  return {isa::encode({.op = Op::csrrw, .rs1 = reg::t0, .imm = number(isa::Csr::satp)}),
          isa::encode({.op = Op::csrrw, .rs1 = reg::t1, .imm = number(isa::Csr::stvec)}),
          isa::encode({.op = Op::lui, .rd = reg::t0, .imm = kFsDirty}),
          isa::encode({.op = Op::csrrs, .rs1 = reg::t0, .imm = number(isa::Csr::sstatus)}),
          isa::encode({.op = Op::sfence_vma}),
          isa::encode({.op = Op::jalr, .rs1 = reg::t2})};
}

// Counts, and goes on behind what trapped.
std::vector<u32> handler_code() {
  return {isa::encode({.op = Op::addi, .rd = reg::gp, .rs1 = reg::gp, .imm = 1}),
          isa::encode({.op = Op::lui, .rd = reg::t6, .imm = kFsBit}),
          isa::encode({.op = Op::csrrc, .rs1 = reg::t6, .imm = number(isa::Csr::sstatus)}),
          isa::encode({.op = Op::csrrs, .rd = reg::t6, .imm = number(isa::Csr::sepc)}),
          isa::encode({.op = Op::addi, .rd = reg::t6, .rs1 = reg::t6, .imm = 4}),
          isa::encode({.op = Op::csrrw, .rs1 = reg::t6, .imm = number(isa::Csr::sepc)}),
          isa::encode({.op = Op::sret})};
}

u64 entry(u64 address, u64 bits) { return address >> 12 << 10 | bits; }

// Entry 2 maps the code onto itself, entry 1 leads to the pages of the data, which lie in any order.
void write_tables(memory::GuestMemory& memory, Random& random) {
  std::vector<u64> tables(3 * 512, 0);
  tables[2] = entry(kBase, kIdentity);
  tables[1] = entry(kTables + kPageSize, 1);
  tables[512] = entry(kTables + 2 * kPageSize, 1);
  for (u64 page = 0; page < kLoopDataPages; ++page) {
    constexpr u64 kKinds[] = {kAbsent, kReadOnly, kUntouched, kUsual, kUsual, kUsual, kUsual, kUsual};
    const u64 bits = kKinds[random.below(std::size(kKinds))];
    const u64 at = random.one_in(20) ? kDevice : kData + random.below(kLoopDataPages) * kPageSize;
    tables[1024 + page] = bits == kAbsent ? 0 : entry(at, bits);
  }
  CHECK(memory.write({kTables}, std::as_bytes(std::span(tables))));
}

constexpr u64 kFarTables = kTables + 0x10000, kFarFrames = kBase + 0x300000, kFunctions = kBase + 0x380000;
constexpr u64 kSpaces[] = {kSv39 | kTables >> 12, kSv39 | u64{1} << 44 | kFarTables >> 12};
constexpr CallPlaces kCallPlaces{.code = kCode,
                                 .functions = kFunctions,
                                 .stacks = kBase + 0x3a0000,
                                 .page_entries = kTables + 4 * kPageSize,
                                 .page_change = kFarPages * kPageSize >> 12 << 10,
                                 .space_change = kSpaces[0] ^ kSpaces[1]};

// kFarCode in two address spaces, which have all else in common. The first one's tables lie behind those of
// the data.
void write_far_tables(memory::GuestMemory& memory) {
  const auto put = [&memory](u64 address, u64 value) {
    CHECK(memory.write({address}, std::as_bytes(std::span(&value, 1))));
  };
  const u64 roots[] = {kTables, kFarTables};
  for (const u64 space : {0u, 1u}) {
    const u64 middle = roots[space] + 3 * kPageSize, leaves = roots[space] + 4 * kPageSize;
    put(roots[space] + 8, entry(kTables + kPageSize, 1));
    put(roots[space] + 16, entry(kBase, kIdentity));
    put(roots[space] + 24, entry(middle, 1));
    put(middle, entry(leaves, 1));
    for (u64 page = 0; page < kFarPages; ++page)
      put(leaves + page * 8, entry(kFarFrames + (space * kFarPages + page) * kPageSize, kIdentity));
  }
}

// Words of all kinds, among them what is special to doubles and to singles.
u64 interesting(Random& random) {
  constexpr u64 kSpecial[] = {0,
                              0x7ff8000000000000,
                              0xfff8000000000001,
                              0x7ff0000000000001,
                              0x7ff0000000000000,
                              0xfff0000000000000,
                              0x8000000000000000,
                              0x3ff0000000000000,
                              0xffffffff7fc00000,
                              0xffffffff7f800001,
                              0xffffffff3f800000,
                              0x0000000000000001};
  if (random.one_in(3)) return kSpecial[random.below(std::size(kSpecial))];
  const u64 word = random.next();
  return random.one_in(2) ? word : (word & 0x800fffffffffffff) | (0x3f0 + random.below(32)) << 52;
}

void write_data(memory::GuestMemory& memory, Random& random) {
  std::vector<u64> words(kLoopDataPages * kPageSize / 8);
  for (u64& word : words) word = interesting(random);
  CHECK(memory.write({kData}, std::as_bytes(std::span(words))));
}

}  // namespace

class Twins::Machine {
 public:
  Machine(u64 seed, Programs programs, const hart::HartOptions& options)
      : memory_(memory::GuestMemory::create({kBase}, {kBytes}).take()), hart_(0, *memory_, none_, options) {
    Random random(seed);
    memory_->set_vault(vault_.vault(), vault_);
    write_code(kBoot, boot_code());
    write_code(kHandler, programs == Programs::kCalls ? calls_handler(handler_code()) : handler_code());
    write_program(programs, random);
    write_tables(*memory_, random);
    if (programs == Programs::kCalls) write_far_tables(*memory_);
    write_data(*memory_, random);
    hart_.reset(kBoot, 0);
    for (u32 i = 0; i < 32; ++i) hart_.set_freg(i, interesting(random));
    for (u32 i = reg::a5; i < 32; ++i) hart_.set_reg(i, interesting(random));
    hart_.set_reg(reg::t0, kSv39 | kTables >> 12);
    hart_.set_reg(reg::t1, kHandler);
    hart_.set_reg(reg::t2, programs == Programs::kMixture ? kImageBase : kCode);
  }

  hart::Hart& hart() { return hart_; }
  // A page of the data that is not shared yet reads as a frame of the vault from now on, until it is written.
  void share(u64 page) {
    std::array<std::byte, kPageSize> content;
    const u32 slot = static_cast<u32>(page);
    if (vault_.references(slot) != 0) return;
    CHECK(memory_->read({kData + page * kPageSize}, content));
    std::memcpy(vault_.frame(slot), content.data(), kPageSize);
    vault_.add(slot);
    const memory::ShareOffer offer{{(kData >> kPageShift) + page}, slot};
    (void)memory_->share({&offer, 1});
  }
  // What the program may write, but for stacks and tables.
  std::vector<std::byte> data() const {
    std::vector<std::byte> bytes(data_bytes_);
    CHECK(memory_->read({data_}, bytes));
    return bytes;
  }

 private:
  void write_code(u64 address, const std::vector<u32>& code) {
    CHECK(memory_->write({address}, std::as_bytes(std::span(code))));
  }

  void write_program(Programs programs, Random& random) {
    switch (programs) {
      case Programs::kLoops:
        return write_code(kCode, random_loops(random));
      case Programs::kCalls:
        return write_calls(random_calls(random, kCallPlaces));
      case Programs::kMixture: {
        const std::vector<std::byte> bytes = random_mixture(random);
        CHECK(memory_->write({kImageBase}, bytes));
        data_ = kImageBase;
        data_bytes_ = bytes.size();
      }
    }
  }

  void write_calls(const Calls& calls) {
    write_code(kCode, calls.code);
    for (const u64 frame : {0u, 1u})
      write_code(kFarFrames + frame * kFarPages * kPageSize, calls.far_code[frame]);
    CHECK(memory_->write({kFunctions}, std::as_bytes(std::span(calls.functions))));
  }

  NoMachine none_;
  memory::testing::BusyVault vault_{{kLoopDataPages}};
  std::unique_ptr<memory::GuestMemory> memory_;
  hart::Hart hart_;
  u64 data_ = kData, data_bytes_ = kLoopDataPages * kPageSize;
};

struct Twins::Neighbour {
  std::unique_ptr<jit::Translator> translator;
  std::unique_ptr<Machine> machine;
};

namespace {

std::shared_ptr<jit::Workshop> make_workshop(const TwinOptions& options) {
  if (!options.beside && !options.shelf) return nullptr;
  return std::make_shared<jit::Workshop>(Bytes{options.shelf ? kMiB : 0});
}

std::unique_ptr<jit::Translator> make_translator(const TwinOptions& options,
                                                 const std::shared_ptr<jit::Workshop>& workshop) {
  jit::TranslatorOptions made{.code_cache = options.code_cache, .hot = 2, .very_hot = 8};
  if (options.plain) made.features = {};
  return jit::Translator::create(made, workshop).take();
}

}  // namespace

Twins::Twins(u64 seed, const TwinOptions& options)
    : options_(options),
      random_(seed + 1),
      workshop_(make_workshop(options)),
      translator_(make_translator(options, workshop_)),
      tested_(std::make_unique<Machine>(
          seed, options.programs,
          hart::HartOptions{.tlb_entries = options.tlb_entries, .translator = translator_.get()})),
      reference_(std::make_unique<Machine>(seed, options.programs, hart::HartOptions{})) {
  for (u64 i = 0; i < 2 && options.shelf; ++i) {
    auto translator = make_translator(options, workshop_);
    auto machine = std::make_unique<Machine>(seed + i, options.programs,
                                             hart::HartOptions{.translator = translator.get()});
    neighbours_.push_back({std::move(translator), std::move(machine)});
  }
}

Twins::~Twins() = default;

hart::Hart& Twins::tested() { return tested_->hart(); }
u64 Twins::traps() const {
  const auto& exceptions = reference_->hart().tally().exceptions;
  return std::accumulate(exceptions.begin(), exceptions.end(), u64{0});
}
u64 Twins::wide_regions() const { return translator_->statistics().wide; }
u64 Twins::remade_regions() const { return translator_->statistics().remade; }
u64 Twins::instructions() const { return reference_->hart().instructions(); }

void Twins::disturb() {
  hart::Hart& hart = tested_->hart();
  if (options_.shares) {
    for (u64 page = 0; page < kLoopDataPages; ++page) tested_->share(page);
  }
  if (!options_.forgets) return;
  switch (random_.below(8)) {
    // These end a reservation, so the reference gets them too.
    case 0:
      reference_->hart().post_fence_i(hart::Wait::kNot);
      return hart.post_fence_i(hart::Wait::kNot);
    case 1:
      reference_->hart().post_sfence_vma({0}, 0, hart::Wait::kNot);
      return hart.post_sfence_vma({0}, 0, hart::Wait::kNot);
    case 2:
      return hart.forget(memory::PageSet::all());
    case 3:
      return hart.ask_for_safe_point();
    default:
      return;
  }
}

std::string Twins::run(u64 turns) {
  for (u64 turn = 0; turn < turns; ++turn) {
    const u64 budget = 1 + random_.below(random_.one_in(3) ? 8 : options_.longest_turn);
    disturb();
    for (Neighbour& each : neighbours_) each.machine->hart().run(1 + random_.below(options_.longest_turn));
    tested_->hart().run(budget);
    reference_->hart().run(budget);
    const std::string found = difference(turn % 64 == 0 || turn + 1 == turns);
    if (!found.empty()) return fmt::format("turn {}, budget {}: {}", turn, budget, found);
  }
  return "";
}

std::string Twins::difference(bool memory_too) const {
  const hart::Hart &tested = tested_->hart(), &reference = reference_->hart();
  if (tested.instructions() != reference.instructions())
    return fmt::format("{} instructions (reference {}), {}", tested.instructions(), reference.instructions(),
                       hart::differences(tested.snapshot(), reference.snapshot()));
  const hart::Snapshot ours = tested.snapshot(), theirs = reference.snapshot();
  if (ours != theirs) return hart::differences(ours, theirs);
  if (!memory_too) return "";
  const auto left = tested_->data(), right = reference_->data();
  for (u64 i = 0; i < left.size(); ++i) {
    if (left[i] != right[i]) return fmt::format("memory differs at {:#x} of the data", i);
  }
  return "";
}

}  // namespace cloister::lockstep
