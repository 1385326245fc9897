// SPDX-License-Identifier: Apache-2.0
// A bytecode machine with a stack, dispatched through a table of addresses: an indirect jump for each
// operation. Its program counts primes by trial division.
#include <array>

#include "row.h"

namespace cloister::bench {
namespace {

enum Op : u8 { kPush, kLoad, kStore, kAdd, kMul, kMod, kLess, kJump, kJumpIfZero, kHalt, kOps };

struct Cell {
  Op op;
  int operand;
};

// for (n = 2; n < limit; ++n) { for (d = 2; d * d <= n && n % d; ++d); if (d * d > n) ++count; }
constexpr int kN = 0, kD = 1, kCount = 2, kLimit = 3;
constexpr Cell kProgram[] = {
    {kPush, 2},        {kStore, kN},                                     // 0
    {kLoad, kN},       {kLoad, kLimit}, {kLess, 0},  {kJumpIfZero, 32},  // 2: while n < limit
    {kPush, 2},        {kStore, kD},                                     // 6
    {kLoad, kN},       {kLoad, kD},     {kLoad, kD}, {kMul, 0},         {kLess, 0},
    {kJumpIfZero, 16},                                                               // 8: n < d * d?
    {kJump, 23},       {kHalt, 0},                                                   // 14: yes: prime
    {kLoad, kN},       {kLoad, kD},     {kMod, 0},   {kJumpIfZero, 27},              // 16: divides
    {kJump, 31},       {kHalt, 0},      {kHalt, 0},                                  // 20: next d
    {kLoad, kCount},   {kPush, 1},      {kAdd, 0},   {kStore, kCount},               // 23: count it
    {kLoad, kN},       {kPush, 1},      {kAdd, 0},   {kJump, 33},                    // 27: next n
    {kJump, 35},       {kHalt, 0},                                                   // 31
    {kStore, kN},      {kJump, 2},                                                   // 33
    {kLoad, kD},       {kPush, 1},      {kAdd, 0},   {kStore, kD},      {kJump, 8},  // 35: ++d
};

// Labels as values are an extension that both compilers have; a switch would be turned back into one jump.
#pragma GCC diagnostic ignored "-Wpedantic"
[[gnu::noinline]] int interpret(const Cell* program, int limit) {
  static const std::array<void*, kOps> kTargets = {&&push, &&load, &&store, &&add,          &&mul,
                                                   &&mod,  &&less, &&jump,  &&jump_if_zero, &&halt};
  int stack[16];
  int variables[4] = {0, 0, 0, limit};
  int* top = stack;
  const Cell* at = program - 1;
#define NEXT \
  ++at;      \
  goto* kTargets[at->op]
  NEXT;
push:
  *top++ = at->operand;
  NEXT;
load:
  *top++ = variables[at->operand];
  NEXT;
store:
  variables[at->operand] = *--top;
  NEXT;
add:
  --top, top[-1] += top[0];
  NEXT;
mul:
  --top, top[-1] *= top[0];
  NEXT;
mod:
  --top, top[-1] %= top[0];
  NEXT;
less:
  --top, top[-1] = top[-1] < top[0];
  NEXT;
jump:
  at = program + at->operand - 1;
  NEXT;
jump_if_zero:
  if (*--top == 0) at = program + at->operand - 1;
  NEXT;
halt:
  return variables[kCount];
#undef NEXT
}

}  // namespace

u64 bytecode(Scale scale) {
  u64 primes = 0;
  for (u64 round = scale.of(32); round != 0; --round)
    primes += static_cast<u64>(interpret(opaque(&kProgram[0]), opaque(5000)));
  return primes;
}

}  // namespace cloister::bench
