// SPDX-License-Identifier: Apache-2.0
#include "machine/peripherals.h"

#include <fmt/format.h>

#include "device/virtio/block/block.h"
#include "device/virtio/block/image.h"
#include "device/virtio/console/console.h"
#include "device/virtio/entropy/entropy.h"
#include "device/virtio/net/net.h"
#include "device/virtio/net/slirp_backend.h"
#include "device/virtio/ninep/ninep.h"
#include "device/virtio/vsock/vsock.h"
#include "machine/address_map.h"

namespace cloister::machine {
namespace {

namespace virtio = device::virtio;

Result<std::unique_ptr<virtio::Block>> make_disk(const MachineConfig& config, std::size_t index) {
  const DiskConfig& disk = config.disks[index];
  const auto execution =
      config.deterministic ? virtio::BlockExecution::kInline : virtio::BlockExecution::kThreads;
  auto image = TRY(virtio::open_disk({disk.path, disk.overlay, disk.read_only}));
  return virtio::Block::create(std::move(image), fmt::format("disk{}", index), execution);
}

Result<std::unique_ptr<virtio::Device>> make_share(const ShareConfig& share) {
  using virtio::ninep::Writing;
  const Writing writing = share.read_only ? Writing::kRefused : Writing::kAllowed;
  return std::unique_ptr<virtio::Device>(TRY(virtio::ninep::NineP::create({share.tag, share.path, writing})));
}

std::unique_ptr<virtio::Device> make_entropy(const MachineConfig& config) {
  return std::make_unique<virtio::Entropy>(config.deterministic
                                               ? virtio::Entropy::seeded_source(*config.deterministic)
                                               : virtio::Entropy::host_source());
}

Result<std::unique_ptr<virtio::net::NetBackend>> make_network(const NetConfig& config, os::EventLoop& loop) {
  virtio::net::SlirpOptions options;
  for (const Forward& forward : config.forwards)
    options.forwards.push_back({forward.udp, forward.host_address, forward.host_port, forward.guest_port});
  return std::unique_ptr<virtio::net::NetBackend>(TRY(virtio::net::SlirpBackend::create(loop, options)));
}

}  // namespace

Peripherals::Peripherals(u32 harts, const Surroundings& around)
    : memory_(around.memory),
      plic_(harts, around.interrupt),
      console_(around.console),
      rtc_(around.clock, device::InterruptLine(plic_, kRtcSource)) {}

Result<std::unique_ptr<Peripherals>> Peripherals::create(const MachineConfig& config,
                                                         const Surroundings& around) {
  auto peripherals = std::unique_ptr<Peripherals>(new Peripherals(config.cpus, around));
  TRY(peripherals->attach_board(config));
  TRY(peripherals->attach_virtio(config, around));
  return peripherals;
}

Result<void> Peripherals::attach_board(const MachineConfig& config) {
  TRY(bus_.attach(kPlicBase, device::Plic::kSize, plic_));
  TRY(bus_.attach(kRtcBase, device::Rtc::kSize, rtc_));
  if (config.console != ConsoleKind::kUart) return {};
  uart_ = std::make_unique<device::Uart>(console_, device::InterruptLine(plic_, kUartSource));
  return bus_.attach(kUartBase, device::Uart::kSize, *uart_);
}

// Disks first, so that a guest's names for them do not depend on what else there is.
Result<void> Peripherals::attach_virtio(const MachineConfig& config, const Surroundings& around) {
  for (std::size_t index = 0; index < config.disks.size(); ++index) {
    auto disk = TRY(make_disk(config, index));
    disk->expect_value(memory_.balloon_value());
    disks_.push_back(disk.get());
    TRY(add(std::move(disk)));
  }
  if (config.net) {
    network_ = TRY(make_network(*config.net, around.loop));
    TRY(add(std::make_unique<virtio::net::Net>(around.loop, *network_, virtio::net::NetOptions{})));
  }
  if (config.console == ConsoleKind::kVirtio) TRY(add(std::make_unique<virtio::Console>(console_)));
  TRY(add(make_entropy(config)));
  if (config.balloon) {
    auto balloon = std::make_unique<virtio::Balloon>(memory_);
    balloon_ = balloon.get();
    TRY(add(std::move(balloon)));
  }
  if (!config.vsock.empty() || config.vsock_listener) {
    virtio::vsock::VsockOptions options;
    options.path = config.vsock;
    options.listener = config.vsock_listener;
    auto vsock = TRY(virtio::vsock::Vsock::create(around.loop, options));
    vsock_ = vsock.get();
    TRY(add(std::move(vsock)));
  }
  for (const ShareConfig& share : config.shares) TRY(add(TRY(make_share(share))));
  return {};
}

Pages Peripherals::balloon_pages_written() const {
  Pages sum;
  for (const virtio::Block* disk : disks_) sum += disk->values_written();
  return sum;
}

Pages Peripherals::balloon_pages_elided() const {
  Pages sum;
  for (const virtio::Block* disk : disks_) sum += disk->values_elided();
  return sum;
}

Result<void> Peripherals::add(std::unique_ptr<device::virtio::Device> device) {
  const u32 slot = virtio_devices();
  if (slot == kVirtioSlots)
    return error(
        "{} is one virtio device too many: the machine has {} slots, so configure fewer disks or shares",
        device->name(), kVirtioSlots);
  devices_.push_back(std::move(device));
  transports_.push_back(std::make_unique<virtio::MmioTransport>(
      memory_, *devices_.back(), device::InterruptLine(plic_, kVirtioSource + slot)));
  return bus_.attach(kVirtioBase + slot * kVirtioStride, Bytes{kVirtioStride}, *transports_.back());
}

}  // namespace cloister::machine
