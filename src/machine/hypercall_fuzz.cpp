// SPDX-License-Identifier: Apache-2.0
// Any sequence of guest calls, with any arguments, over any page table and any content of memory.
#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "machine/hypercall.h"

namespace cloister::machine {
namespace {

constexpr GuestPhys kBase{0x8000'0000};
constexpr u64 kPages = 64;

// What a page maps to follows from its number and the fuzzer's choice: some are no memory, some not there.
struct AnyMemory final : CallerMemory {
  void pages_to_write(GuestVirt va, std::span<std::optional<Gpn>> pages,
                      const std::function<void()>& then) override {
    CHECK(va.page_offset() == 0 && !pages.empty() && pages.size() <= CLOISTER_GIVE_MOST);
    CHECK(va.raw + (pages.size() - 1) * kPageSize >= va.raw);
    for (u64 i = 0; i < pages.size(); ++i) {
      const u64 number = va.page() + i + shift;
      pages[i].reset();
      if (number % 7 != 0) pages[i] = Gpn{number % 11 == 0 ? number : kBase.page() + number % kPages};
    }
    then();
  }
  u64 shift = 0;
};

struct Step {
  u8 what;  // a call, known or not; 100: the value at a page; 101: something at a place
  u8 page;
  u16 shift;
  u32 space;
  std::array<u64, 2> arguments;
};

// Nothing uses the pages meanwhile, so each that is memory was filled.
bool holds_value(memory::GuestMemory& memory, AnyMemory& program, u64 first, const GuestReply& reply) {
  if (reply.results[1] == 0) return true;
  std::vector<std::optional<Gpn>> pages(reply.results[1]);
  program.pages_to_write(GuestVirt{first}, pages, [] {});
  return std::all_of(pages.begin(), pages.end(), [&](const auto& page) {
    return memory.state(*page) == memory::PageState::kBalloonValue;
  });
}

void take(Hypercall& hypercall, memory::GuestMemory& memory, AnyMemory& program, const Step& step) {
  program.shift = step.shift;
  const GuestPhys place = kBase + step.page % kPages * kPageSize;
  if (step.what == 100) return void(memory.write(place, memory.balloon_value()));
  if (step.what == 101)
    return void(memory.store<u64>(place + step.arguments[0] % 512 * 8, step.arguments[1]));
  const GuestReply reply =
      hypercall.call({step.what, {step.arguments[0], step.arguments[1]}, step.space}, program);
  CHECK(reply.status <= CLOISTER_OFF && reply.count <= reply.results.size());
  const bool gives = step.what == CLOISTER_CALL_BALLOON_GIVE || step.what == CLOISTER_CALL_BALLOON_FILL;
  if (gives && reply.status == CLOISTER_OK) {
    CHECK(reply.results[0] <= step.arguments[1] && reply.results[1] <= step.arguments[1]);
    CHECK((reply.results[1] == step.arguments[1]) == (reply.results[2] == CLOISTER_OK));
    CHECK(step.what != CLOISTER_CALL_BALLOON_FILL || holds_value(memory, program, step.arguments[0], reply));
  }
}

}  // namespace
}  // namespace cloister::machine

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  using namespace cloister;
  using namespace cloister::machine;
  const auto memory = memory::GuestMemory::create(kBase, {kPages * kPageSize}).take();
  Hypercall hypercall(*memory, ~u32{0});
  AnyMemory program;
  for (Step step{}; size >= sizeof(step); data += sizeof(step), size -= sizeof(step)) {
    std::memcpy(&step, data, sizeof(step));
    take(hypercall, *memory, program, step);
  }
  memory->check_invariants();
  return 0;
}
