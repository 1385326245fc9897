// SPDX-License-Identifier: Apache-2.0
#include "cell/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cloister::cell {
namespace {

using machine::MachineConfig;
using testing::HasSubstr;

std::string refusal(std::string_view text) {
  MachineConfig config;
  const auto result = read_config(text, "vm.toml", config);
  return result.ok() ? "accepted" : result.failure().message;
}

TEST(Config, EveryKeyMeansWhatItsFlagMeans) {
  MachineConfig config;
  const auto result = read_config(R"(
      name = "build-7"
      cpus = 4
      memory = "1GiB"
      kernel = "Image"
      initrd = "initrd.gz"
      append = "console=ttyS0 quiet"
      disk = ["root.img,overlay=root.ovl", "data.img,readonly"]
      net = "user,forward=tcp:127.0.0.1:2222:22,forward=udp::5353:53"
      share = ["tag=src,path=/home/src,readonly"]
      vsock = "/run/vm/vsock"
      console = "virtio"
  )",
                                  "vm.toml", config);
  ASSERT_TRUE(result.ok()) << result.failure().message;
  EXPECT_EQ(config.name, "build-7");
  EXPECT_EQ(config.cpus, 4u);
  EXPECT_EQ(config.memory.raw, kGiB);
  EXPECT_EQ(config.kernel, "Image");
  EXPECT_EQ(config.initrd, "initrd.gz");
  EXPECT_EQ(config.append, "console=ttyS0 quiet");
  ASSERT_EQ(config.disks.size(), 2u);
  EXPECT_EQ(config.disks[0].path, "root.img");
  EXPECT_EQ(config.disks[0].overlay, "root.ovl");
  EXPECT_FALSE(config.disks[0].read_only);
  EXPECT_EQ(config.disks[1].path, "data.img");
  EXPECT_TRUE(config.disks[1].read_only);
  ASSERT_TRUE(config.net.has_value());
  ASSERT_EQ(config.net->forwards.size(), 2u);
  EXPECT_FALSE(config.net->forwards[0].udp);
  EXPECT_EQ(config.net->forwards[0].host_address, "127.0.0.1");
  EXPECT_EQ(config.net->forwards[0].host_port, 2222);
  EXPECT_EQ(config.net->forwards[0].guest_port, 22);
  EXPECT_TRUE(config.net->forwards[1].udp);
  EXPECT_EQ(config.net->forwards[1].host_address, "0.0.0.0");
  ASSERT_EQ(config.shares.size(), 1u);
  EXPECT_EQ(config.shares[0].tag, "src");
  EXPECT_EQ(config.shares[0].path, "/home/src");
  EXPECT_TRUE(config.shares[0].read_only);
  EXPECT_EQ(config.vsock, "/run/vm/vsock");
  EXPECT_EQ(config.console, machine::ConsoleKind::kVirtio);
}

TEST(Config, StressNamesWhatIsMadeHard) {
  MachineConfig config;
  ASSERT_TRUE(read_config("stress = \"tlb,slices\"\nperf-map = \"yes\"", "vm.toml", config).ok());
  EXPECT_TRUE(config.stress.tlb && config.stress.slices && config.perf_map);
  EXPECT_FALSE(config.stress.code || config.stress.shootdowns);
  EXPECT_THAT(refusal("stress = \"tlb,heat\""), HasSubstr("stress 'heat' is not known; choose of tlb, code"));
}

TEST(Config, AnErrorNamesThePlaceTheValueAndTheRemedy) {
  EXPECT_THAT(refusal("cpus = 0"), HasSubstr("vm.toml:1:8: cpus '0' is not a whole number from 1 to 64"));
  EXPECT_THAT(refusal("\ncpus = 65"), HasSubstr("vm.toml:2:8: cpus '65'"));
  EXPECT_THAT(refusal("cpu = 2"), HasSubstr("unknown key 'cpu'; known are name, cpus, memory"));
  EXPECT_THAT(refusal("memory = 4097"), HasSubstr("memory '4097' is not a multiple of the page"));
  EXPECT_THAT(refusal("memory = true"), HasSubstr("memory takes a string or a whole number"));
  EXPECT_THAT(refusal("kernel = [\"a\", \"b\"]"), HasSubstr("kernel takes one value, not a list"));
  EXPECT_THAT(refusal("kernel = \"a\"\nkernel = \"b\""), HasSubstr("vm.toml:2:"));
  EXPECT_THAT(refusal("kernel = "), HasSubstr("vm.toml:1:"));
}

TEST(Config, DisksSharesAndNetworksRefuseWhatTheyDoNotKnow) {
  EXPECT_THAT(refusal("disk = \"a.img,overlay\""),
              HasSubstr("'overlay' is not known; write FILE[,overlay=FILE]"));
  EXPECT_THAT(refusal("disk = \"overlay=b\""), HasSubstr("names no file"));
  EXPECT_THAT(refusal("disk = \"\""), HasSubstr("names no file"));
  EXPECT_THAT(refusal("disk = \"a.img,overlay=b,readonly\""), HasSubstr("choose one"));
  EXPECT_THAT(refusal("share = \"tag=x\""), HasSubstr("lacks its tag or its path"));
  EXPECT_THAT(refusal("share = [\"tag=x,path=/a\", \"tag=x,path=/b\"]"), HasSubstr("given twice"));
  EXPECT_THAT(refusal("net = \"bridge\""), HasSubstr("'bridge' is not known"));
  EXPECT_THAT(refusal("net = \"user,forward=tcp:2222:22\""),
              HasSubstr("forward 'tcp:2222:22' is not understood"));
  EXPECT_THAT(refusal("net = \"user,forward=tcp::70000:22\""), HasSubstr("'70000'"));
  EXPECT_THAT(refusal("console = \"vga\""), HasSubstr("choose uart or virtio"));
  EXPECT_THAT(refusal("on-reboot = \"sleep\""), HasSubstr("choose restart or stop"));
}

}  // namespace
}  // namespace cloister::cell
