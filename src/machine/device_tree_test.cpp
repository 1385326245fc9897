// SPDX-License-Identifier: Apache-2.0
#include "machine/device_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libfdt.h>

#include <string>

#include "machine/address_map.h"

namespace cloister::machine {
namespace {

using testing::HasSubstr;

BoardPlan plan(u32 harts = 2) {
  BoardPlan plan;
  plan.harts = harts;
  plan.memory = Bytes{64 * kMiB};
  plan.virtio_devices = 3;
  plan.bootargs = "console=ttyS0";
  return plan;
}

class Tree {
 public:
  explicit Tree(const BoardPlan& of) : blob_(make_device_tree(of).take()) {
    EXPECT_EQ(fdt_check_full(blob_.data(), blob_.size()), 0);
  }
  std::string text(const char* path, const char* property) const {
    int size = 0;
    const void* const value = fdt_getprop(blob_.data(), node(path), property, &size);
    return value == nullptr ? ""
                            : std::string(static_cast<const char*>(value), static_cast<std::size_t>(size));
  }
  u32 cell(const char* path, const char* property, std::size_t index) const {
    const std::string raw = text(path, property);
    return raw.size() < index * 4 + 4 ? 0
                                      : fdt32_ld(reinterpret_cast<const fdt32_t*>(raw.data() + index * 4));
  }
  int node(const char* path) const { return fdt_path_offset(blob_.data(), path); }

 private:
  std::vector<std::byte> blob_;
};

TEST(DeviceTree, NamesEachHartWithItsExtensions) {
  const Tree tree(plan());
  EXPECT_EQ(tree.text("/cpus/cpu@1", "mmu-type"), std::string("riscv,sv57") + '\0');
  EXPECT_THAT(tree.text("/cpus/cpu@1", "riscv,isa"), testing::StartsWith("rv64imafdc_zic"));
  EXPECT_THAT(tree.text("/cpus/cpu@0", "riscv,isa-extensions"),
              HasSubstr(std::string("\0svpbmt\0svvptc\0", 15)));
  EXPECT_EQ(tree.cell("/cpus", "timebase-frequency", 0), 10'000'000u);
  EXPECT_LT(tree.node("/cpus/cpu@2"), 0);
}

TEST(DeviceTree, ThePlicHasOneSupervisorContextForEachHart) {
  const Tree tree(plan());
  const std::string contexts = tree.text("/soc/plic@c000000", "interrupts-extended");
  ASSERT_EQ(contexts.size(), 16u);
  EXPECT_EQ(tree.cell("/soc/plic@c000000", "interrupts-extended", 3), 9u);
  EXPECT_EQ(tree.cell("/soc/plic@c000000", "interrupts-extended", 2),
            tree.cell("/cpus/cpu@1/interrupt-controller", "phandle", 0));
}

TEST(DeviceTree, OnlyVirtioSlotsInUseAreThere) {
  const Tree tree(plan());
  EXPECT_GE(tree.node("/soc/virtio@10012000"), 0);
  EXPECT_EQ(tree.cell("/soc/virtio@10012000", "interrupts", 0), kVirtioSource + 2);
  EXPECT_LT(tree.node("/soc/virtio@10013000"), 0);
}

TEST(DeviceTree, ChosenTellsOfTheInitrdOnlyWhenThereIsOne) {
  BoardPlan with = plan();
  EXPECT_EQ(Tree(with).text("/chosen", "linux,initrd-start"), "");
  with.initrd = GuestPhys{0x8200'0000};
  with.initrd_size = Bytes{100};
  const Tree tree(with);
  EXPECT_EQ(tree.cell("/chosen", "linux,initrd-start", 1), 0x8200'0000u);
  EXPECT_EQ(tree.cell("/chosen", "linux,initrd-end", 1), 0x8200'0064u);
}

TEST(DeviceTree, WithoutTheUartNothingNamesIt) {
  BoardPlan bare = plan();
  bare.uart = false;
  const Tree tree(bare);
  EXPECT_LT(tree.node("/soc/serial@10000000"), 0);
  EXPECT_EQ(tree.text("/chosen", "stdout-path"), "");
}

TEST(DeviceTree, TheLargestBoardFits) {
  BoardPlan large = plan(64);
  large.virtio_devices = kVirtioSlots;
  large.bootargs = std::string(kMaxBootargs, 'x');
  EXPECT_TRUE(make_device_tree(large));
}

TEST(DeviceTree, ACommandLineThatLinuxWouldCutIsRefusedWithTheLimit) {
  BoardPlan talkative = plan();
  talkative.bootargs = std::string(1024, 'x');
  const auto tree = make_device_tree(talkative);
  ASSERT_FALSE(tree);
  EXPECT_THAT(tree.failure().message, HasSubstr("1023"));
  EXPECT_THAT(tree.failure().message, HasSubstr("1024"));
}

TEST(DeviceTree, AControlCharacterOnTheCommandLineIsRefused) {
  BoardPlan broken = plan();
  broken.bootargs = "quiet\nsplash";
  const auto tree = make_device_tree(broken);
  ASSERT_FALSE(tree);
  EXPECT_THAT(tree.failure().message, HasSubstr("0x0a"));
}

}  // namespace
}  // namespace cloister::machine
