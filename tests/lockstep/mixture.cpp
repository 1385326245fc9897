// SPDX-License-Identifier: Apache-2.0
#include "lockstep/mixture.h"

#include <cstring>

#include "base/check.h"
#include "isa/encode.h"
#include "isa/registers.h"
#include "lockstep/generator.h"
#include "lockstep/image.h"

namespace cloister::lockstep {
namespace {

using isa::Op;
namespace reg = isa::reg;

constexpr u32 kSnippets = 16, kStates = 2;

u32 below(Random& random, u32 bound) { return static_cast<u32>(random.below(bound)); }

// Any emphasis, so that each kind of instruction is beside each other one.
Profile random_profile(Random& random) {
  constexpr u32 kCompressed[] = {0, 40, 90};
  return {"mixture",
          {10 + below(random, 60), below(random, 50), below(random, 80), below(random, 40), below(random, 15),
           below(random, 5), below(random, 4)},
          kCompressed[random.below(std::size(kCompressed))]};
}

Program random_program(Random& random) {
  Program program;
  for (u32 i = 0; i < kSnippets; ++i) {
    Generator generator(random.next(), random_profile(random), {.zicond = true, .has_oracle = false});
    program.push_back(generator.snippet(8 + below(random, 60), kStates));
  }
  return program;
}

void put(std::vector<std::byte>& bytes, u64 at, const void* from, u64 size) {
  CHECK(at + size <= bytes.size());
  std::memcpy(&bytes[at], from, size);
}

// Copies the areas' bytes, sixteen at a time, and begins anew.
std::vector<u32> restoring_code() {
  const auto load = [](u8 rd, u8 base, i32 imm) {
    return isa::encode({.op = Op::ld, .rd = rd, .rs1 = base, .imm = imm});
  };
  const auto store = [](u8 rs, u8 base, i32 imm) {
    return isa::encode({.op = Op::sd, .rs1 = base, .rs2 = rs, .imm = imm});
  };
  const auto add = [](u8 rd, i32 imm) {
    return isa::encode({.op = Op::addi, .rd = rd, .rs1 = rd, .imm = imm});
  };
  constexpr i32 kConstants = 14 * 4;
  return {isa::encode({.op = Op::auipc, .rd = reg::t0}),
          load(reg::a0, reg::t0, kConstants),
          load(reg::a1, reg::t0, kConstants + 8),
          load(reg::a2, reg::t0, kConstants + 16),
          load(reg::t1, reg::a0, 0),
          load(reg::t2, reg::a0, 8),
          store(reg::t1, reg::a1, 0),
          store(reg::t2, reg::a1, 8),
          add(reg::a0, 16),
          add(reg::a1, 16),
          isa::encode({.op = Op::bne, .rs1 = reg::a1, .rs2 = reg::a2, .imm = -24}),
          load(reg::t1, reg::t0, kConstants + 24),
          isa::encode({.op = Op::jalr, .rs1 = reg::t1}),
          isa::encode({.op = Op::addi})};
}

}  // namespace

// Behind the image: the code that its exit is led to, what that needs to know, and the areas once more.
std::vector<std::byte> random_mixture(Random& random) {
  const Image image = link(random_program(random));
  const std::vector<u32> code = restoring_code();
  const u64 size = area_bytes(image), restores = round_up(image.bytes.size(), u64{16});
  const u64 constants = restores + code.size() * sizeof(u32), saved = constants + 4 * sizeof(u64);
  const u64 to = kImageBase + image.areas;
  const u64 known[] = {kImageBase + saved, to, to + size, kImageBase};
  const u32 jump = isa::encode({.op = Op::jal, .imm = static_cast<i32>(restores - image.exit)});
  std::vector<std::byte> bytes = image.bytes;
  bytes.resize(saved + size);
  put(bytes, image.exit, &jump, sizeof jump);
  put(bytes, restores, code.data(), code.size() * sizeof(u32));
  put(bytes, constants, known, sizeof known);
  put(bytes, saved, &image.bytes[image.areas], size);
  CHECK(bytes.size() < kMiB && size % 16 == 0);
  return bytes;
}

}  // namespace cloister::lockstep
