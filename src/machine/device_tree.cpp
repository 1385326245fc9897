// SPDX-License-Identifier: Apache-2.0
#include "machine/device_tree.h"

#include <fmt/format.h>

#include <algorithm>

#include "device/plic.h"
#include "device/rtc.h"
#include "device/uart.h"
#include "hart/environment.h"
#include "hart/state.h"
#include "machine/address_map.h"
#include "machine/flat_tree.h"

namespace cloister::machine {
namespace {

constexpr u32 kPlicPhandle = 1;
constexpr u32 kFirstCpuPhandle = 0x100;         // of the cpu node, for cpu-map
constexpr u32 kFirstInterruptPhandle = 0x1000;  // of the hart's own interrupt controller
constexpr u32 kSupervisorExternal = 9;

// docs/architecture.md, "The guest machine". The base is I; single letters first, as the riscv,isa string
// wants them.
constexpr std::string_view kExtensions[] = {
    "i",      "m",      "a",     "f",        "d",           "c",      "zicbom", "zicboz",
    "zicntr", "zicond", "zicsr", "zifencei", "zihintpause", "zawrs",  "zba",    "zbb",
    "zbs",    "sstc",   "svadu", "svinval",  "svnapot",     "svpbmt", "svvptc",
};

std::string isa_string() {
  std::string isa = "rv64";
  for (const std::string_view extension : kExtensions) {
    if (extension.size() > 1) isa += '_';
    isa += extension;
  }
  return isa;
}

void add_cpu(FlatTree& tree, u32 hart) {
  tree.begin(fmt::format("cpu@{:x}", hart));
  tree.text("device_type", "cpu");
  tree.cells("reg", {hart});
  tree.text("status", "okay");
  tree.text("compatible", "riscv");
  tree.text("riscv,isa", isa_string());
  tree.text("riscv,isa-base", "rv64i");
  tree.texts("riscv,isa-extensions", kExtensions);
  tree.text("mmu-type", "riscv,sv57");
  tree.cells("riscv,cbom-block-size", {u32{hart::kCacheBlock}});
  tree.cells("riscv,cboz-block-size", {u32{hart::kZeroBlock}});
  tree.cells("phandle", {kFirstCpuPhandle + hart});
  tree.begin("interrupt-controller");
  tree.cells("#interrupt-cells", {1});
  tree.flag("interrupt-controller");
  tree.text("compatible", "riscv,cpu-intc");
  tree.cells("phandle", {kFirstInterruptPhandle + hart});
  tree.end();
  tree.end();
}

// One package; each hart is a core of its own.
void add_cpu_map(FlatTree& tree, u32 harts) {
  tree.begin("cpu-map");
  tree.begin("cluster0");
  for (u32 hart = 0; hart < harts; ++hart) {
    tree.begin(fmt::format("core{}", hart));
    tree.cells("cpu", {kFirstCpuPhandle + hart});
    tree.end();
  }
  tree.end();
  tree.end();
}

void add_cpus(FlatTree& tree, u32 harts) {
  tree.begin("cpus");
  tree.cells("#address-cells", {1});
  tree.cells("#size-cells", {0});
  tree.cells("timebase-frequency", {static_cast<u32>(hart::kTimebaseHz)});
  for (u32 hart = 0; hart < harts; ++hart) add_cpu(tree, hart);
  add_cpu_map(tree, harts);
  tree.end();
}

void add_plic(FlatTree& tree, u32 harts) {
  tree.begin(fmt::format("plic@{:x}", kPlicBase.raw));
  tree.texts("compatible", std::array<std::string_view, 2>{"sifive,plic-1.0.0", "riscv,plic0"});
  tree.wide("reg", {kPlicBase.raw, device::Plic::kSize.raw});
  tree.cells("#interrupt-cells", {1});
  tree.cells("#address-cells", {0});
  tree.flag("interrupt-controller");
  tree.cells("riscv,ndev", {device::Plic::kSources - 1});
  std::vector<u32> contexts;
  for (u32 hart = 0; hart < harts; ++hart) {
    contexts.push_back(kFirstInterruptPhandle + hart);
    contexts.push_back(kSupervisorExternal);
  }
  tree.cells("interrupts-extended", contexts);
  tree.cells("phandle", {kPlicPhandle});
  tree.end();
}

void add_interrupt(FlatTree& tree, u32 source) {
  tree.cells("interrupt-parent", {kPlicPhandle});
  tree.cells("interrupts", {source});
}

std::string uart_name() { return fmt::format("serial@{:x}", kUartBase.raw); }

void add_uart(FlatTree& tree) {
  tree.begin(uart_name());
  tree.text("compatible", "ns16550a");
  tree.wide("reg", {kUartBase.raw, device::Uart::kSize.raw});
  tree.cells("clock-frequency", {device::Uart::kClockHz});
  add_interrupt(tree, kUartSource);
  tree.end();
}

void add_rtc(FlatTree& tree) {
  tree.begin(fmt::format("rtc@{:x}", kRtcBase.raw));
  tree.text("compatible", "google,goldfish-rtc");
  tree.wide("reg", {kRtcBase.raw, device::Rtc::kSize.raw});
  add_interrupt(tree, kRtcSource);
  tree.end();
}

void add_virtio(FlatTree& tree, u32 slot) {
  const u64 base = kVirtioBase.raw + slot * kVirtioStride;
  tree.begin(fmt::format("virtio@{:x}", base));
  tree.text("compatible", "virtio,mmio");
  tree.wide("reg", {base, kVirtioStride});
  add_interrupt(tree, kVirtioSource + slot);
  tree.end();
}

void add_devices(FlatTree& tree, const BoardPlan& plan) {
  tree.begin("soc");
  tree.text("compatible", "simple-bus");
  tree.cells("#address-cells", {2});
  tree.cells("#size-cells", {2});
  tree.flag("ranges");
  tree.flag("dma-coherent");
  add_plic(tree, plan.harts);
  if (plan.uart) add_uart(tree);
  add_rtc(tree);
  for (u32 slot = 0; slot < plan.virtio_devices; ++slot) add_virtio(tree, slot);
  tree.end();
}

void add_memory(FlatTree& tree, Bytes size) {
  tree.begin(fmt::format("memory@{:x}", kMemoryBase.raw));
  tree.text("device_type", "memory");
  tree.wide("reg", {kMemoryBase.raw, size.raw});
  tree.end();
}

void add_chosen(FlatTree& tree, const BoardPlan& plan) {
  const std::span<const std::byte> seed(plan.seed);
  tree.begin("chosen");
  if (!plan.bootargs.empty()) tree.text("bootargs", plan.bootargs);
  if (plan.uart) tree.text("stdout-path", "/soc/" + uart_name());
  if (plan.initrd_size.raw != 0) {
    tree.wide("linux,initrd-start", {plan.initrd.raw});
    tree.wide("linux,initrd-end", {plan.initrd.raw + plan.initrd_size.raw});
  }
  tree.bytes("kaslr-seed", seed.first(8));
  tree.bytes("rng-seed", seed.subspan(8));
  tree.end();
}

Result<void> check_bootargs(const std::string& bootargs) {
  if (bootargs.size() > kMaxBootargs)
    return error("the kernel's command line has {} bytes: Linux keeps {}, so shorten it", bootargs.size(),
                 kMaxBootargs);
  const auto control = std::find_if(bootargs.begin(), bootargs.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
  if (control != bootargs.end())
    return error("the kernel's command line has the control character {:#04x} at byte {}: remove it",
                 static_cast<unsigned char>(*control), control - bootargs.begin());
  return {};
}

}  // namespace

Result<std::vector<std::byte>> make_device_tree(const BoardPlan& plan) {
  TRY(check_bootargs(plan.bootargs));
  FlatTree tree(kMaxDeviceTree);
  tree.begin("");
  tree.cells("#address-cells", {2});
  tree.cells("#size-cells", {2});
  tree.text("compatible", "cloister,cell");
  tree.text("model", "Cloister cell");
  add_chosen(tree, plan);
  add_cpus(tree, plan.harts);
  add_memory(tree, plan.memory);
  add_devices(tree, plan);
  tree.end();
  return tree.finish();
}

}  // namespace cloister::machine
