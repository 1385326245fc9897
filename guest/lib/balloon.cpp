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

// Pages that a device happens to use, or that the kernel took meanwhile, are asked for again; after that the
// caller hears of it.
constexpr int kTries = 3;

void pause() {
  const timespec moment = {0, 1'000'000};
  nanosleep(&moment, nullptr);
}

// Whether a page that was refused is worth another try.
bool try_again(std::uint64_t function, std::uint64_t status, char* page) {
  if (status == CLOISTER_BUSY) {
    pause();
    return true;
  }
  // What is to be filled may be swapped out again before that: a store brings it back.
  if (status != CLOISTER_NOT_YOURS || function != CLOISTER_CALL_BALLOON_FILL) return false;
  *reinterpret_cast<volatile std::uint64_t*>(page) = 0;
  return true;
}

int give_by(std::uint64_t function, void* first, std::uint64_t pages, std::uint64_t* taken) {
  *taken = 0;
  for (int tries = 0; *taken < pages;) {
    const std::uint64_t now = std::min<std::uint64_t>(pages - *taken, CLOISTER_GIVE_MOST);
    char* next = static_cast<char*>(first) + *taken * Reservation::kPage;
    const Answer answer = call(function, reinterpret_cast<std::uint64_t>(next), now);
    if (answer.status != CLOISTER_OK) return static_cast<int>(answer.status);
    const std::uint64_t prefix = std::min(answer.values[1], now);
    *taken += prefix;
    if (prefix == now) continue;
    if (prefix != 0) tries = 0;
    if (++tries > kTries || !try_again(function, answer.values[2], next + prefix * Reservation::kPage))
      return static_cast<int>(answer.values[2]);
  }
  return CLOISTER_OK;
}

int give_to_host(void* first, std::uint64_t pages, std::uint64_t* taken) {
  return give_by(CLOISTER_CALL_BALLOON_GIVE, first, pages, taken);
}

int fill_and_give(void* first, std::uint64_t pages, std::uint64_t* taken) {
  return give_by(CLOISTER_CALL_BALLOON_FILL, first, pages, taken);
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
  uint64_t features = 0;
  const bool fills =
      cloister_discover(nullptr, &features) == CLOISTER_OK && (features & CLOISTER_FEATURE_FILL) != 0;
  const int status =
      fills ? balloon->memory.open(most, fill_and_give) : balloon->memory.open(most, give_to_host, &mark);
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
