// SPDX-License-Identifier: Apache-2.0
#include "lib/call.h"

#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#include <atomic>

// The call, and whether it exists.
//
// Elsewhere the call's instruction is illegal, so the first call is made under a handler for SIGILL. A jump
// out of the handler would leave locks behind; instead the one instruction is known by its address, and the
// handler steps over it with an answer of its own. Another thread's SIGILL in the same moment goes where it
// would have gone. So does one that the program raises with kill(2): its address is not that of our
// instruction.
namespace cloister::guest {
namespace {

constexpr std::uint64_t kNotHere = CLOISTER_NOT_HERE;

#if defined(__riscv) && __riscv_xlen == 64

// in: function, a0, a1; out: a0 to a4.
extern "C" void cloister_guest_call(std::uint64_t* words);
extern "C" const char cloister_guest_call_instruction[];

asm(R"(
  .text
  .p2align 2
  .hidden cloister_guest_call
  .globl cloister_guest_call
  .type cloister_guest_call, @function
cloister_guest_call:
  mv t0, a0
  ld a7, 0(t0)
  ld a0, 8(t0)
  ld a1, 16(t0)
  .hidden cloister_guest_call_instruction
  .globl cloister_guest_call_instruction
cloister_guest_call_instruction:
  .4byte 0x0000000b
  sd a0, 0(t0)
  sd a1, 8(t0)
  sd a2, 16(t0)
  sd a3, 24(t0)
  sd a4, 32(t0)
  ret
  .size cloister_guest_call, . - cloister_guest_call
)");

Answer raw_call(std::uint64_t function, std::uint64_t first, std::uint64_t second) {
  std::uint64_t words[5] = {function, first, second, 0, 0};
  cloister_guest_call(words);
  return {words[0], {words[1], words[2], words[3], words[4]}};
}

struct sigaction previous;

void pass_on(int signal, siginfo_t* info, void* context) {
  if ((previous.sa_flags & SA_SIGINFO) != 0) return previous.sa_sigaction(signal, info, context);
  if (previous.sa_handler == SIG_IGN) return;
  if (previous.sa_handler != SIG_DFL) return previous.sa_handler(signal);
  sigaction(signal, &previous, nullptr);  // it comes again, and ends the program as it would have
}

void step_over(int signal, siginfo_t* info, void* context) {
  auto* registers = static_cast<ucontext_t*>(context)->uc_mcontext.__gregs;
  if (registers[REG_PC] != reinterpret_cast<std::uint64_t>(cloister_guest_call_instruction))
    return pass_on(signal, info, context);
  registers[REG_PC] += 4;
  registers[REG_A0] = kNotHere;
}

// A SIGILL that is blocked would end the program.
class Unblocked {
 public:
  Unblocked() {
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, SIGILL);
    pthread_sigmask(SIG_UNBLOCK, &one, &before_);
  }
  ~Unblocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  Unblocked(const Unblocked&) = delete;
  Unblocked& operator=(const Unblocked&) = delete;

 private:
  sigset_t before_;
};

bool try_call() {
  struct sigaction ours = {};
  ours.sa_sigaction = step_over;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  if (sigaction(SIGILL, &ours, &previous) != 0) return false;
  const Unblocked unblocked;
  const Answer answer = raw_call(CLOISTER_CALL_DISCOVER, 0, 0);
  sigaction(SIGILL, &previous, nullptr);
  return answer.status == CLOISTER_OK && answer.values[0] >= CLOISTER_ABI_VERSION;
}

#else

Answer raw_call(std::uint64_t, std::uint64_t, std::uint64_t) { return {kNotHere, {}}; }
bool try_call() { return false; }

#endif

enum class Place : int { kUnknown, kHere, kElsewhere };

std::atomic<Place> place{Place::kUnknown};
pthread_mutex_t trying = PTHREAD_MUTEX_INITIALIZER;

}  // namespace

bool is_here() {
  Place known = place.load(std::memory_order_acquire);
  if (known == Place::kUnknown) {
    pthread_mutex_lock(&trying);
    known = place.load(std::memory_order_relaxed);
    if (known == Place::kUnknown) {
      known = try_call() ? Place::kHere : Place::kElsewhere;
      place.store(known, std::memory_order_release);
    }
    pthread_mutex_unlock(&trying);
  }
  return known == Place::kHere;
}

Answer call(std::uint64_t function, std::uint64_t first, std::uint64_t second) {
  return is_here() ? raw_call(function, first, second) : Answer{kNotHere, {}};
}

}  // namespace cloister::guest
