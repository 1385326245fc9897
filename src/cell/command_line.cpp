// SPDX-License-Identifier: Apache-2.0
#include "cell/command_line.h"

#include <CLI/CLI.hpp>

#include "cell/options.h"

namespace cloister::cell {

RunFlags::RunFlags(CLI::App& command) {
  command.add_option("config", config_file_, "a TOML file whose keys are the flags below")->type_name("FILE");
  command.add_flag("--batch", batch_, "for scripts: the console is standard input and output, no escape");
  command.add_option("--stats", stats_, "write the figures of the run to this file as JSON")
      ->type_name("FILE");
  command.add_option("--control", control_)->group("");
  command.add_option("--swap", swap_)->group("");
  command.add_option("--sandbox", sandbox_)->group("")->check(CLI::IsMember({"on", "off"}));
  values_.reserve(options().size());  // CLI11 keeps pointers to the vectors
  for (const Option& option : options()) {
    auto& [flag, texts] = values_.emplace_back();
    flag = command.add_option(std::string("--") + option.name, texts, option.help)->type_name(option.value);
    flag->expected(option.value_if_absent == nullptr ? 1 : 0, 1);
    flag->multi_option_policy(option.repeats ? CLI::MultiOptionPolicy::TakeAll
                                             : CLI::MultiOptionPolicy::Throw);
  }
}

Result<RunRequest> RunFlags::request() const {
  RunRequest request;
  request.batch = batch_;
  request.stats = stats_;
  request.control = control_;
  request.swap = Bytes{swap_};
  request.sandbox = sandbox_ == "on";
  if (!config_file_.empty()) TRY(read_config_file(config_file_, request.machine));
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const Option& option = options()[i];
    const auto& [flag, texts] = values_[i];
    if (flag->count() != 0 && texts.empty()) TRY(option.set(request.machine, option.value_if_absent));
    for (const std::string& text : texts) {
      const bool bare = text.empty() && option.value_if_absent != nullptr;
      TRY(option.set(request.machine, bare ? option.value_if_absent : text));
    }
  }
  if (request.machine.kernel.empty()) {
    return error("no kernel is given; name one with --kernel FILE, or kernel = \"FILE\" in a file");
  }
  return request;
}

}  // namespace cloister::cell
