// SPDX-License-Identifier: Apache-2.0
#include "lockstep/report.h"

#include <fmt/format.h>

#include <cstring>
#include <span>

#include "base/check.h"
#include "isa/properties.h"
#include "isa/registers.h"

namespace cloister::lockstep {
namespace {

// The snippet cut short after 0, 1, 2, … instructions: the whole of it comes last.
Program beginnings(Snippet snippet, u32 state) {
  snippet.initial = {snippet.initial[state]};
  Program program;
  for (u32 count = 0; count <= snippet.code.size(); ++count)
    program.push_back(first_instructions(snippet, count));
  return program;
}

void append_word(std::string& text, std::string_view name, u64 ours, u64 oracles) {
  if (ours != oracles) text += fmt::format("  {:<8} ours {:016x}  oracle {:016x}\n", name, ours, oracles);
}

std::string differences(const State& ours, const State& oracles) {
  std::string text;
  for (u32 i = 0; i < 32; ++i) append_word(text, isa::kIntegerNames[i], ours.x[i], oracles.x[i]);
  for (u32 i = 0; i < 32; ++i) append_word(text, isa::kFloatNames[i], ours.f[i], oracles.f[i]);
  append_word(text, "fcsr", ours.fcsr, oracles.fcsr);
  for (u64 at = 0; at < kScratchBytes; at += 8) {
    u64 a = 0, b = 0;
    std::memcpy(&a, &ours.scratch[at], sizeof a);
    std::memcpy(&b, &oracles.scratch[at], sizeof b);
    append_word(text, fmt::format("[{:+}]", static_cast<i64>(at) - kScratchBelowBase), a, b);
  }
  return text;
}

std::string operand(const State& state, isa::RegisterClass kind, u32 number) {
  if (kind == isa::RegisterClass::kNone) return {};
  const bool integer = kind == isa::RegisterClass::kInteger;
  return fmt::format("  {:<8} {:016x}\n", integer ? isa::kIntegerNames[number] : isa::kFloatNames[number],
                     integer ? state.x[number] : state.f[number]);
}

std::string operands(const State& before, const isa::Insn& insn) {
  const isa::Properties& p = isa::properties(insn.op);
  return operand(before, p.rs1, insn.rs1) + operand(before, p.rs2, insn.rs2) +
         operand(before, p.rs3, insn.rs3) + fmt::format("  {:<8} {:02x}\n", "fcsr", before.fcsr);
}

std::string listing(const Snippet& snippet, const std::vector<u64>& addresses, u32 culprit) {
  std::string text;
  for (u32 i = 0; i <= culprit; ++i) {
    const Instruction& at = snippet.code[i];
    isa::Insn insn = at.insn;
    if (at.target != kNowhere)
      insn.imm = static_cast<i32>(addresses[static_cast<u32>(at.target)] -
                                  addresses[static_cast<u32>(at.relative_to)]);
    text += fmt::format("{} {:x}: {:0{}x}  {}\n", i == culprit ? "->" : "  ", addresses[i], at.bits,
                        2 * at.insn.length, isa::disassemble(insn, addresses[i]));
  }
  return text;
}

}  // namespace

std::optional<u64> first_difference(const std::vector<State>& ours, const std::vector<State>& oracles) {
  CHECK(ours.size() == oracles.size());
  for (u64 i = 0; i < ours.size(); ++i)
    if (ours[i] != oracles[i]) return i;
  return std::nullopt;
}

std::string explain_difference(Executor& ours, Executor& oracle, const Program& failed, Run run) {
  const Snippet& snippet = failed[run.snippet];
  const Program program = beginnings(snippet, run.state);
  const Image image = link(program);
  const auto us = ours.run(program, image), them = oracle.run(program, image);
  if (!us) return fmt::format("{}: {}\n", ours.name(), us.failure().message);
  if (!them) return fmt::format("{}: {}\n", oracle.name(), them.failure().message);
  const std::optional<u64> at = first_difference(*us, *them);
  if (!at) return "the snippet alone does not differ: it depends on its address, or on what ran before it\n";
  if (*at == 0)
    return "differs with no instruction run: loading or saving the state\n" +
           differences((*us)[0], (*them)[0]);
  const auto culprit = static_cast<u32>(*at - 1);
  return listing(snippet, image.addresses[*at], culprit) + "before, in both:\n" +
         operands((*them)[culprit], snippet.code[culprit].insn) + "after:\n" +
         differences((*us)[*at], (*them)[*at]);
}

std::string explain_loss(Executor& lost, const Program& program) {
  const auto ends = [&](const Snippet& snippet) {
    const Program alone{snippet};
    return lost.run(alone, link(alone)).ok();
  };
  for (const Snippet& snippet : program) {
    if (ends(snippet)) continue;
    u32 count = 0;
    while (count < snippet.code.size() && ends(first_instructions(snippet, count))) ++count;
    const std::vector<u64> addresses = link({snippet}).addresses.front();
    return fmt::format("{} does not come to the end:\n", lost.name()) +
           (count == 0 ? "no instruction of the snippet run\n" : listing(snippet, addresses, count - 1));
  }
  return fmt::format("{}: does not come to the end of the program, but to that of each snippet alone\n",
                     lost.name());
}

}  // namespace cloister::lockstep
