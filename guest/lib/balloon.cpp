// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <time.h>

#include <algorithm>
#include <cstdlib>
#include <new>

#include "lib/call.h"
#include "lib/reservation.h"

namespace cloister::guest {
namespace {

// Pages that a device happens to use are asked for again; after that the caller hears of it.
constexpr int kBusyTries = 3;

void pause() {
  const timespec moment = {0, 1'000'000};
  nanosleep(&moment, nullptr);
}

int give_to_host(void* first, std::uint64_t pages, std::uint64_t* taken) {
  *taken = 0;
  int busy = 0;
  while (*taken < pages) {
    const std::uint64_t now = std::min<std::uint64_t>(pages - *taken, CLOISTER_GIVE_MOST);
    const auto address = reinterpret_cast<std::uint64_t>(first) + *taken * Reservation::kPage;
    const Answer answer = call(CLOISTER_CALL_BALLOON_GIVE, address, now);
    if (answer.status != CLOISTER_OK) return static_cast<int>(answer.status);
    const std::uint64_t prefix = std::min(answer.values[1], now);
    *taken += prefix;
    if (prefix == now) continue;
    if (answer.values[2] != CLOISTER_BUSY || ++busy > kBusyTries) return static_cast<int>(answer.values[2]);
    pause();
  }
  return CLOISTER_OK;
}

}  // namespace
}  // namespace cloister::guest

struct cloister_balloon {
  cloister::guest::Reservation memory;
};

extern "C" {

int cloister_balloon_open(uint64_t most, cloister_balloon** out) {
  using namespace cloister::guest;
  *out = nullptr;
  const Answer answer = call(CLOISTER_CALL_BALLOON_MARK);
  if (answer.status != CLOISTER_OK) return static_cast<int>(answer.status);
  void* memory = std::malloc(sizeof(cloister_balloon));
  if (memory == nullptr) return CLOISTER_SYSTEM;
  auto* balloon = new (memory) cloister_balloon;
  const Mark mark = {{answer.values[0], answer.values[1], answer.values[2], answer.values[3]}};
  const int status = balloon->memory.open(most, mark, give_to_host);
  if (status == CLOISTER_OK) {
    *out = balloon;
  } else {
    cloister_balloon_close(balloon);
  }
  return status;
}

uint64_t cloister_balloon_size(const cloister_balloon* balloon) { return balloon->memory.size(); }
uint64_t cloister_balloon_most(const cloister_balloon* balloon) { return balloon->memory.most(); }

int cloister_balloon_grow(cloister_balloon* balloon, uint64_t bytes, uint64_t* grown) {
  return balloon->memory.grow(bytes, grown);
}

uint64_t cloister_balloon_shrink(cloister_balloon* balloon, uint64_t bytes) {
  return balloon->memory.shrink(bytes);
}

void cloister_balloon_close(cloister_balloon* balloon) {
  if (balloon == nullptr) return;
  balloon->~cloister_balloon();
  std::free(balloon);
}
}
