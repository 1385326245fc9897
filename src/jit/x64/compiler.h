// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <asmjit/asmjit.h>

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "jit/code_cache.h"
#include "jit/ir/region.h"
#include "jit/x64/features.h"
#include "jit/x64/image.h"

namespace cloister::jit::x64 {

// Why enter() of the thunks came back, beside State::pc: rax and rdx.
struct Exit {
  u64 kind;
  u64 place;
};
inline constexpr u64 kExitPlain = 0;  // go on at pc
// The block at pc cannot run translated now. If the hart need not stop there, interpret it.
inline constexpr u64 kExitInterpret = 1;
// The jump at `place`, of five bytes, leads nowhere yet, or `place` is a way into a region that is not to be
// entered any more. When a jump to the code for pc is written there, it leads on. Above the kind's bits
// stands the page of guest memory that the region is of.
inline constexpr u64 kExitSlot = 2;
inline constexpr u64 kExitStale = 3;
// pc's region has done as much as Header::heat said; `place` is its Header.
inline constexpr u64 kExitHot = 4;
inline constexpr u32 kExitKindBits = 8;
// What is gained by making a region anew lies in its loops and in its entries.
inline constexpr i32 kEntryWeight = 8;
// One entry in so many is counted, for all: the countdown of instructions says which, so that what an entry
// mostly looks at is in registers.
inline constexpr i32 kEntriesCounted = 32;

// The few routines that all translated code shares, at the beginning of the code cache.
struct Thunks {
  Exit (*enter)(hart::State* state, const void* code) = nullptr;
  // leave: stores the countdown, goes back to enter()'s caller.
  // resume: after a call into the host that changed pc: on there, or back to the caller.
  // jump: to the address in rax, by the jump cache; all registers are in the State.
  // miss: the same when the jump cache does not know it.
  // call: as jump, after the place that the call comes back to went to the return stack: rcx is its address,
  // rdx its code.
  // return: as jump, but the return stack is asked first.
  std::array<const std::byte*, kThunks> others{};
};
Thunks make_thunks(CodeCache& cache);

// By the jump cache that the interpreter uses too: to the address in rax when its pc, tag and epoch are equal
// and it has machine code, else to `miss`. Uses rcx and rdx.
void emit_jump_by_cache(asmjit::x86::Assembler& a, const asmjit::Label& miss, bool notes = false);

// An inline cache: where a jump went first under this jump tag and in this epoch, as in hart::JumpEntry. So
// one that goes to many places is not noted anew each time.
struct alignas(32) LastJump {
  u64 pc = 0;
  u64 stamp = 0;  // jump tag and epoch; 0: never
  const void* code = nullptr;
};
// rsi: the LastJump. To the address in rax when that is its pc, else to `other`, where
// emit_jump_by_cache(notes) may find rsi as it is. Uses rdx.
void emit_jump_again(asmjit::x86::Assembler& a, const asmjit::Label& other);

// Puts where a call comes back to on the return stack: address in rcx, code in rdx. Uses rsi, so
// all registers are in the State.
void emit_push_return(asmjit::x86::Assembler& a);
// To the address in rax when the last call comes back there, else to `miss`. Uses rcx and rdx.
void emit_return(asmjit::x86::Assembler& a, const asmjit::Label& miss);

// The data of a region that its code looks at.
struct Header {
  void* owner = nullptr;  // whoever asked for the code; it may put itself here
  i64 heat = 0;           // left before it leaves as hot: a round of a loop takes 1, an entry kEntryWeight

  // Of a region of several pages: where it was last found to be in place, that is, its page's address and
  // what State::jump_tag and epoch were. Entered elsewhere it looks anew, but for so many times.
  static constexpr u64 kNowhere = ~u64{0};
  u64 page = kNowhere;
  u64 tags = 0;
  i32 refusals = 0;
  static constexpr i32 kFewestRefusals = 4;
  i32 patience = kFewestRefusals;  // the next number of these
  // State::page is that of the region. A safe point.
  bool (*is_in_place)(hart::State& state, Header& header) = nullptr;
};

// A region of several pages lies over others, which have its ways in too. Before each of these stands a jump,
// which is to lead into the other's: where it is not in place, it leads on there. Both ways in begin with an
// instruction of five bytes, which is done by then. Until that is written, what is not in place is
// interpreted.
inline constexpr std::size_t kWayInSize = 5;
inline const std::byte* jump_below(const std::byte* way_in) { return way_in - kWayInSize; }

// Machine code of a region. It can be entered at each of its ways in that has steps.
struct Code {
  struct Entry {
    i32 offset;  // from the region's page
    u16 block;   // of the region
    const std::byte* code;
    void* home = nullptr;  // as Header::owner
  };
  std::vector<Entry> entries;      // the region's first block first
  std::unique_ptr<Header> header;  // must live as long as the machine code
  std::size_t size = 0;
  std::array<std::span<const std::byte>, 2> parts;  // where it runs: what runs often, what seldom does
  // All entries go by `enter`. With a jump to `stale` written there, each leaves at once.
  const std::byte* enter = nullptr;
  const std::byte* stale = nullptr;
  // How often each block ran, where that is counted: of a region with a loop that is to be made anew when it
  // is hot.
  std::unique_ptr<std::vector<u64>> runs;
  std::vector<LastJump> jumps;
  std::shared_ptr<const Sites> sites;
};

// By what the CPU has of these. Precondition: the region's first block has steps. Any thread.
Image compile(const ir::Region& region, const Features& features = Features::of_host());

// Nothing when the cache is full.
std::optional<Code> place(const Image& image, CodeCache& cache, const Thunks& thunks);

}  // namespace cloister::jit::x64
