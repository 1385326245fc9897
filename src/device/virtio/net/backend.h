// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>

namespace cloister::device::virtio::net {

// What is at the other end of a network card's cable. All calls, both ways, on the event loop's thread.
// A frame starts with the Ethernet header and ends before the checksum of the frame.
class NetBackend {
 public:
  // The card, as its backend sees it.
  class Card {
   public:
    virtual ~Card() = default;
    // A frame for the guest, with right checksums in it. False: the card has no room; the backend keeps the
    // frame, and offers it again after room().
    virtual bool receive(std::span<const std::byte> frame) = 0;
    // That was the last frame for now: time to tell the guest.
    virtual void receive_done() = 0;
  };

  virtual ~NetBackend() = default;
  // Once, before any other call. The card outlives the backend's use of it.
  virtual void connect(Card& card) = 0;
  // A frame from the guest. May call the card.
  virtual void send(std::span<const std::byte> frame) = 0;
  // That was the last frame for now.
  virtual void send_done() = 0;
  // The guest made buffers available after receive() had refused a frame.
  virtual void room() = 0;
};

}  // namespace cloister::device::virtio::net
