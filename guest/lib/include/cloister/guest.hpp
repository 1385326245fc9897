// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cloister/guest.h>

#include <cstdint>
#include <memory>
#include <string>

// libcloister-guest for C++17 and later: the C interface with handles that close themselves. Statuses stay
// statuses, nothing throws. An object is made by open(), which leaves it empty when it fails; an empty one
// may only be asked whether it is.
namespace cloister::guest {

struct Discovery {
  int status = CLOISTER_NOT_HERE;
  std::uint32_t version = 0;
  std::uint64_t features = 0;
  explicit operator bool() const { return status == CLOISTER_OK; }
};

inline Discovery discover() {
  Discovery found;
  found.status = cloister_discover(&found.version, &found.features);
  return found;
}

inline int read_condition(cloister_condition& out) { return cloister_condition_read(&out); }

template <class Handle, void (*close)(Handle*)>
class Owner {
 public:
  explicit operator bool() const { return handle_ != nullptr; }
  Handle* get() const { return handle_.get(); }

 protected:
  struct Closer {
    void operator()(Handle* handle) const { close(handle); }
  };
  int keep(int status, Handle* handle) {
    handle_.reset(status == CLOISTER_OK ? handle : nullptr);
    return status;
  }
  std::unique_ptr<Handle, Closer> handle_;
};

class Watch : public Owner<cloister_watch, cloister_watch_close> {
 public:
  int open() {
    cloister_watch* handle = nullptr;
    const int status = cloister_watch_open(&handle);
    return keep(status, handle);
  }
  int read(cloister_condition& out) const { return cloister_watch_read(get(), &out); }
};

class Waiter : public Owner<cloister_waiter, cloister_waiter_close> {
 public:
  int open() {
    cloister_waiter* handle = nullptr;
    const int status = cloister_waiter_open(&handle);
    return keep(status, handle);
  }
  int fd() const { return cloister_waiter_fd(get()); }
  int take(cloister_condition& out) { return cloister_waiter_take(get(), &out); }
};

class Balloon : public Owner<cloister_balloon, cloister_balloon_close> {
 public:
  int open(std::uint64_t most) {
    cloister_balloon* handle = nullptr;
    const int status = cloister_balloon_open(most, &handle);
    return keep(status, handle);
  }
  std::uint64_t size() const { return cloister_balloon_size(get()); }
  std::uint64_t most() const { return cloister_balloon_most(get()); }
  int grow(std::uint64_t bytes, std::uint64_t* grown = nullptr) {
    return cloister_balloon_grow(get(), bytes, grown);
  }
  std::uint64_t shrink(std::uint64_t bytes) { return cloister_balloon_shrink(get(), bytes); }
};

class Orders : public Owner<cloister_orders, cloister_orders_close> {
 public:
  int open(const std::string& name, std::uint64_t most) {
    cloister_orders* handle = nullptr;
    const int status = cloister_orders_open(name.c_str(), most, &handle);
    return keep(status, handle);
  }
  int fd() const { return cloister_orders_fd(get()); }
  bool connected() const { return cloister_orders_connected(get()) == 1; }
  int next(cloister_balloon_order& out) { return cloister_orders_next(get(), &out); }
  int report(std::uint64_t held, std::uint32_t reason) { return cloister_orders_report(get(), held, reason); }
};

}  // namespace cloister::guest
