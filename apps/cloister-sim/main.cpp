// SPDX-License-Identifier: Apache-2.0
// The host's policy code under a virtual clock, over model guests.
#include <CLI/CLI.hpp>

#include "sim/memory_command.h"

namespace {

using namespace cloister;

CLI::App* add_memory(CLI::App& app, sim::MemoryRequest& request) {
  CLI::App* memory = app.add_subcommand("memory", "Simulates how hosts share memory.");
  memory->add_option("scenario", request.scenario, "a TOML file; its keys stand below")->required();
  memory->add_option("--seed", request.seed, "of all that is random, instead of the scenario's");
  memory->add_option("--hosts", request.hosts, "how many, instead of the scenario's")
      ->check(CLI::Range(u32{1}, u32{10'000}));
  memory->add_option("--out", request.out, "folder for summary.json, series.csv and host-N.svg");
  memory->add_option("--plots", request.plots, "so many hosts are plotted and written as series; default 4");
  memory->footer(
      sim::scenario_keys() +
      "\nExit status: 0 every check held, 1 something promised did not hold, 2 bad input, 3 nothing "
      "could be written.");
  return memory;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Simulates a host's policy under a virtual clock: cloister-sim(1).", "cloister-sim");
  app.require_subcommand(1);
  sim::MemoryRequest request;
  add_memory(app, request);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? sim::kHeld : sim::kRefused;
  }
  return sim::run_memory(request);
}
