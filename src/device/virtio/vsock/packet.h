// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>

#include "base/units.h"

// The packets of virtio-vsock (virtio 1.2, 5.10.6).
namespace cloister::device::virtio::vsock {

inline constexpr u64 kHostCid = 2;
inline constexpr u16 kStreamType = 1;

enum class Operation : u16 {
  kRequest = 1,
  kResponse = 2,
  kReset = 3,
  kShutdown = 4,
  kData = 5,
  kCreditUpdate = 6,
  kCreditRequest = 7,
};

// What the sender of a kShutdown will do no more.
inline constexpr u32 kNoReceive = 1;
inline constexpr u32 kNoSend = 2;

struct [[gnu::packed]] Header {
  u64 source_cid = 0;
  u64 destination_cid = 0;
  u32 source_port = 0;
  u32 destination_port = 0;
  u32 length = 0;  // of the payload
  u16 type = kStreamType;
  u16 operation = 0;
  u32 flags = 0;
  u32 buffer_size = 0;  // the sender's receive buffer
  u32 forwarded = 0;    // bytes that the sender has received and passed on, modulo 2^32
};
static_assert(sizeof(Header) == 44);

// A connection's name: the guest speaks to one host, so two ports are enough.
struct Ports {
  u32 guest = 0;
  u32 host = 0;

  auto operator<=>(const Ports&) const = default;
};

}  // namespace cloister::device::virtio::vsock
