// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "hart/block.h"
#include "hart/state.h"

namespace cloister::hart {

struct Core;

// What makes machine code of blocks that run often. One for each hart, on its thread.
class Translator {
 public:
  virtual ~Translator() = default;

  // Whether a block that was entered so often should be translated.
  virtual bool is_hot(u32 heat) const = 0;
  // Makes Block::translated of `block`, or leaves it alone, or has it made meanwhile. A safe point. May drop
  // all blocks. Precondition: no block is being executed.
  virtual void translate(Core& core, Block& block) = 0;
  // After attention::kCode: what was made meanwhile goes to its place. As translate().
  virtual void take_up(Core& core) = 0;
  // Nothing of the hart is touched any more by other threads.
  virtual void hart_ends() = 0;

  enum class Outcome : u8 {
    kLeft,       // State::pc is where to go on
    kInterpret,  // likewise, and the block there is to be interpreted once
  };
  // What Block::translated of a block that was just decoded is to be.
  virtual const void* find(const Block& block) = 0;
  // The machine code of `block`, made ready to be entered at State::pc; nullptr when it has none that is
  // right in the present epoch. A safe point.
  virtual const void* enter(Core& core, Block& block) = 0;
  // Makes an entry of an older epoch, of block and machine code, one of the present epoch, if both still are
  // right. A safe point.
  virtual bool renew(Core& core, JumpEntry& jump) = 0;
  // Runs `block`'s translation, for State::pc, until the hart must be looked after. A safe point.
  virtual Outcome execute(Core& core, Block& block) = 0;

  // What it did so far, for people.
  struct Figure {
    const char* what;
    u64 count;
  };
  virtual std::vector<Figure> figures() const { return {}; }

  // Machine code that there is now, and where the guest was when it was made, for people. Precondition: it is
  // not being executed.
  struct Piece {
    std::span<const std::byte> code;
    u64 pc;
  };
  virtual std::vector<Piece> pieces() const { return {}; }

  // Guest code that has machine code now, by the addresses that it had when that was made, and how many bytes
  // of machine code: of what was made together, each has its share. For people.
  struct Footprint {
    u64 begin;
    u64 end;
    bool supervisor;
    u64 bytes;
  };
  virtual std::vector<Footprint> footprints() const { return {}; }
};

}  // namespace cloister::hart
