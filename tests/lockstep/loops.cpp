// SPDX-License-Identifier: Apache-2.0
#include "lockstep/loops.h"

#include <algorithm>
#include <array>

#include "isa/encode.h"
#include "isa/registers.h"

namespace cloister::lockstep {
namespace {

using isa::Insn;
using isa::Op;
namespace reg = isa::reg;

constexpr u8 kPointers[] = {reg::a0, reg::a1, reg::a2};
constexpr u8 kCount = reg::a3, kEnd = reg::a4, kAlias = reg::s9, kFlags = reg::s10, kIndex = reg::s11;
constexpr u8 kFirstTemporary = reg::a5;
constexpr u8 kTemporaries = 9;
constexpr u8 kFloats = 20;  // more than a region has homes for
constexpr i32 kFflags = 1;

constexpr std::array kStrides = {1, 2, 4, 8, 8, 8, 16, 24, 64, -1, -8, 0, 200, 1280};
constexpr std::array kLoads = {Op::lb, Op::lbu, Op::lh, Op::lhu, Op::lw, Op::lwu, Op::ld, Op::ld};
constexpr std::array kStores = {Op::sb, Op::sh, Op::sw, Op::sd, Op::sd};
constexpr std::array kPlain = {Op::add,  Op::sub,  Op::xor_, Op::or_,    Op::and_,   Op::addw, Op::subw,
                               Op::sllw, Op::srlw, Op::slt,  Op::sltu,   Op::mul,    Op::mulw, Op::sll,
                               Op::sra,  Op::min,  Op::maxu, Op::sh2add, Op::add_uw, Op::ror,  Op::divw};
constexpr std::array kImmediate = {Op::addi, Op::addiw, Op::xori, Op::andi, Op::ori, Op::slti, Op::sltiu};
constexpr std::array kBranches = {Op::beq, Op::bne, Op::blt, Op::bge, Op::bltu, Op::bgeu};
constexpr std::array kDoubles = {Op::fadd_d,  Op::fsub_d,   Op::fmul_d,   Op::fdiv_d, Op::fmadd_d,
                                 Op::fmsub_d, Op::fnmadd_d, Op::fnmsub_d, Op::fmin_d, Op::fmax_d,
                                 Op::fsgnj_d, Op::fsgnjn_d, Op::fsgnjx_d};
constexpr std::array kSingles = {Op::fadd_s, Op::fmul_s, Op::fmadd_s, Op::fsub_s, Op::fsgnj_s, Op::fdiv_s};
constexpr std::array kToInteger = {Op::feq_d, Op::flt_d,    Op::fle_d,    Op::fmv_x_d, Op::fclass_d,
                                   Op::flt_s, Op::fcvt_w_d, Op::fcvt_l_d, Op::feq_s};
constexpr std::array kConversions = {Op::fcvt_s_d, Op::fcvt_d_s, Op::fcvt_d_w,
                                     Op::fcvt_d_l, Op::fmv_d_x,  Op::fsqrt_d};
constexpr u8 kDynamic = 7;

class LoopGenerator {
 public:
  explicit LoopGenerator(Random& random) : random_(random) {}

  std::vector<u32> program() {
    for (u64 lead = random_.below(900); lead != 0; --lead) add({.op = Op::addi});  // somewhere in its page
    set(kIndex, 0);
    for (u64& spot : spots_) spot = place();
    clears_ = random_.one_in(4);
    const std::size_t begin = code_.size();
    for (u64 count = 2 + random_.below(4); count != 0; --count) random_.one_in(2) ? loop() : bulk_loop();
    jump_back(begin, {.op = Op::jal});
    return std::move(code_);
  }

 private:
  void add(const Insn& insn) { code_.push_back(isa::encode(insn)); }

  template <typename Array>
  auto one_of(const Array& array) {
    return array[random_.below(array.size())];
  }
  u8 temporary() { return static_cast<u8>(kFirstTemporary + random_.below(kTemporaries)); }
  u8 floating() { return static_cast<u8>(random_.below(kFloats)); }
  u8 pointer() { return kPointers[random_.below(std::size(kPointers))]; }

  void set(u8 rd, i64 value) {
    const i32 low = static_cast<i32>(static_cast<i64>(static_cast<u64>(value) << 52) >> 52);
    add({.op = Op::lui, .rd = rd, .imm = static_cast<i32>(value - low)});
    add({.op = Op::addi, .rd = rd, .rs1 = rd, .imm = low});
  }

  static i32 distance(std::size_t from, std::size_t to) {
    return static_cast<i32>(static_cast<i64>(to) - static_cast<i64>(from)) * 4;
  }
  void jump_back(std::size_t to, Insn insn) {
    insn.imm = distance(code_.size(), to);
    add(insn);
  }

  // Often so that the end of a page is near.
  u64 place() {
    const u64 page = random_.below(kLoopDataPages) * kPageSize;
    const u64 in_page = random_.one_in(3) ? random_.below(kPageSize) : kPageSize - random_.below(400);
    const u64 aligned = random_.one_in(3) ? in_page : in_page & ~u64{7};
    return kLoopData + (page + aligned) % (kLoopDataPages * kPageSize);
  }

  void loop() {
    i32 strides[std::size(kPointers)];
    u64 first = 0;
    for (std::size_t i = 0; i < std::size(kPointers); ++i) {
      strides[i] = one_of(kStrides);
      const u64 at = place();
      if (i == 0) first = at;
      set(kPointers[i], static_cast<i64>(at));
    }
    const i64 rounds = static_cast<i64>(1 + random_.below(random_.one_in(2) ? 8 : 300));
    if (random_.one_in(2)) add({.op = Op::csrrw, .imm = kFflags});
    set(kCount, rounds);
    set(kEnd, static_cast<i64>(first) + rounds * strides[0]);
    body(strides, strides[0] != 0 && random_.one_in(2));
  }

  void body(const i32* strides, bool by_pointer) {
    const std::size_t begin = code_.size();
    std::vector<std::size_t> ways_out;
    u32 moved = 0;
    for (u64 items = 1 + random_.below(12); items != 0; --items) {
      if (random_.one_in(4)) move(strides, moved);
      if (random_.one_in(8)) {
        ways_out.push_back(code_.size());
        add({.op = Op::addi});
      } else {
        item();
      }
    }
    for (std::size_t i = 0; i < std::size(kPointers); ++i) move(strides, moved);
    add({.op = Op::addi, .rd = kCount, .rs1 = kCount, .imm = -1});
    if (random_.one_in(3)) {
      go_on_in_two_ways(begin);
    } else {
      go_on(begin, by_pointer);
    }
    for (const std::size_t at : ways_out)
      code_[at] = isa::encode({.op = one_of(kBranches),
                               .rs1 = temporary(),
                               .rs2 = random_.one_in(2) ? u8{0} : temporary(),
                               .imm = distance(at, code_.size())});
  }

  void go_on(std::size_t begin, bool by_pointer) {
    // A count that is 0 ends it in any case: a way out of the middle must not make it endless.
    const Insn again = by_pointer ? Insn{.op = Op::bne, .rs1 = kPointers[0], .rs2 = kEnd}
                                  : Insn{.op = Op::bne, .rs1 = kCount};
    jump_back(begin, again);
  }

  // Straight back, or by way of an instruction behind the loop.
  void go_on_in_two_ways(std::size_t begin) {
    const std::size_t way_out = code_.size();
    add({.op = Op::addi});
    jump_back(begin, {.op = one_of(kBranches), .rs1 = temporary(), .rs2 = temporary()});
    plain();
    jump_back(begin, {.op = Op::jal});
    code_[way_out] = isa::encode({.op = Op::beq, .rs1 = kCount, .imm = distance(way_out, code_.size())});
  }

  // The next pointer goes on by its stride.
  void move(const i32* strides, u32& moved) {
    if (moved == std::size(kPointers)) return;
    add({.op = Op::addi, .rd = kPointers[moved], .rs1 = kPointers[moved], .imm = strides[moved]});
    ++moved;
  }

  void item() {
    if (clears_ && random_.one_in(12)) return clear();
    switch (random_.below(10)) {
      case 0:
      case 1:
        return access(one_of(kLoads), true);
      case 2:
        return access(one_of(kStores), false);
      case 3:
        return random_.one_in(2) ? access(random_.one_in(5) ? Op::flw : Op::fld, true)
                                 : access(random_.one_in(5) ? Op::fsw : Op::fsd, false);
      case 4:
      case 5:
        return plain();
      case 6:
        return skip();
      case 7:
        return quiet_comparison();
      default:
        return floats();
    }
  }

  void access(Op op, bool load) {
    u8 base = pointer();
    if (random_.one_in(4)) {
      add({.op = Op::addi, .rd = kAlias, .rs1 = base, .imm = static_cast<i32>(random_.below(64)) - 16});
      base = kAlias;
    }
    const bool is_float = op == Op::fld || op == Op::flw || op == Op::fsd || op == Op::fsw;
    const u8 value = is_float ? floating() : temporary();
    Insn insn{.op = op, .rs1 = base, .imm = static_cast<i32>(random_.below(12)) * 8 - 32};
    (load ? insn.rd : insn.rs2) = value;
    add(insn);
  }

  // The whole page that a pointer is in.
  void clear() { add({.op = Op::cbo_zero, .rs1 = random_.one_in(2) ? pointer() : kAlias}); }

  void plain() {
    if (random_.one_in(3)) {
      const i32 imm = static_cast<i32>(random_.below(4096)) - 2048;
      return add({.op = one_of(kImmediate), .rd = temporary(), .rs1 = temporary(), .imm = imm});
    }
    add({.op = one_of(kPlain), .rd = temporary(), .rs1 = temporary(), .rs2 = temporary()});
  }

  // A branch over one or two instructions.
  void skip() {
    const std::size_t at = code_.size();
    add({.op = Op::addi});
    plain();
    if (random_.one_in(2)) plain();
    code_[at] = isa::encode(
        {.op = one_of(kBranches), .rs1 = temporary(), .rs2 = temporary(), .imm = distance(at, code_.size())});
  }

  // As compilers compare doubles that may be NaN.
  void quiet_comparison() {
    add({.op = Op::csrrs, .rd = kFlags, .imm = kFflags});
    add({.op = random_.one_in(2) ? Op::flt_d : Op::fle_d,
         .rd = temporary(),
         .rs1 = floating(),
         .rs2 = floating()});
    if (!random_.one_in(4)) add({.op = Op::csrrw, .rs1 = kFlags, .imm = kFflags});
  }

  void floats() {
    Insn insn{.rd = floating(), .rs1 = floating(), .rs2 = floating(), .rs3 = floating(), .rm = kDynamic};
    switch (random_.below(8)) {
      case 0:
        insn.op = one_of(kToInteger);
        insn.rd = temporary();
        break;
      case 1:
        insn.op = one_of(kConversions);
        if (insn.op == Op::fcvt_d_w || insn.op == Op::fcvt_d_l || insn.op == Op::fmv_d_x)
          insn.rs1 = temporary();
        break;
      case 2:
        insn.op = one_of(kSingles);
        break;
      default:
        insn.op = one_of(kDoubles);
        break;
    }
    if (isa::decode(isa::encode(insn)).op == Op::illegal) insn.rm = 0;
    add(insn);
  }

  // -- Loops that copy, fill, look for something, or compare: by elements of one size, unrolled or not.
  // --------

  // Where such loops meet what others of them have left, or nearly there.
  u64 spot() {
    const u64 at = one_of(spots_) + (random_.one_in(2) ? 0 : random_.below(64));
    return random_.one_in(3) ? at : at & ~u64{7};
  }

  struct Shape {
    u32 size = 0;  // bytes of an element: 1 << size
    i32 elements = 1;
    i32 stride = 0;
    bool from_early = false;  // pointers move before they are used
    bool to_early = false;
  };

  void bulk_loop() {
    Shape shape;
    shape.size = std::min(static_cast<u32>(random_.below(5)), 3u);
    shape.elements = 1 << random_.below(4);
    shape.stride = (shape.elements << shape.size) * (random_.one_in(6) ? -1 : 1);
    shape.from_early = random_.one_in(3);
    shape.to_early = random_.one_in(3);
    const u64 from = spot();
    const u64 to = random_.one_in(3) ? from + random_.below(80) - 40 : random_.one_in(4) ? from : spot();
    const i64 rounds = static_cast<i64>(1 + random_.below(random_.one_in(3) ? 8 : 400));
    set(kPointers[0], static_cast<i64>(from));
    set(kPointers[1], static_cast<i64>(to));
    set(kCount, rounds);
    set(kEnd, static_cast<i64>(from) + rounds * shape.stride);
    switch (random_.below(4)) {
      case 0:
        return fill(shape);
      case 1:
        return copy(shape, random_.one_in(3));
      default:
        return scan(shape);
    }
  }

  void load(const Shape& shape, u8 rd, u8 pointer, i32 element, bool early) {
    constexpr Op kSigned[] = {Op::lb, Op::lh, Op::lw, Op::ld},
                 kUnsigned[] = {Op::lbu, Op::lhu, Op::lwu, Op::ld};
    const Op op = (is_signed_ ? kSigned : kUnsigned)[shape.size];
    add({.op = op, .rd = rd, .rs1 = pointer, .imm = (element << shape.size) - (early ? shape.stride : 0)});
  }
  void store(const Shape& shape, u8 rs, u8 pointer, i32 element, bool early) {
    constexpr Op kSized[] = {Op::sb, Op::sh, Op::sw, Op::sd};
    const i32 imm = (element << shape.size) - (early ? shape.stride : 0);
    add({.op = kSized[shape.size], .rs1 = pointer, .rs2 = rs, .imm = imm});
  }
  void move_by(u8 pointer, i32 by) { add({.op = Op::addi, .rd = pointer, .rs1 = pointer, .imm = by}); }

  void fill(const Shape& shape) {
    const u8 value = random_.one_in(3) ? u8{0} : temporary();
    const std::size_t begin = code_.size();
    if (shape.from_early) move_by(kPointers[0], shape.stride);
    for (i32 i = 0; i < shape.elements; ++i) store(shape, value, kPointers[0], i, shape.from_early);
    if (!shape.from_early) move_by(kPointers[0], shape.stride);
    end_bulk(begin, shape);
  }

  // Each element is loaded one store ahead, or all before the first store, or as it is stored.
  void copy(const Shape& shape, bool ahead) {
    is_signed_ = random_.one_in(2);
    const bool at_once = random_.one_in(2);
    const auto value = [&](i32 i) { return static_cast<u8>(kFirstTemporary + (ahead ? i & 1 : i)); };
    const auto next = [&](i32 i) { return ahead && shape.elements == 1 ? value(0) : value(i); };
    if (ahead) load(shape, value(0), kPointers[0], 0, false);
    const std::size_t begin = code_.size();
    if (shape.from_early) move_by(kPointers[0], shape.stride);
    if (shape.to_early) move_by(kPointers[1], shape.stride);
    for (i32 i = 0; i < shape.elements && at_once && !ahead; ++i)
      load(shape, value(i), kPointers[0], i, shape.from_early);
    for (i32 i = 0; i < shape.elements; ++i) {
      const bool stores_first = ahead && shape.elements == 1;
      if (stores_first) store(shape, value(0), kPointers[1], 0, shape.to_early);
      if (ahead || !at_once)
        load(shape, next(i + (ahead ? 1 : 0)), kPointers[0], i + (ahead ? 1 : 0), shape.from_early);
      if (!stores_first) store(shape, value(i), kPointers[1], i, shape.to_early);
    }
    if (!shape.from_early) move_by(kPointers[0], shape.stride);
    if (!shape.to_early) move_by(kPointers[1], shape.stride);
    end_bulk(begin, shape);
  }

  // Looks for an element, for the end of what is equal, or, by words, for what makes some expression 0.
  void scan(const Shape& shape) {
    is_signed_ = random_.one_in(2);
    const u64 seed = random_.next();
    const bool copies = random_.one_in(4);
    ways_out_.clear();
    const std::size_t begin = code_.size();
    if (shape.from_early) move_by(kPointers[0], shape.stride);
    if (shape.to_early) move_by(kPointers[1], shape.stride);
    for (i32 i = 0; i < shape.elements; ++i) {
      Random same(seed);
      const bool is_pair = !copies && same.one_in(2);
      load(shape, kFirstTemporary, kPointers[0], i, shape.from_early);
      if (is_pair) load(shape, kFirstTemporary + 1, kPointers[1], i, shape.to_early);
      if (copies) store(shape, kFirstTemporary, kPointers[1], i, shape.to_early);
      for (u64 stops = 1 + same.below(2); stops != 0; --stops) stop(shape, same, is_pair);
    }
    if (!shape.from_early) move_by(kPointers[0], shape.stride);
    if (!shape.to_early) move_by(kPointers[1], shape.stride);
    end_bulk(begin, shape);
    for (const auto& [at, insn] : ways_out_) {
      Insn out = insn;
      out.imm = distance(at, code_.size());
      code_[at] = isa::encode(out);
    }
  }

  void stop(const Shape& shape, Random& same, bool is_pair) {
    constexpr u8 kInvariant = kFirstTemporary + 7;
    u8 left = kFirstTemporary;
    const u8 others[] = {0, kInvariant, static_cast<u8>(is_pair ? kFirstTemporary + 1 : 0)};
    const u8 right = others[same.below(std::size(others))];
    if (shape.size == 3 && same.one_in(2)) left = expression(same);
    ways_out_.push_back(
        {code_.size(), {.op = same.one_in(2) ? Op::beq : Op::bne, .rs1 = left, .rs2 = right}});
    add({.op = Op::addi});
  }

  // Of what was loaded and of two registers that no round writes.
  u8 expression(Random& same) {
    constexpr std::array kTwo = {Op::add, Op::and_, Op::or_, Op::xor_, Op::sub, Op::andn, Op::orn, Op::xnor};
    constexpr std::array kOne = {Op::xori, Op::andi, Op::ori, Op::addi, Op::slli, Op::srli, Op::orc_b};
    u8 from = kFirstTemporary;
    const u8 made = kFirstTemporary + 2;
    for (u64 count = 1 + same.below(4); count != 0; --count) {
      const u8 other =
          static_cast<u8>(same.one_in(3) ? kFirstTemporary : kFirstTemporary + 7 + same.below(2));
      if (same.one_in(2)) {
        add({.op = kTwo[same.below(kTwo.size())], .rd = made, .rs1 = from, .rs2 = other});
      } else {
        const Op op = kOne[same.below(kOne.size())];
        const bool shifts = op == Op::slli || op == Op::srli;
        const i32 imm = op == Op::orc_b  ? 0
                        : shifts         ? 8
                        : same.one_in(2) ? -1
                                         : static_cast<i32>(same.below(100));
        add({.op = op, .rd = made, .rs1 = from, .imm = imm});
      }
      from = made;
    }
    return made;
  }

  // By a count, or by where the first pointer comes to.
  void end_bulk(std::size_t begin, const Shape& shape) {
    move_by(kCount, -1);
    const u8 at = kPointers[0];
    const bool up = shape.stride > 0;
    switch (random_.below(4)) {
      case 0:
        return jump_back(begin, {.op = Op::bne, .rs1 = at, .rs2 = kEnd});
      case 1:
        return jump_back(begin, {.op = Op::bltu, .rs1 = up ? at : kEnd, .rs2 = up ? kEnd : at});
      case 2:
        return jump_back(begin, {.op = Op::bge, .rs1 = up ? kEnd : at, .rs2 = up ? at : kEnd});
      default:
        return jump_back(begin, {.op = Op::bne, .rs1 = kCount});
    }
  }

  Random& random_;
  std::vector<u32> code_;
  std::array<u64, 3> spots_{};
  bool is_signed_ = false;
  bool clears_ = false;  // pages, now and then: not all programs do, for little is left in them then
  std::vector<std::pair<std::size_t, Insn>> ways_out_;
};

}  // namespace

std::vector<u32> random_loops(Random& random) { return LoopGenerator(random).program(); }

}  // namespace cloister::lockstep
