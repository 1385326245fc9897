// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "jit/x64/emitter.h"
#include "jit/x64/region_parts.h"

namespace cloister::jit::x64 {

// Emits what does many of a loop's rounds at once (passes/bulk.cpp), before its rounds without checks: it
// does as many rounds of a stretch as it may, takes them off the countdown, and goes on to the rest. At least
// one is left.
class BulkCode {
 public:
  BulkCode(Emitter& emit, const Rounds& rounds) : emit_(emit), a_(emit.assembler()), rounds_(rounds) {}

  // What it needs of host registers: nothing where there are not enough. `region`: homes that must stay as
  // they are.
  static std::optional<BulkPlaces> find_places(const Rounds& rounds, const Homes& region);

  // edx: the stretch's rounds.
  void emit();
  // Leaves one round of the stretch.
  void shorten_stretch();

 private:
  using Label = asmjit::Label;
  const ir::Bulk& bulk() const { return *rounds_.loop.bulk; }
  const BulkPlaces& places() const { return *rounds_.bulk; }
  u16 slot_of(u32 base) const { return rounds_.loop.streams[bulk().bases[base].streams.front()].slot; }
  x86::Gp pointer(u32 base) const { return places().pointers[base]; }

  void count_to(const ir::Bulk::Bound& bound);
  void load_sum(const x86::Gp& to, const ir::Sum& sum, const x86::Gp& scratch);
  void save();
  void restore();
  void load_pointers();
  void need_page_before(u32 base);

  void scan();
  void need_room(u32 base);
  void load_plain(const x86::Ymm& to, const ir::Bulk::Node& node, u32 size);
  void look();
  x86::Ymm evaluate(u32 node);
  void emit_operation(const x86::Ymm& to, const ir::Bulk::Node& node);
  x86::Ymm take();
  x86::Ymm ones() const { return places().vectors.back(); }

  void write();
  void need_distance(const ir::Bulk::Write& write, const ir::Bulk::Node& from);
  void copy_bytes(const ir::Bulk::Write& write, const ir::Bulk::Node& from);
  void move_registers();

  Emitter& emit_;
  x86::Assembler& a_;
  const Rounds& rounds_;
  Label few_, done_;
  std::vector<std::optional<x86::Ymm>> values_;  // by node
  std::size_t taken_ = 0;                        // of the vector registers
};

}  // namespace cloister::jit::x64
