// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstring>

#include "base/check.h"
#include "isa/encode.h"
#include "isa/insn.h"
#include "isa/properties.h"

// Any bits decode, to something that the table, the properties and the encoder agree upon.
namespace cloister::isa {
namespace {

void check_operands(const Insn& insn) {
  const Properties& what = properties(insn.op);
  const bool has_rs1 = what.rs1 != RegisterClass::kNone || what.format == Format::kCsrI;
  CHECK(insn.rd < 32 && insn.rs1 < 32 && insn.rs2 < 32 && insn.rs3 < 32);
  CHECK(what.rd != RegisterClass::kNone || insn.rd == 0);
  CHECK(has_rs1 || insn.rs1 == 0);
  CHECK(what.rs2 != RegisterClass::kNone || insn.rs2 == 0);
  CHECK(what.rs3 != RegisterClass::kNone || insn.rs3 == 0);
  CHECK(what.has_immediate || insn.imm == 0);
  CHECK(what.has_rounding_mode ? insn.rm != 5 && insn.rm != 6 && insn.rm < 8 : insn.rm == 0);
}

// The full-length encoding of what was decoded means the same, whatever length it had. (A fence whose
// ignored fields alone told it from a pause comes back as a pause.)
void check_round_trip(Insn insn) {
  const u32 bits = encode(insn);
  insn.length = 4;
  CHECK(decode(bits) == insn || (insn.op == Op::fence && decode(bits).op == Op::pause));
}

void check_one(u32 bits) {
  const Insn insn = decode(bits);
  CHECK(insn.length == ((bits & 3) == 3 ? 4 : 2));
  CHECK(insn.length == 4 || decode(bits & 0xffff) == insn);
  CHECK(!disassemble(insn, bits).empty());
  CHECK(insn.op != Op::illegal || ends_block(insn.op));
  check_operands(insn);
  if (insn.op != Op::illegal) check_round_trip(insn);
}

}  // namespace
}  // namespace cloister::isa

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  for (; size >= 4; data += 4, size -= 4) {
    cloister::u32 bits = 0;
    std::memcpy(&bits, data, sizeof bits);
    cloister::isa::check_one(bits);
  }
  return 0;
}
