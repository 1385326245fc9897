// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "hart/core.h"
#include "hart/execute.h"
#include "hart/return_stack.h"
#include "jit/x64/compiler.h"
#include "jit/x64/registers.h"

// The way into translated code and out of it.
namespace cloister::jit::x64 {

namespace {

const x86::Gp kSaved[] = {x86::rbx, x86::rbp, x86::r12, x86::r13, x86::r14, x86::r15};

// Whether the jump cache knows the code for State::pc, after a look at the page when that is all that is
// missing.
bool is_in_cache(hart::State& s, hart::JumpEntry& entry) {
  if (entry.pc != s.pc || entry.tag != s.jump_tag || entry.translated == nullptr) return false;
  return entry.epoch == s.epoch || s.core->translator->renew(*s.core, entry);
}

// The code for State::pc; nullptr where there is none, or where the hart must be looked after.
const void* code_at_pc(hart::State& s) {
  hart::Core& core = *s.core;
  if (hart::must_stop(s) || core.exit) return nullptr;
  hart::JumpEntry& entry = hart::jump_entry(s, s.pc);
  if (is_in_cache(s, entry)) {
    s.page = s.pc & ~kPageMask;
    return entry.translated;
  }
  hart::Block* block = hart::find_known_block(core);
  return block == nullptr ? nullptr : core.translator->enter(core, *block);
}

}  // namespace

void emit_jump_by_cache(x86::Assembler& a, const asmjit::Label& miss, bool notes) {
  using hart::JumpEntry, hart::State;
  static_assert(sizeof(JumpEntry) == 32);
  static_assert(offsetof(State, epoch) == offsetof(State, jump_tag) + 4);
  static_assert(offsetof(JumpEntry, epoch) == offsetof(JumpEntry, tag) + 4);
  a.mov(x86::ecx, x86::eax);
  a.shr(x86::ecx, 1);
  a.and_(x86::ecx, static_cast<i32>(hart::kJumpEntries - 1));
  a.shl(x86::rcx, 5);
  a.add(x86::rcx, state_at(offsetof(State, jumps)));
  a.cmp(x86::rax, x86::ptr(x86::rcx, offsetof(JumpEntry, pc)));
  a.jne(miss);
  a.mov(x86::rdx, x86::ptr(x86::rcx, offsetof(JumpEntry, tag)));
  a.cmp(x86::rdx, state_at(offsetof(State, jump_tag)));
  a.jne(miss);
  a.mov(x86::rcx, x86::ptr(x86::rcx, offsetof(JumpEntry, translated)));
  a.test(x86::rcx, x86::rcx);
  a.jz(miss);
  if (notes) {
    const asmjit::Label noted = a.newLabel();
    a.cmp(x86::rdx, x86::ptr(x86::rsi, offsetof(LastJump, stamp)));
    a.je(noted);
    a.mov(x86::ptr(x86::rsi, offsetof(LastJump, pc)), x86::rax);
    a.mov(x86::ptr(x86::rsi, offsetof(LastJump, stamp)), x86::rdx);
    a.mov(x86::ptr(x86::rsi, offsetof(LastJump, code)), x86::rcx);
    a.bind(noted);
  }
  a.and_(x86::rax, -static_cast<i32>(kPageSize));
  a.mov(state_at(offsetof(State, page)), x86::rax);
  a.jmp(x86::rcx);
}

void emit_jump_again(x86::Assembler& a, const asmjit::Label& other) {
  using hart::State;
  a.cmp(x86::rax, x86::ptr(x86::rsi, offsetof(LastJump, pc)));
  a.jne(other);
  a.mov(x86::rdx, x86::ptr(x86::rsi, offsetof(LastJump, stamp)));
  a.cmp(x86::rdx, state_at(offsetof(State, jump_tag)));
  a.jne(other);
  a.and_(x86::rax, -static_cast<i32>(kPageSize));
  a.mov(state_at(offsetof(State, page)), x86::rax);
  a.jmp(x86::ptr(x86::rsi, offsetof(LastJump, code)));
}

void emit_push_return(x86::Assembler& a) {
  using hart::ReturnStack, hart::State;
  static_assert(alignof(ReturnStack) == ReturnStack::kEntries * sizeof(u64));  // the low byte goes round
  a.mov(x86::rsi, state_at(offsetof(State, returns)));
  a.add(x86::sil, sizeof(u64));
  a.mov(state_at(offsetof(State, returns)), x86::rsi);
  a.mov(x86::ptr(x86::rsi), x86::rcx);
  a.mov(x86::ptr(x86::rsi, offsetof(ReturnStack, code)), x86::rdx);
}

void emit_return(x86::Assembler& a, const asmjit::Label& miss) {
  using hart::ReturnStack, hart::State;
  a.mov(x86::rcx, state_at(offsetof(State, returns)));
  a.cmp(x86::rax, x86::ptr(x86::rcx));
  a.jne(miss);
  a.mov(x86::rdx, x86::ptr(x86::rcx, offsetof(ReturnStack, code)));
  a.sub(x86::cl, sizeof(u64));
  a.mov(state_at(offsetof(State, returns)), x86::rcx);
  a.and_(x86::rax, -static_cast<i32>(kPageSize));
  a.mov(state_at(offsetof(State, page)), x86::rax);
  a.jmp(x86::rdx);
}

Thunks make_thunks(CodeCache& cache) {
  asmjit::CodeHolder holder;
  holder.init(asmjit::Environment::host());
  x86::Assembler a(&holder);
  const asmjit::Label leave = a.newLabel(), resume = a.newLabel(), back = a.newLabel(), jump = a.newLabel(),
                      miss = a.newLabel(), call = a.newLabel(), returns = a.newLabel();
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
  a.bind(returns);
  emit_return(a, jump);
  a.bind(call);
  emit_push_return(a);
  a.bind(jump);
  emit_jump_by_cache(a, miss);
  a.bind(miss);
  a.mov(state_at(offsetof(hart::State, pc)), x86::rax);
  a.mov(state_at(offsetof(hart::State, countdown)), kCountdown);
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
  const asmjit::Label labels[kThunks] = {leave, resume, jump, miss, call, returns};
  for (std::size_t i = 0; i < kThunks; ++i) thunks.others[i] = place.run + holder.labelOffset(labels[i]);
  return thunks;
}

}  // namespace cloister::jit::x64
