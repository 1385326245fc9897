// SPDX-License-Identifier: Apache-2.0
// Files that claim to be kernels and initrds.
#include "base/check.h"
#include "machine/initrd.h"
#include "machine/kernel_image.h"
#include "machine/loader.h"

namespace cloister::machine {
namespace {

void try_file(std::span<const std::byte> content) {
  BootFile file({content.begin(), content.end()});
  const auto initrd = check_initrd(file, "initrd");
  auto kernel = parse_kernel({{content.begin(), content.end()}}, "kernel");
  if (!kernel.ok()) return;
  CHECK(kernel->image_size >= kernel->content.size());
  BootContent boot{kernel.take(), {}};
  if (initrd.ok()) boot.initrd = std::move(file);
  (void)place(boot, Bytes{256 * kMiB}).ok();
}

}  // namespace
}  // namespace cloister::machine

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  cloister::machine::try_file(std::as_bytes(std::span(data, size)));
  return 0;
}
