// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <string_view>

#include "lockstep/generator.h"
#include "lockstep/hart_executor.h"
#include "lockstep/qemu.h"
#include "lockstep/report.h"

// Random programs on our hart and on qemu-riscv64, which must leave the same states.
//
//     lockstep_test --seed=7 --instructions=50000000        (or CLOISTER_SEED,
//     CLOISTER_LOCKSTEP_INSTRUCTIONS)
//
// A difference is printed with its seed and down to the instruction.
namespace cloister::lockstep {
namespace {

u64 given_seed = 1;
u64 given_instructions = 1'600'000;  // of each test

// Bound: what the linker's reach allows, with room.
constexpr u32 kSnippets = 3000;
constexpr u32 kSnippetLength = 48;
constexpr u32 kStates = 6;
constexpr u64 kProgramInstructions = u64{kSnippets} * kSnippetLength * kStates;

//                                integer memory float atomic jump csr fence   compressed
constexpr Profile kInteger = {"integer", {70, 15, 0, 0, 14, 0, 1}, 0};
constexpr Profile kCompressed = {"compressed", {50, 35, 0, 0, 14, 0, 1}, 90};
constexpr Profile kFloat = {"float", {8, 10, 75, 0, 3, 4, 0}, 10};
constexpr Profile kAtomic = {"atomic", {20, 20, 0, 50, 8, 0, 2}, 20};
constexpr Profile kMixed = {"mixed", {30, 18, 30, 8, 8, 4, 2}, 40};

// A machine that gets one bit wrong after each xor: what a difference looks like.
class WrongXor final : public Executor {
 public:
  explicit WrongXor(Executor& right) : right_(right) {}
  const char* name() const override { return "wrong xor"; }
  Result<std::vector<State>> run(const Program& program, const Image& image) override {
    std::vector<State> states = TRY(right_.run(program, image));
    for (u64 i = 0; i < states.size(); ++i)
      if (has_xor(program[run_of(program, i).snippet])) states[i].x[5] ^= 1;
    return states;
  }

 private:
  static bool has_xor(const Snippet& snippet) {
    return std::any_of(snippet.code.begin(), snippet.code.end(),
                       [](const Instruction& i) { return i.insn.op == isa::Op::xor_; });
  }
  Executor& right_;
};

class Lockstep : public testing::Test {
 protected:
  void SetUp() override {
    auto qemu = Qemu::create();
    ASSERT_TRUE(qemu.ok()) << qemu.failure().message;
    qemu_ = qemu.take();
  }

  Program program(Generator& generator, u32 snippets) {
    Program made;
    while (made.size() < snippets) made.push_back(generator.snippet(kSnippetLength, kStates));
    return made;
  }

  // Empty when the machines agree on the program.
  std::string difference(Executor& ours, const Program& made) {
    const Image image = link(made);
    const auto us = ours.run(made, image), them = qemu_->run(made, image);
    if (!us) return us.failure().message + '\n' + explain_loss(ours, made);
    if (!them) return them.failure().message + '\n' + explain_loss(*qemu_, made);
    const std::optional<u64> at = first_difference(*us, *them);
    return at ? explain_difference(ours, *qemu_, made, run_of(made, *at)) : "";
  }

  void agree(const Profile& profile, HartExecutor::Paging paging,
             HartExecutor::Engine engine = HartExecutor::Engine::kInterpreter) {
    HartExecutor hart(paging, engine);
    Generator generator(given_seed, profile, qemu_->features());
    const u64 programs = (given_instructions + kProgramInstructions - 1) / kProgramInstructions;
    fmt::print("{} on {}: seed {}, {} instructions in {} programs\n", profile.name, hart.name(), given_seed,
               programs * kProgramInstructions, programs);
    for (u64 i = 0; i < programs; ++i) {
      const std::string found = difference(hart, program(generator, kSnippets));
      if (found.empty()) continue;
      FAIL() << fmt::format("{}, seed {}, program {}:\n{}", profile.name, given_seed, i, found);
    }
    fmt::print("  agreed; with loading and saving states {} instructions executed\n", hart.executed());
  }

  std::unique_ptr<Qemu> qemu_;
};

TEST_F(Lockstep, IntegerAndBitManipulation) { agree(kInteger, HartExecutor::Paging::kBare); }
TEST_F(Lockstep, Compressed) { agree(kCompressed, HartExecutor::Paging::kBare); }
TEST_F(Lockstep, FloatingPointInAllRoundingModes) { agree(kFloat, HartExecutor::Paging::kBare); }
TEST_F(Lockstep, Atomics) { agree(kAtomic, HartExecutor::Paging::kBare); }
TEST_F(Lockstep, EverythingMixed) { agree(kMixed, HartExecutor::Paging::kBare); }
TEST_F(Lockstep, EverythingMixedThroughAPageTable) { agree(kMixed, HartExecutor::Paging::kSv39); }

constexpr auto kTranslator = HartExecutor::Engine::kTranslator;
TEST_F(Lockstep, TranslatedInteger) { agree(kInteger, HartExecutor::Paging::kBare, kTranslator); }
TEST_F(Lockstep, TranslatedCompressed) { agree(kCompressed, HartExecutor::Paging::kBare, kTranslator); }
TEST_F(Lockstep, TranslatedFloatingPoint) { agree(kFloat, HartExecutor::Paging::kBare, kTranslator); }
TEST_F(Lockstep, TranslatedAtomics) { agree(kAtomic, HartExecutor::Paging::kSv39, kTranslator); }
TEST_F(Lockstep, TranslatedMixture) { agree(kMixed, HartExecutor::Paging::kSv39, kTranslator); }
TEST_F(Lockstep, TranslatedMixtureWithLittleRoom) {
  agree(kMixed, HartExecutor::Paging::kSv39, HartExecutor::Engine::kTranslatorTight);
}

constexpr auto kPlain = HartExecutor::Engine::kTranslatorPlain;
TEST_F(Lockstep, TranslatedIntegerOnAPlainHost) { agree(kInteger, HartExecutor::Paging::kBare, kPlain); }
TEST_F(Lockstep, TranslatedFloatingPointOnAPlainHost) { agree(kFloat, HartExecutor::Paging::kBare, kPlain); }
TEST_F(Lockstep, TranslatedMixtureOnAPlainHost) { agree(kMixed, HartExecutor::Paging::kSv39, kPlain); }

TEST_F(Lockstep, SaysWhatIsLeftOut) {
  std::string text = qemu_->features().zicond ? "" : "  czero.eqz, czero.nez: the oracle lacks it\n";
  for (const LeftOut& out : left_out()) text += fmt::format("  {}: {}\n", isa::mnemonic(out.op), out.reason);
  fmt::print("Not compared:\n{}", text);
  EXPECT_NE(text, "");
}

TEST_F(Lockstep, ADeliberateMistakeIsFoundAndItsInstructionNamed) {
  WrongXor wrong(*qemu_);
  Generator generator(given_seed, kMixed, qemu_->features());
  const std::string found = difference(wrong, program(generator, 50));
  EXPECT_NE(found.find("-> "), std::string::npos) << found;
  EXPECT_NE(found.substr(found.find("-> ")).find("xor"), std::string::npos) << found;
  EXPECT_NE(found.find("  t0       ours"), std::string::npos) << found;
}

void read_number(const char* text, u64& value) {
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), value);
}

}  // namespace
}  // namespace cloister::lockstep

int main(int argc, char** argv) {
  using namespace cloister::lockstep;
  testing::InitGoogleTest(&argc, argv);
  read_number(std::getenv("CLOISTER_SEED"), given_seed);
  read_number(std::getenv("CLOISTER_LOCKSTEP_INSTRUCTIONS"), given_instructions);
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument = argv[i];
    constexpr std::string_view kSeed = "--seed=", kInstructions = "--instructions=";
    if (argument.starts_with(kSeed)) read_number(argv[i] + kSeed.size(), given_seed);
    if (argument.starts_with(kInstructions)) read_number(argv[i] + kInstructions.size(), given_instructions);
  }
  return RUN_ALL_TESTS();
}
