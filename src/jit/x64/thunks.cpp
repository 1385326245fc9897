// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "hart/core.h"
#include "hart/execute.h"
#include "jit/x64/compiler.h"
#include "jit/x64/registers.h"

// The way into translated code and out of it.
namespace cloister::jit::x64 {

namespace {

const x86::Gp kSaved[] = {x86::rbx, x86::rbp, x86::r12, x86::r13, x86::r14, x86::r15};

// The code for State::pc; nullptr where there is none, or where the hart must be looked after.
const void* code_at_pc(hart::State& s) {
  if (hart::must_stop(s) || s.core->exit) return nullptr;
  const hart::JumpEntry& entry = hart::jump_entry(s, s.pc);
  if (entry.pc != s.pc || entry.tag != s.jump_tag) return nullptr;
  s.page = s.pc & ~kPageMask;
  return entry.block->translated;
}

}  // namespace

Thunks make_thunks(CodeCache& cache) {
  asmjit::CodeHolder holder;
  holder.init(asmjit::Environment::host());
  x86::Assembler a(&holder);
  const asmjit::Label leave = a.newLabel(), resume = a.newLabel(), back = a.newLabel();
  // enter(state, code)
  for (const x86::Gp& reg : kSaved) a.push(reg);
  a.sub(x86::rsp, sizeof(Frame));
  a.lea(kState, x86::ptr(x86::rdi, kStateBias));
  a.mov(kCountdown, state_at(offsetof(hart::State, countdown)));
  a.jmp(x86::rsi);
  a.bind(leave);
  a.mov(state_at(offsetof(hart::State, countdown)), kCountdown);
  a.bind(back);
  a.add(x86::rsp, sizeof(Frame));
  for (u32 i = std::size(kSaved); i-- > 0;) a.pop(kSaved[i]);
  a.ret();
  a.bind(resume);
  a.lea(x86::rdi, x86::ptr(kState, -kStateBias));
  a.call(asmjit::imm(code_at_pc));
  a.test(x86::rax, x86::rax);
  a.jz(back);  // rax is kExitPlain
  a.mov(kCountdown, state_at(offsetof(hart::State, countdown)));
  a.jmp(x86::rax);

  static_assert(kExitPlain == 0);
  CHECK(holder.flatten() == asmjit::kErrorOk);
  const CodeCache::Place place = cache.allocate(holder.codeSize());
  CHECK(place.run != nullptr);
  CHECK(holder.relocateToBase(reinterpret_cast<u64>(place.run)) == asmjit::kErrorOk);
  CHECK(holder.copyFlattenedData(place.write.data(), place.write.size()) == asmjit::kErrorOk);
  Thunks thunks;
  thunks.enter = reinterpret_cast<Exit (*)(hart::State*, const void*)>(reinterpret_cast<u64>(place.run));
  thunks.leave = place.run + holder.labelOffset(leave);
  thunks.resume = place.run + holder.labelOffset(resume);
  return thunks;
}

}  // namespace cloister::jit::x64
