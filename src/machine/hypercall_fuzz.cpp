// SPDX-License-Identifier: Apache-2.0
// Any sequence of guest calls, with any arguments, over any page table and any content of memory.
#include <cstring>

#include "base/check.h"
#include "machine/hypercall.h"

namespace cloister::machine {
namespace {

constexpr GuestPhys kBase{0x8000'0000};
constexpr u64 kPages = 64;

// What a page maps to follows from its number and the fuzzer's choice: some are no memory, some not there.
struct AnyMemory final : CallerMemory {
  void pages_to_write(GuestVirt va, std::span<std::optional<Gpn>> pages) override {
    CHECK(va.page_offset() == 0 && !pages.empty() && pages.size() <= CLOISTER_GIVE_MOST);
    CHECK(va.raw + (pages.size() - 1) * kPageSize >= va.raw);
    for (u64 i = 0; i < pages.size(); ++i) {
      const u64 number = va.page() + i + shift;
      pages[i].reset();
      if (number % 7 != 0) pages[i] = Gpn{number % 11 == 0 ? number : kBase.page() + number % kPages};
    }
  }
  u64 shift = 0;
};

struct Step {
  u8 what;  // 0 to 5, and beyond: a call; 6: the value at a page; 7: something at a place
  u8 page;
  u16 shift;
  u32 space;
  std::array<u64, 2> arguments;
};

void take(Hypercall& hypercall, memory::GuestMemory& memory, AnyMemory& program, const Step& step) {
  program.shift = step.shift;
  const GuestPhys place = kBase + step.page % kPages * kPageSize;
  if (step.what == 6) return void(memory.write(place, memory.balloon_value()));
  if (step.what == 7) return void(memory.store<u64>(place + step.arguments[0] % 512 * 8, step.arguments[1]));
  const GuestReply reply =
      hypercall.call({step.what, {step.arguments[0], step.arguments[1]}, step.space}, program);
  CHECK(reply.status <= CLOISTER_OFF && reply.count <= reply.results.size());
  if (step.what == CLOISTER_CALL_BALLOON_GIVE && reply.status == CLOISTER_OK) {
    CHECK(reply.results[0] <= step.arguments[1] && reply.results[1] <= step.arguments[1]);
    CHECK((reply.results[1] == step.arguments[1]) == (reply.results[2] == CLOISTER_OK));
  }
}

}  // namespace
}  // namespace cloister::machine

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace cloister;
  using namespace cloister::machine;
  const auto memory = memory::GuestMemory::create(kBase, {kPages * kPageSize}).take();
  Hypercall hypercall(*memory, CLOISTER_FEATURE_BALLOON | CLOISTER_FEATURE_CONDITION);
  AnyMemory program;
  for (Step step{}; size >= sizeof(step); data += sizeof(step), size -= sizeof(step)) {
    std::memcpy(&step, data, sizeof(step));
    take(hypercall, *memory, program, step);
  }
  memory->check_invariants();
  return 0;
}
