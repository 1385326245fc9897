// SPDX-License-Identifier: Apache-2.0
// cloister-probe blocks DEVICE SEED MIB | flush FILE | pages SEED MIB | vsock-echo PORT | vsock-ask PORT LINE
// |
//                balloon-refusals | balloon-shapes | balloon-hold MIB | touch MIB [MIB_A_SECOND] |
//                condition | condition-cost TIMES | condition-wait CHANGES | stillness SECONDS
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "probe.h"

int main(int argc, char** argv) {
  using namespace cloister::probe;
  const std::string_view verb = argc > 1 ? argv[1] : "";
  const auto value = [&](int i) { return std::strtoull(argv[i], nullptr, 0); };
  if (verb == "blocks" && argc == 5) return verify_blocks(argv[2], value(3), value(4));
  if (verb == "flush" && argc == 3) return keep_flushing(argv[2]);
  if (verb == "pages" && argc == 4) return work_on_pages(value(2), value(3));
  if (verb == "vsock-echo" && argc == 3) return vsock_echo(static_cast<unsigned>(value(2)));
  if (verb == "vsock-ask" && argc == 4) return vsock_ask(static_cast<unsigned>(value(2)), argv[3]);
  if (verb == "balloon-refusals" && argc == 2) return balloon_refusals();
  if (verb == "balloon-shapes" && argc == 2) return balloon_shapes();
  if (verb == "balloon-hold" && argc == 3) return balloon_hold(value(2), Hold::kWhole);
  if (verb == "balloon-scatter" && argc == 3) return balloon_hold(value(2), Hold::kScattered);
  if (verb == "balloon-unnamed" && argc == 3) return balloon_hold(value(2), Hold::kUnnamed);
  if (verb == "library" && argc == 2) return use_library();
  if (verb == "touch" && (argc == 3 || argc == 4)) return touch(value(2), argc == 4 ? value(3) : 0);
  if (verb == "condition" && argc == 2) return show_condition();
  if (verb == "condition-cost" && argc == 3) return condition_cost(value(2));
  if (verb == "condition-wait" && argc == 3) return condition_wait(value(2));
  if (verb == "condition-epoll" && argc == 3) return condition_epoll(value(2));
  if (verb == "listen" && argc == 3) return listen_to(argv[2]);
  if (verb == "stillness" && argc == 3) return watch_for_stillness(value(2));
  std::fprintf(stderr,
               "usage: cloister-probe blocks DEVICE SEED MIB | flush FILE | pages SEED MIB | vsock-echo PORT "
               "| vsock-ask PORT LINE |\n"
               "                      balloon-refusals | balloon-shapes | balloon-hold MIB | "
               "balloon-scatter MIB | balloon-unnamed MIB |\n"
               "                      touch MIB [MIB_A_SECOND] | library | condition | condition-cost TIMES "
               "| condition-wait CHANGES |\n"
               "                      condition-epoll RECORDS | listen PATH | stillness SECONDS\n");
  return 2;
}
