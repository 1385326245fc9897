// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>
#include <vector>

#include "base/random.h"
#include "isa/table.h"
#include "lockstep/program.h"

// Makes random snippets from the instruction table. They cannot trap and their outcome depends on nothing but
// their initial state, so that any two right machines agree on them.
namespace cloister::lockstep {

enum class Group : u8 { kInteger, kMemory, kFloat, kAtomic, kJump, kCsr, kFence };
inline constexpr u32 kGroups = 7;

// What a snippet is made of.
struct Profile {
  const char* name;
  std::array<u32, kGroups> weights;  // how often an instruction is of the group, in the order of Group
  u32 compressed_percent;            // how many are of 2 bytes, where the group has such
};

// Instructions that no snippet holds, with the reason.
struct LeftOut {
  isa::Op op;
  const char* reason;
};
std::span<const LeftOut> left_out();

struct Features {
  bool zicond = false;     // the oracle knows it
  bool has_oracle = true;  // otherwise what only that lacks or gets wrong is there too
};

class Generator {
 public:
  Generator(u64 seed, const Profile& profile, Features features);

  Snippet snippet(u32 instructions, u32 states);

 private:
  struct Rows {
    std::vector<const isa::Row*> full, compressed;
  };

  void choose_pointers();
  State random_state();
  u64 interesting_register();
  void settle_targets();

  void add(Group group);
  bool add_plain(const isa::Row& row);
  void add_memory(const isa::Row& row);
  void add_float(const isa::Row& row);
  void add_atomic(const isa::Row& row);
  void add_reserved_pair(const isa::Row& load);
  void add_jump(const isa::Row& row);
  void add_indirect_jump(const isa::Row& row);
  void add_csr(const isa::Row& row);
  void append(u32 bits);
  void append(const isa::Insn& insn);
  void append_access(const isa::Row& row, const Pointer& pointer);

  const isa::Row& row_of(Group group);
  const isa::Row& full_row(isa::Op op) const;
  isa::Insn random_insn(const isa::Row& row);
  bool is_pointer(u8 reg) const;
  bool writes_pointer(const isa::Insn& insn) const;
  u8 free_register();
  const Pointer& any_pointer();
  const Pointer& aligned_pointer();
  i32 jump_target();

  Random random_;
  const Profile profile_;
  std::array<Rows, kGroups> rows_;
  Snippet snippet_;
  bool singles_ = false;  // the snippet computes rather with singles than with doubles
};

}  // namespace cloister::lockstep
