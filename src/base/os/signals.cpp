// SPDX-License-Identifier: Apache-2.0
#include "base/os/signals.h"

#include <pthread.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/os/os_error.h"

namespace cloister::os {

void ignore_broken_pipes() { ::signal(SIGPIPE, SIG_IGN); }

Result<ShutdownSignals> ShutdownSignals::create() { return create_of({SIGINT, SIGTERM, SIGHUP}); }

Result<ShutdownSignals> ShutdownSignals::create_with_others() {
  return create_of({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2});
}

Result<ShutdownSignals> ShutdownSignals::create_of(std::initializer_list<int> numbers) {
  sigset_t set;
  sigemptyset(&set);
  for (const int number : numbers) sigaddset(&set, number);
  CHECK(::pthread_sigmask(SIG_BLOCK, &set, nullptr) == 0);
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd.valid()) return os_error("cannot make a descriptor for signals");
  return ShutdownSignals(std::move(fd));
}

std::optional<int> ShutdownSignals::take() {
  signalfd_siginfo info{};
  if (::read(fd_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return std::nullopt;
  return static_cast<int>(info.ssi_signo);
}

}  // namespace cloister::os
