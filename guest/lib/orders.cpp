// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>

#include "lib/call.h"
#include "lib/figures.h"
#include "lib/order_book.h"

namespace cloister::guest {
namespace {

constexpr std::uint64_t kLeastBetweenReports = 50;  // milliseconds: 20 a second

Stream::Greeting hello_of(const char* name, std::uint64_t most) {
  cloister_balloon_hello hello = {};
  hello.version = CLOISTER_ABI_VERSION;
  hello.pid = static_cast<std::uint32_t>(getpid());
  hello.most = most;
  std::strncpy(hello.name, name, sizeof hello.name - 1);
  Stream::Greeting greeting;
  static_assert(sizeof hello <= sizeof greeting.bytes);
  greeting.kind = CLOISTER_RECORD_BALLOON_HELLO;
  greeting.size = sizeof hello;
  std::memcpy(greeting.bytes, &hello, sizeof hello);
  return greeting;
}

}  // namespace

void add_figures(cloister_balloon_state* state) {
  char text[4096];
  read_text("/proc/meminfo", text, sizeof text);
  state->available = figure_in(text, "MemAvailable:") * 1024;
  state->swap_total = figure_in(text, "SwapTotal:") * 1024;
  state->swap_free = figure_in(text, "SwapFree:") * 1024;
  read_text("/proc/pressure/memory", text, sizeof text);
  state->pressure = pressure_in(text);
}

int OrderBook::open(const Destination& to, const char* name, std::uint64_t most) {
  return stream_.open(to, hello_of(name, most));
}

bool OrderBook::next(cloister_balloon_order* out) {
  const bool there = stream_.next(CLOISTER_RECORD_BALLOON_ORDER, out, sizeof *out);
  if (there) {
    connection_ = stream_.connections();
    serial_ = out->serial;
  }
  send_when_due();
  return there;
}

void OrderBook::report(std::uint64_t held, std::uint32_t reason) {
  state_.serial = serial_;
  state_.held = held;
  state_.reason = reason;
  unsent_ = true;
  send_when_due();
}

// Nothing is said on a connection before its first order: there is nothing to answer.
void OrderBook::send_when_due() {
  if (!unsent_ || !stream_.is_connected() || connection_ != stream_.connections()) return;
  const std::uint64_t now = now_in_milliseconds();
  if (now < sent_ + kLeastBetweenReports) return stream_.remind(sent_ + kLeastBetweenReports - now);
  add_figures(&state_);
  if (!stream_.say(CLOISTER_RECORD_BALLOON_STATE, &state_, sizeof state_))
    return stream_.remind(kLeastBetweenReports);
  sent_ = now;
  unsent_ = false;
}

}  // namespace cloister::guest

struct cloister_orders {
  cloister::guest::OrderBook book;
};

extern "C" {

int cloister_orders_open(const char* name, uint64_t most, cloister_orders** out) {
  using namespace cloister::guest;
  *out = nullptr;
  uint64_t features = 0;
  const int found = cloister_discover(nullptr, &features);
  if (found != CLOISTER_OK) return found;
  if ((features & CLOISTER_FEATURE_BALLOON) == 0) return CLOISTER_OFF;
  void* memory = std::malloc(sizeof(cloister_orders));
  if (memory == nullptr) return CLOISTER_SYSTEM;
  auto* orders = new (memory) cloister_orders;
  constexpr std::uint32_t kHost = 2;
  const int status = orders->book.open(vsock_destination(kHost, CLOISTER_PORT_BALLOON), name, most);
  if (status == CLOISTER_OK) {
    *out = orders;
  } else {
    const int why = errno;
    cloister_orders_close(orders);
    errno = why;
  }
  return status;
}

int cloister_orders_fd(const cloister_orders* orders) { return orders->book.fd(); }

int cloister_orders_next(cloister_orders* orders, cloister_balloon_order* out) {
  if (orders->book.next(out)) return CLOISTER_OK;
  return CLOISTER_NOTHING;
}

int cloister_orders_report(cloister_orders* orders, uint64_t held, uint32_t reason) {
  orders->book.report(held, reason);
  return CLOISTER_OK;
}

int cloister_orders_connected(const cloister_orders* orders) { return orders->book.is_connected() ? 1 : 0; }

void cloister_orders_close(cloister_orders* orders) {
  if (orders == nullptr) return;
  orders->~cloister_orders();
  std::free(orders);
}
}
