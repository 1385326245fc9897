// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "base/os/event_loop.h"
#include "base/result.h"
#include "device/bus.h"
#include "device/console_backend.h"
#include "device/plic.h"
#include "device/rtc.h"
#include "device/uart.h"
#include "device/virtio/balloon/balloon.h"
#include "device/virtio/device.h"
#include "device/virtio/mmio.h"
#include "device/virtio/net/backend.h"
#include "machine/config.h"
#include "memory/guest_memory.h"

namespace cloister::device::virtio {
class Block;
namespace vsock {
class Vsock;
}
}  // namespace cloister::device::virtio

namespace cloister::machine {

// What the devices need from around them. All outlive the devices.
struct Surroundings {
  memory::GuestMemory& memory;
  os::EventLoop& loop;
  device::ConsoleSink& console;
  device::WallClock& clock;
  device::Plic::Output interrupt;  // to the harts
};

// All devices of a machine, on their bus.
class Peripherals {
 public:
  // Opens what the configuration names. Errors name the thing and the remedy.
  static Result<std::unique_ptr<Peripherals>> create(const MachineConfig& config, const Surroundings& around);

  device::Bus& bus() { return bus_; }
  device::QueuedConsole& console() { return console_; }
  device::virtio::Balloon* balloon() { return balloon_; }   // null: not configured
  device::virtio::vsock::Vsock* vsock() { return vsock_; }  // likewise
  // Pages of the balloon value that the guest wrote to its disks, ever.
  Pages balloon_pages_written() const;
  Pages balloon_pages_elided() const;  // of these, that take no space there
  u32 virtio_devices() const { return static_cast<u32>(transports_.size()); }

  // What the guest printed and nobody has shown yet. Any thread; nearly free when there is nothing.
  void flush_console() {
    if (uart_ != nullptr) uart_->flush();
  }
  // Any thread: the wall clock reached the time that it was asked for.
  void check_alarm() { rtc_.check_alarm(); }

 private:
  Peripherals(u32 harts, const Surroundings& around);
  Result<void> attach_board(const MachineConfig& config);
  Result<void> attach_virtio(const MachineConfig& config, const Surroundings& around);
  Result<void> add(std::unique_ptr<device::virtio::Device> device);

  memory::GuestMemory& memory_;
  device::Plic plic_;
  device::QueuedConsole console_;
  std::unique_ptr<device::Uart> uart_;  // none when the console is virtio's
  device::Rtc rtc_;
  std::unique_ptr<device::virtio::net::NetBackend> network_;
  std::vector<std::unique_ptr<device::virtio::Device>> devices_;
  device::virtio::Balloon* balloon_ = nullptr;       // one of devices_
  device::virtio::vsock::Vsock* vsock_ = nullptr;    // likewise
  std::vector<const device::virtio::Block*> disks_;  // likewise
  std::vector<std::unique_ptr<device::virtio::MmioTransport>> transports_;
  device::Bus bus_;
};

}  // namespace cloister::machine
