// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "jit/x64/compiler.h"
#include "jit/x64/registers.h"

// The way into translated code and out of it.
namespace cloister::jit::x64 {

namespace {

const x86::Gp kSaved[] = {x86::rbx, x86::rbp, x86::r12, x86::r13, x86::r14, x86::r15};

}  // namespace

Thunks make_thunks(CodeCache& cache) {
  asmjit::CodeHolder holder;
  holder.init(asmjit::Environment::host());
  x86::Assembler a(&holder);
  const asmjit::Label leave = a.newLabel(), leave_called = a.newLabel();
  // enter(state, code)
  for (const x86::Gp& reg : kSaved) a.push(reg);
  a.sub(x86::rsp, 8);  // code finds the stack aligned for calls
  a.lea(kState, x86::ptr(x86::rdi, kStateBias));
  a.mov(kCountdown, state_at(offsetof(hart::State, countdown)));
  a.jmp(x86::rsi);
  a.bind(leave);
  a.mov(state_at(offsetof(hart::State, countdown)), kCountdown);
  a.bind(leave_called);
  a.add(x86::rsp, 8);
  for (u32 i = std::size(kSaved); i-- > 0;) a.pop(kSaved[i]);
  a.ret();

  CHECK(holder.flatten() == asmjit::kErrorOk);
  const CodeCache::Place place = cache.allocate(holder.codeSize());
  CHECK(place.run != nullptr);
  CHECK(holder.relocateToBase(reinterpret_cast<u64>(place.run)) == asmjit::kErrorOk);
  CHECK(holder.copyFlattenedData(place.write.data(), place.write.size()) == asmjit::kErrorOk);
  Thunks thunks;
  thunks.enter = reinterpret_cast<u64 (*)(hart::State*, const void*)>(reinterpret_cast<u64>(place.run));
  thunks.leave = place.run + holder.labelOffset(leave);
  thunks.leave_called = place.run + holder.labelOffset(leave_called);
  return thunks;
}

}  // namespace cloister::jit::x64
