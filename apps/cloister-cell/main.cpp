// SPDX-License-Identifier: Apache-2.0
// One guest, one process. `cloister run` execs it; the daemon starts one for each machine.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "cell/cell.h"
#include "cell/command_line.h"
#include "cell/exit_status.h"

int main(int argc, char** argv) {
  using namespace cloister;
  CLI::App app("Runs one RISC-V machine in this process.", "cloister-cell");
  const cell::RunFlags flags(app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? cell::kPoweredOff : cell::kRefused;
  }
  const auto request = flags.request();
  if (!request.ok()) {
    std::fprintf(stderr, "cloister-cell: %s\n", request.failure().message.c_str());
    return cell::kRefused;
  }
  return cell::run_cell(*request);
}
