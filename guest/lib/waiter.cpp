// SPDX-License-Identifier: Apache-2.0
#include <errno.h>

#include <cstdlib>
#include <new>

#include "lib/call.h"
#include "lib/stream.h"

struct cloister_waiter {
  cloister::guest::Stream stream;
};

extern "C" {

int cloister_waiter_open(cloister_waiter** out) {
  using namespace cloister::guest;
  *out = nullptr;
  const Answer answer = call(CLOISTER_CALL_WAIT);
  if (answer.status != CLOISTER_OK) return static_cast<int>(answer.status);
  void* memory = std::malloc(sizeof(cloister_waiter));
  if (memory == nullptr) return CLOISTER_SYSTEM;
  auto* waiter = new (memory) cloister_waiter;
  const Destination to = vsock_destination(static_cast<std::uint32_t>(answer.values[0]),
                                           static_cast<std::uint32_t>(answer.values[1]));
  const int status = waiter->stream.open(to, {});
  if (status == CLOISTER_OK) {
    *out = waiter;
  } else {
    const int why = errno;
    cloister_waiter_close(waiter);
    errno = why;
  }
  return status;
}

int cloister_waiter_fd(const cloister_waiter* waiter) { return waiter->stream.fd(); }

int cloister_waiter_take(cloister_waiter* waiter, cloister_condition* out) {
  if (waiter->stream.next(CLOISTER_RECORD_CONDITION, out, sizeof *out)) return CLOISTER_OK;
  return CLOISTER_NOTHING;
}

void cloister_waiter_close(cloister_waiter* waiter) {
  if (waiter == nullptr) return;
  waiter->~cloister_waiter();
  std::free(waiter);
}
}
