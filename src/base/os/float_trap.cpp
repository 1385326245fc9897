// SPDX-License-Identifier: Apache-2.0
#include "base/os/float_trap.h"

#include <signal.h>
#include <ucontext.h>

#include <atomic>

#include "base/check.h"

namespace cloister::os {
namespace {

std::atomic<FloatTrap> float_trap = nullptr;

// SIGFPE is sent for integers that cannot be divided too.
void take_trap(int signal, siginfo_t* info, void* context) {
  const bool is_integer = info->si_code == FPE_INTDIV || info->si_code == FPE_INTOVF;
  const auto* user = static_cast<ucontext_t*>(context);
  u32 mxcsr = user->uc_mcontext.fpregs->mxcsr;
  const bool taken = !is_integer && float_trap.load(std::memory_order_relaxed)(mxcsr);
  if (taken) {
    user->uc_mcontext.fpregs->mxcsr = mxcsr;
  } else {
    ::signal(signal, SIG_DFL);
  }
}

}  // namespace

void on_float_trap(FloatTrap handler) {
  float_trap = handler;
  struct sigaction action {};
  action.sa_sigaction = take_trap;
  action.sa_flags = SA_SIGINFO;
  CHECK(::sigaction(SIGFPE, &action, nullptr) == 0);
}

}  // namespace cloister::os
