// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <initializer_list>
#include <vector>

#include "base/check.h"
#include "base/units.h"

// Little guests for tests, written in place: an assembler for the few instructions that they need.
namespace cloister::machine::testing {

enum Reg : u32 {
  kZero = 0,
  kT0 = 5,
  kT1 = 6,
  kT2 = 7,
  kS0 = 8,
  kS1 = 9,
  kA0 = 10,
  kA1 = 11,
  kA2 = 12,
  kA3 = 13,
  kA4 = 14,
  kA6 = 16,
  kA7 = 17
};

// A label is the index of an instruction.
using Label = std::size_t;

class Program {
 public:
  const std::vector<u32>& words() const { return words_; }
  Label here() const { return words_.size(); }

  void li(Reg rd, u64 value) {
    const i64 wanted = static_cast<i64>(value);
    if (wanted >= -2048 && wanted < 2048) return addi(rd, kZero, static_cast<i32>(wanted));
    const i64 low = (wanted << 52) >> 52;
    const u64 rest = static_cast<u64>(wanted - low);
    const int shift = std::countr_zero(rest);
    li(rd, static_cast<u64>(static_cast<i64>(rest) >> shift));
    word(static_cast<u32>(shift) << 20 | rd << 15 | 1u << 12 | rd << 7 | 0x13);  // slli
    if (low != 0) addi(rd, rd, static_cast<i32>(low));
  }
  void addi(Reg rd, Reg rs, i32 value) { word(static_cast<u32>(value) << 20 | rs << 15 | rd << 7 | 0x13); }
  void add(Reg rd, Reg a, Reg b) { word(b << 20 | a << 15 | rd << 7 | 0x33); }
  // To the code at `base` + offset, whose return comes back; clobbers ra.
  void call(Reg base, i32 offset = 0) { word(static_cast<u32>(offset) << 20 | base << 15 | 1u << 7 | 0x67); }
  void fence_i() { word(0x0000100f); }
  void mv(Reg rd, Reg rs) { addi(rd, rs, 0); }
  void load_word(Reg rd, Reg base) { word(base << 15 | 2u << 12 | rd << 7 | 0x03); }
  void store_word(Reg value, Reg base) { word(value << 20 | base << 15 | 2u << 12 | 0x23); }
  void store_byte(Reg value, Reg base) { word(value << 20 | base << 15 | 0x23); }
  void amoadd(Reg rd, Reg value, Reg base) { word(value << 20 | base << 15 | 2u << 12 | rd << 7 | 0x2f); }
  void csrs(u32 csr, Reg rs) { word(csr << 20 | rs << 15 | 2u << 12 | 0x73); }
  void csrc(u32 csr, Reg rs) { word(csr << 20 | rs << 15 | 3u << 12 | 0x73); }
  void csrw(u32 csr, Reg rs) { word(csr << 20 | rs << 15 | 1u << 12 | 0x73); }
  void csrr(Reg rd, u32 csr) { word(csr << 20 | 2u << 12 | rd << 7 | 0x73); }
  void wfi() { word(0x10500073); }
  void bne(Reg a, Reg b, Label target) { branch(1, a, b, target); }
  void blt(Reg a, Reg b, Label target) { branch(4, a, b, target); }
  void pause() { word(0x0100000f); }
  void loop_for_ever() { word(0x0000006f); }

  // The results are in a0 and a1.
  void sbi(u64 extension, u64 function, std::initializer_list<u64> arguments = {}) {
    u32 reg = kA0;
    for (const u64 argument : arguments) li(static_cast<Reg>(reg++), argument);
    li(kA7, extension);
    li(kA6, function);
    word(0x00000073);
  }
  // Cloister's own call: its status is in a0.
  void guest_call(u64 function, std::initializer_list<u64> arguments = {}) {
    u32 reg = kA0;
    for (const u64 argument : arguments) li(static_cast<Reg>(reg++), argument);
    li(kA7, function);
    word(0x0000000b);
  }
  void store_double(Reg value, Reg base, i32 offset = 0) {
    const u32 at = static_cast<u32>(offset);
    word((at >> 5 & 0x7f) << 25 | value << 20 | base << 15 | 3u << 12 | (at & 0x1f) << 7 | 0x23);
  }
  void power_off() { sbi(0x53525354, 0, {0, 0}); }

 private:
  void word(u32 value) { words_.push_back(value); }
  void branch(u32 condition, Reg a, Reg b, Label target) {
    const i64 distance = (static_cast<i64>(target) - static_cast<i64>(here())) * 4;
    CHECK(distance < 0 && distance >= -4096);  // backwards only
    const u32 d = static_cast<u32>(distance);
    word((d >> 12 & 1) << 31 | (d >> 5 & 0x3f) << 25 | b << 20 | a << 15 | condition << 12 |
         (d >> 1 & 0xf) << 8 | (d >> 11 & 1) << 7 | 0x63);
  }

  std::vector<u32> words_;
};

}  // namespace cloister::machine::testing
