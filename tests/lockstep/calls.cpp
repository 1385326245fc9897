// SPDX-License-Identifier: Apache-2.0
#include "lockstep/calls.h"

#include "base/check.h"
#include "isa/cause.h"
#include "isa/csr.h"
#include "isa/encode.h"
#include "isa/registers.h"
#include "lockstep/loops.h"

namespace cloister::lockstep {
namespace {

using isa::Insn;
using isa::Op;
namespace reg = isa::reg;

// A function that begins takes one; when there is none it calls nobody. t0 to t2 are everybody's.
constexpr u8 kFuel = reg::s2;
constexpr u8 kMainStack = reg::s4, kLanding = reg::s5;  // where jumps over many functions lead
constexpr u8 kOtherStack = reg::s6, kIsCoroutine = reg::s7;
constexpr u8 kSpaceChange = reg::s8, kFunctionTable = reg::s9, kPageEntries = reg::s10,
             kPageChange = reg::s11;
constexpr u8 kFirstValue = reg::a0;
constexpr u64 kValues = 6;
constexpr i32 kFrame = 16;

// Functions: of the program's code, of kFarCode, and special ones, which are of the program's code too.
constexpr u64 kNear = 12, kFar = 8, kOrdinary = kNear + kFar;
enum Special : u64 {
  kYield = kOrdinary,
  kRewrite,
  kChangeSpace,
  kChangePage,
  kHidePage,
  kMillicode,
  kCoroutine,
  kAll
};

constexpr i32 signed_low(u64 value) { return static_cast<i32>(static_cast<i64>(value << 52) >> 52); }

// Code that may lead to functions that are not there yet.
class Code {
 public:
  Code(u64 begin, std::vector<u64>& functions) : begin_(begin), functions_(functions) {}

  u64 size() const { return words_.size(); }
  void begin(u64 function) { functions_[function] = begin_ + size() * 4; }
  void add(const Insn& insn) { words_.push_back(isa::encode(insn)); }
  void set(u8 rd, u64 value) {
    CHECK(value >> 32 == 0);
    const i32 low = signed_low(value);
    add({.op = Op::lui, .rd = rd, .imm = static_cast<i32>(static_cast<u32>(value) - static_cast<u32>(low))});
    add({.op = Op::addi, .rd = rd, .rs1 = rd, .imm = low});
    add({.op = Op::add_uw, .rd = rd, .rs1 = rd});
  }

  void jump(u8 link, u64 function) {
    jumps_.push_back({size(), link, function, false});
    add({.op = Op::addi});
  }
  // As compilers do it that do not know how far the function is.
  void jump_far(u8 link, u64 function) {
    jumps_.push_back({size(), link, function, true});
    add({.op = Op::addi});
    add({.op = Op::addi});
  }
  // `insn`, in the place `at`, tells how far it is from `from` to what comes next.
  void lead_here(u64 at, u64 from, Insn insn) {
    insn.imm = static_cast<i32>(size() - from) * 4;
    words_[at] = isa::encode(insn);
  }

  std::vector<u32> finish() {
    for (const Jump& jump : jumps_) {
      const u64 distance = functions_[jump.function] - (begin_ + jump.at * 4);
      if (!jump.far) {
        words_[jump.at] = isa::encode({.op = Op::jal, .rd = jump.link, .imm = static_cast<i32>(distance)});
        continue;
      }
      const i32 low = signed_low(distance);
      const i32 high = static_cast<i32>(static_cast<u32>(distance) - static_cast<u32>(low));
      words_[jump.at] = isa::encode({.op = Op::auipc, .rd = reg::t1, .imm = high});
      words_[jump.at + 1] = isa::encode({.op = Op::jalr, .rd = jump.link, .rs1 = reg::t1, .imm = low});
    }
    return std::move(words_);
  }

 private:
  struct Jump {
    u64 at;
    u8 link;
    u64 function;
    bool far;
  };
  const u64 begin_;
  std::vector<u64>& functions_;
  std::vector<u32> words_;
  std::vector<Jump> jumps_;
};

class CallGenerator {
 public:
  // Functions from `first` on, `count` of them, are in reach of direct jumps. `frame`: which of the two it
  // is.
  CallGenerator(Random& random, Code& code, u64 first, u64 count, i32 frame)
      : random_(random), code_(code), first_(first), count_(count), frame_(frame) {}

  void program(const CallPlaces& places) {
    begin(places);
    const u64 again = code_.size();
    for (u64 count = 2 + random_.below(4); count != 0; --count) round();
    add({.op = Op::jal, .imm = -static_cast<i32>(code_.size() - again) * 4});
    functions();
    code_.begin(kCoroutine);
    const u64 coroutine = code_.size();
    call();
    call(kYield);
    add({.op = Op::jal, .imm = -static_cast<i32>(code_.size() - coroutine) * 4});
    specials();
  }

  void functions() {
    for (u64 i = 0; i < count_; ++i) function(first_ + i);
  }

 private:
  void add(const Insn& insn) { code_.add(insn); }
  void move(u8 rd, u8 rs) { add({.op = Op::addi, .rd = rd, .rs1 = rs}); }
  void give_back() { add({.op = Op::jalr, .rs1 = reg::ra}); }
  u8 value() { return static_cast<u8>(kFirstValue + random_.below(kValues)); }
  void refuel() {
    add({.op = Op::addi, .rd = kFuel, .imm = static_cast<i32>(random_.below(random_.one_in(3) ? 300 : 20))});
  }
  template <typename Skipped>
  void unless(Insn branch, Skipped skipped) {
    const u64 at = code_.size();
    add({.op = Op::addi});
    skipped();
    code_.lead_here(at, at, branch);
  }

  void begin(const CallPlaces& places) {
    code_.set(kFunctionTable, places.functions);
    code_.set(kPageEntries, places.page_entries);
    code_.set(kPageChange, places.page_change);
    code_.set(reg::t1, places.space_change >> 32);
    add({.op = Op::slli, .rd = reg::t1, .rs1 = reg::t1, .imm = 32});
    code_.set(kSpaceChange, places.space_change & 0xffffffff);
    add({.op = Op::add, .rd = kSpaceChange, .rs1 = kSpaceChange, .rs2 = reg::t1});
    code_.set(kMainStack, places.stacks);
    code_.set(kOtherStack, places.stacks - 0x8000 - kFrame);
    load_function(reg::t1, kCoroutine);
    add({.op = Op::sd, .rs1 = kOtherStack, .rs2 = reg::t1});
    move(kIsCoroutine, reg::zero);
    move(reg::sp, kMainStack);
  }

  // A call that may be left by a jump to behind it.
  void round() {
    refuel();
    const u64 at = code_.size();
    add({.op = Op::auipc, .rd = kLanding});
    add({.op = Op::addi});
    call();
    if (random_.one_in(2)) call(kYield);
    code_.lead_here(at + 1, at, {.op = Op::addi, .rd = kLanding, .rs1 = kLanding});
  }

  void function(u64 number) {
    for (u64 words = random_.one_in(3) ? random_.below(700) : random_.below(9); words != 0; --words)
      add({.op = Op::addi});
    code_.begin(number);
    add({.op = Op::addi, .rd = kFuel, .rs1 = kFuel, .imm = -1});
    unless({.op = Op::bge, .rs1 = kFuel}, [this] { give_back(); });
    add({.op = Op::addi, .rd = reg::sp, .rs1 = reg::sp, .imm = -kFrame});
    add({.op = Op::sd, .rs1 = reg::sp, .rs2 = reg::ra});
    for (u64 items = 1 + random_.below(6); items != 0; --items) item();
    add({.op = Op::ld, .rd = reg::ra, .rs1 = reg::sp});
    add({.op = Op::addi, .rd = reg::sp, .rs1 = reg::sp, .imm = kFrame});
    if (random_.one_in(5)) return go(reg::zero, some_function());
    give_back();
  }

  void item() {
    switch (random_.below(16)) {
      case 0:
        return unless({.op = Op::bne, .rs1 = kIsCoroutine}, [this] { call(kYield); });
      case 1:
        return leave_all();
      case 2:
        return random_.one_in(3) ? call_into_new_code() : plain();
      case 3:
        return call(random_.one_in(2) ? kChangeSpace : random_.one_in(2) ? kChangePage : kHidePage);
      case 4:
        return go(reg::t0, kMillicode);
      case 5:
        return trap();
      case 6:
      case 7:
      case 8:
        return plain();
      case 9:
        return call_one_of_four();
      default:
        return call();
    }
  }

  u64 some_function() { return random_.below(kOrdinary); }
  void call() { go(reg::ra, some_function()); }
  void call(u64 function) { go(reg::ra, function); }
  void go(u8 link, u64 function) {
    const bool in_reach =
        (function >= first_ && function < first_ + count_) || (first_ == 0 && function >= kOrdinary);
    const u64 way = in_reach ? random_.below(3) : 2;
    if (way == 0) return code_.jump(link, function);
    if (way == 1) return code_.jump_far(link, function);
    load_function(reg::t1, function);
    add({.op = Op::jalr, .rd = link, .rs1 = reg::t1});
  }
  void load_function(u8 rd, u64 function) {
    add({.op = Op::ld, .rd = rd, .rs1 = kFunctionTable, .imm = static_cast<i32>(function) * 8});
  }

  void call_one_of_four() {
    add({.op = Op::andi, .rd = reg::t1, .rs1 = random_.one_in(2) ? kFuel : value(), .imm = 3});
    add({.op = Op::sh3add, .rd = reg::t1, .rs1 = reg::t1, .rs2 = kFunctionTable});
    const i32 first = static_cast<i32>(random_.below(kOrdinary - 4)) * 8;
    add({.op = Op::ld, .rd = reg::t1, .rs1 = reg::t1, .imm = first});
    add({.op = Op::jalr, .rd = reg::ra, .rs1 = reg::t1});
  }

  // To where the program called, now and then, as a jump or as a return.
  void leave_all() {
    unless({.op = Op::bne, .rs1 = kIsCoroutine}, [this] {
      add({.op = Op::andi, .rd = reg::t1, .rs1 = kFuel, .imm = 7});
      unless({.op = Op::bne, .rs1 = reg::t1}, [this] {
        move(reg::sp, kMainStack);
        if (random_.one_in(2)) return add({.op = Op::jalr, .rs1 = kLanding});
        move(reg::ra, kLanding);
        give_back();
      });
    });
  }

  // What stands behind the call is written by who is called.
  void call_into_new_code() {
    load_function(reg::t1, kRewrite);
    add({.op = Op::jalr, .rd = reg::ra, .rs1 = reg::t1});
    add({.op = Op::addi, .rd = kFirstValue, .rs1 = kFirstValue, .imm = 8 + frame_});
  }

  void trap() {
    code_.set(reg::t1, kLoopData + random_.below(kLoopDataPages) * kPageSize);
    add({.op = Op::ld, .rd = value(), .rs1 = reg::t1});
  }

  void plain() {
    const i32 constant = static_cast<i32>(random_.below(1000)) * 2 + frame_;
    if (random_.one_in(2)) return add({.op = Op::addi, .rd = value(), .rs1 = value(), .imm = constant});
    add({.op = random_.one_in(2) ? Op::add : Op::xor_, .rd = value(), .rs1 = value(), .rs2 = value()});
  }

  // Of the first address space; `change` is of t1.
  template <typename Change>
  void change_page(Change change) {
    const u64 page = random_.below(kFarPages);
    add({.op = Op::ld, .rd = reg::t1, .rs1 = kPageEntries, .imm = static_cast<i32>(page) * 8});
    change();
    add({.op = Op::sd, .rs1 = kPageEntries, .rs2 = reg::t1, .imm = static_cast<i32>(page) * 8});
    code_.set(reg::t1, kFarCode + page * kPageSize);
    add({.op = Op::sfence_vma, .rs1 = reg::t1});
    give_back();
  }

  void specials() {
    code_.begin(kYield);
    add({.op = Op::addi, .rd = reg::sp, .rs1 = reg::sp, .imm = -kFrame});
    add({.op = Op::sd, .rs1 = reg::sp, .rs2 = reg::ra});
    move(reg::t1, reg::sp);
    move(reg::sp, kOtherStack);
    move(kOtherStack, reg::t1);
    add({.op = Op::xori, .rd = kIsCoroutine, .rs1 = kIsCoroutine, .imm = 1});
    add({.op = Op::ld, .rd = reg::ra, .rs1 = reg::sp});
    add({.op = Op::addi, .rd = reg::sp, .rs1 = reg::sp, .imm = kFrame});
    give_back();

    code_.begin(kRewrite);
    constexpr i32 kOneInImmediate = 1 << 20;
    add({.op = Op::lw, .rd = reg::t1, .rs1 = reg::ra});
    add({.op = Op::lui, .rd = reg::t2, .imm = kOneInImmediate});
    add({.op = Op::xor_, .rd = reg::t1, .rs1 = reg::t1, .rs2 = reg::t2});
    add({.op = Op::sw, .rs1 = reg::ra, .rs2 = reg::t1});
    add({.op = Op::fence_i});
    give_back();

    code_.begin(kChangeSpace);
    constexpr i32 kSatp = static_cast<i32>(isa::Csr::satp);
    add({.op = Op::csrrs, .rd = reg::t1, .imm = kSatp});
    add({.op = Op::xor_, .rd = reg::t1, .rs1 = reg::t1, .rs2 = kSpaceChange});
    add({.op = Op::csrrw, .rs1 = reg::t1, .imm = kSatp});
    if (random_.one_in(2)) add({.op = Op::sfence_vma});
    give_back();

    code_.begin(kChangePage);
    change_page([this] { add({.op = Op::xor_, .rd = reg::t1, .rs1 = reg::t1, .rs2 = kPageChange}); });

    code_.begin(kHidePage);
    change_page([this] { add({.op = Op::andi, .rd = reg::t1, .rs1 = reg::t1, .imm = -2}); });

    code_.begin(kMillicode);
    plain();
    add({.op = Op::jalr, .rs1 = reg::t0});
  }

  Random& random_;
  Code& code_;
  const u64 first_, count_;
  const i32 frame_;
};

}  // namespace

std::vector<u32> calls_handler(const std::vector<u32>& otherwise) {
  constexpr u8 kCause = reg::t3, kHidden = reg::t4;
  constexpr i32 kFetchFault = static_cast<i32>(isa::Cause::kFetchPage);
  std::vector<u32> words{
      isa::encode({.op = Op::csrrs, .rd = kCause, .imm = static_cast<i32>(isa::Csr::scause)}),
      isa::encode({.op = Op::addi, .rd = kHidden, .imm = kFetchFault}), 0};
  const std::size_t skip = words.size() - 1;
  for (i32 page = 0; page < i32{kFarPages}; ++page) {
    words.push_back(isa::encode({.op = Op::ld, .rd = kHidden, .rs1 = kPageEntries, .imm = page * 8}));
    words.push_back(isa::encode({.op = Op::ori, .rd = kHidden, .rs1 = kHidden, .imm = 1}));
    words.push_back(isa::encode({.op = Op::sd, .rs1 = kPageEntries, .rs2 = kHidden, .imm = page * 8}));
  }
  words.push_back(isa::encode({.op = Op::sret}));
  const i32 distance = static_cast<i32>((words.size() - skip) * sizeof(u32));
  words[skip] = isa::encode({.op = Op::bne, .rs1 = kCause, .rs2 = kHidden, .imm = distance});
  words.insert(words.end(), otherwise.begin(), otherwise.end());
  return words;
}

Calls random_calls(Random& random, const CallPlaces& places) {
  Calls calls;
  calls.functions.resize(kAll);
  Code code(places.code, calls.functions);
  CallGenerator(random, code, 0, kNear, 0).program(places);
  const u64 seed = random.next();
  for (const u32 frame : {0u, 1u}) {
    Random same(seed);
    Code far(kFarCode, calls.functions);
    CallGenerator(same, far, kNear, kFar, static_cast<i32>(frame)).functions();
    calls.far_code[frame] = far.finish();
    CHECK(calls.far_code[frame].size() <= kFarPages * kPageSize / sizeof(u32));
  }
  calls.code = code.finish();
  return calls;
}

}  // namespace cloister::lockstep
