// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <limits>

#include "hart/execute.h"

// Instructions from integer registers to integer registers: I, M, Zba, Zbb, Zbs, Zicond. A row is the whole
// instruction: a and b are the source registers, i the immediate.
namespace cloister::hart::op {

namespace {

constexpr i64 sgn(u64 value) { return static_cast<i64>(value); }
constexpr u64 sext32(u64 value) { return static_cast<u64>(i64{static_cast<i32>(value)}); }
constexpr u32 lo32(u64 value) { return static_cast<u32>(value); }
constexpr u64 zext32(u64 value) { return lo32(value); }

constexpr u64 high_signed(u64 a, u64 b) { return static_cast<u64>((i128{sgn(a)} * i128{sgn(b)}) >> 64); }
constexpr u64 high_unsigned(u64 a, u64 b) { return static_cast<u64>((u128{a} * u128{b}) >> 64); }
constexpr u64 high_mixed(u64 a, u64 b) { return high_unsigned(a, b) - (sgn(a) < 0 ? b : 0); }

// Division never traps: by zero gives all ones and the dividend, the one overflow gives the dividend and 0.
template <typename T>
constexpr T divide(T a, T b) {
  if (b == 0) return static_cast<T>(-1);
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return static_cast<T>(-static_cast<std::make_unsigned_t<T>>(a));
  }
  return static_cast<T>(a / b);
}
template <typename T>
constexpr T remainder(T a, T b) {
  if (b == 0) return a;
  if constexpr (std::is_signed_v<T>) {
    if (b == -1) return 0;
  }
  return static_cast<T>(a % b);
}
template <typename T>
constexpr u64 extended(T value) {
  return static_cast<u64>(static_cast<i64>(static_cast<std::make_signed_t<T>>(value)));
}

constexpr u64 or_combine(u64 a) {
  u64 result = 0;
  for (u64 byte = 0xff; byte != 0; byte <<= 8) result |= (a & byte) != 0 ? byte : 0;
  return result;
}
constexpr u64 bit(u64 index) { return u64{1} << (index & 63); }
constexpr int amount(u64 value) { return static_cast<int>(value & 63); }
constexpr int amount32(u64 value) { return static_cast<int>(value & 31); }

}  // namespace

#define REGISTERS(name, result)            \
  OP(name) {                               \
    const u64 a = s.x[u->rs1];             \
    const u64 b = s.x[u->rs2];             \
    s.x[u->rd] = static_cast<u64>(result); \
    NEXT;                                  \
  }
#define IMMEDIATE(name, result)             \
  OP(name) {                                \
    const u64 a = s.x[u->rs1];              \
    const u64 i = static_cast<u64>(u->imm); \
    s.x[u->rd] = static_cast<u64>(result);  \
    NEXT;                                   \
  }
#define UNARY(name, result)                \
  OP(name) {                               \
    const u64 a = s.x[u->rs1];             \
    s.x[u->rd] = static_cast<u64>(result); \
    NEXT;                                  \
  }

OP(lui) {
  s.x[u->rd] = static_cast<u64>(u->imm);
  NEXT;
}
OP(auipc) {
  s.x[u->rd] = pc + static_cast<u64>(u->imm);
  NEXT;
}

// clang-format off
IMMEDIATE(addi,  a + i)
IMMEDIATE(slti,  sgn(a) < sgn(i))
IMMEDIATE(sltiu, a < i)
IMMEDIATE(xori,  a ^ i)
IMMEDIATE(ori,   a | i)
IMMEDIATE(andi,  a & i)
IMMEDIATE(slli,  a << (i & 63))
IMMEDIATE(srli,  a >> (i & 63))
IMMEDIATE(srai,  sgn(a) >> (i & 63))
IMMEDIATE(addiw, sext32(a + i))
IMMEDIATE(slliw, sext32(a << (i & 31)))
IMMEDIATE(srliw, sext32(lo32(a) >> (i & 31)))
IMMEDIATE(sraiw, sgn(sext32(a)) >> (i & 31))

REGISTERS(add,   a + b)
REGISTERS(sub,   a - b)
REGISTERS(sll,   a << (b & 63))
REGISTERS(slt,   sgn(a) < sgn(b))
REGISTERS(sltu,  a < b)
REGISTERS(xor_,  a ^ b)
REGISTERS(srl,   a >> (b & 63))
REGISTERS(sra,   sgn(a) >> (b & 63))
REGISTERS(or_,   a | b)
REGISTERS(and_,  a & b)
REGISTERS(addw,  sext32(a + b))
REGISTERS(subw,  sext32(a - b))
REGISTERS(sllw,  sext32(a << (b & 31)))
REGISTERS(srlw,  sext32(lo32(a) >> (b & 31)))
REGISTERS(sraw,  sgn(sext32(a)) >> (b & 31))

// M
REGISTERS(mul,    a * b)
REGISTERS(mulh,   high_signed(a, b))
REGISTERS(mulhsu, high_mixed(a, b))
REGISTERS(mulhu,  high_unsigned(a, b))
REGISTERS(div,    divide(sgn(a), sgn(b)))
REGISTERS(divu,   divide(a, b))
REGISTERS(rem,    remainder(sgn(a), sgn(b)))
REGISTERS(remu,   remainder(a, b))
REGISTERS(mulw,   sext32(a * b))
REGISTERS(divw,   extended(divide(static_cast<i32>(a), static_cast<i32>(b))))
REGISTERS(divuw,  extended(divide(lo32(a), lo32(b))))
REGISTERS(remw,   extended(remainder(static_cast<i32>(a), static_cast<i32>(b))))
REGISTERS(remuw,  extended(remainder(lo32(a), lo32(b))))

// Zba
REGISTERS(add_uw,    zext32(a) + b)
REGISTERS(sh1add,    (a << 1) + b)
REGISTERS(sh2add,    (a << 2) + b)
REGISTERS(sh3add,    (a << 3) + b)
REGISTERS(sh1add_uw, (zext32(a) << 1) + b)
REGISTERS(sh2add_uw, (zext32(a) << 2) + b)
REGISTERS(sh3add_uw, (zext32(a) << 3) + b)
IMMEDIATE(slli_uw,   zext32(a) << (i & 63))

// Zbb
REGISTERS(andn,   a & ~b)
REGISTERS(orn,    a | ~b)
REGISTERS(xnor,   ~(a ^ b))
UNARY(clz,        std::countl_zero(a))
UNARY(ctz,        std::countr_zero(a))
UNARY(cpop,       std::popcount(a))
UNARY(clzw,       std::countl_zero(lo32(a)))
UNARY(ctzw,       std::countr_zero(lo32(a)))
UNARY(cpopw,      std::popcount(lo32(a)))
REGISTERS(max,    std::max(sgn(a), sgn(b)))
REGISTERS(maxu,   std::max(a, b))
REGISTERS(min,    std::min(sgn(a), sgn(b)))
REGISTERS(minu,   std::min(a, b))
UNARY(sext_b,     i64{static_cast<i8>(a)})
UNARY(sext_h,     i64{static_cast<i16>(a)})
UNARY(zext_h,     u64{static_cast<u16>(a)})
REGISTERS(rol,    std::rotl(a, amount(b)))
REGISTERS(rolw,   sext32(std::rotl(lo32(a), amount32(b))))
REGISTERS(ror,    std::rotr(a, amount(b)))
REGISTERS(rorw,   sext32(std::rotr(lo32(a), amount32(b))))
IMMEDIATE(rori,   std::rotr(a, amount(i)))
IMMEDIATE(roriw,  sext32(std::rotr(lo32(a), amount32(i))))
UNARY(orc_b,      or_combine(a))
UNARY(rev8,       __builtin_bswap64(a))

// Zbs
REGISTERS(bclr,  a & ~bit(b))
REGISTERS(bext,  a >> (b & 63) & 1)
REGISTERS(binv,  a ^ bit(b))
REGISTERS(bset,  a | bit(b))
IMMEDIATE(bclri, a & ~bit(i))
IMMEDIATE(bexti, a >> (i & 63) & 1)
IMMEDIATE(binvi, a ^ bit(i))
IMMEDIATE(bseti, a | bit(i))

// Zicond
REGISTERS(czero_eqz, b == 0 ? 0 : a)
REGISTERS(czero_nez, b != 0 ? 0 : a)
// clang-format on

}  // namespace cloister::hart::op
