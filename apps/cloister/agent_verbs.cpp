// SPDX-License-Identifier: Apache-2.0
// The verbs that reach into a machine: exec and copy.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "agent_client.h"
#include "daemon_verbs.h"

namespace cloister::client {
namespace {

using api::Response;

// Calls reach(vsock) for a machine that runs.
int with_machine(const Session& session, const std::string& name,
                 const std::function<int(const std::string&)>& reach) {
  int status = kAgentFailed;
  const auto asked = session.ask({"GET", "/api/v1/machines/" + api::url_encode(name), {}, ""},
                                 [&](const Response& response) {
                                   const auto view = nlohmann::json::parse(response.body, nullptr, false);
                                   status = reach(view.value("vsock", ""));
                                   return kDone;
                                 });
  return asked == kDone ? status : kAgentFailed;
}

// A command that gets a terminal must know which; what was asked for comes later, and wins.
void name_terminal(ExecOrder& order) {
  const char* kind = std::getenv("TERM");
  if (order.terminal && kind != nullptr)
    order.settings.insert(order.settings.begin(), fmt::format("TERM={}", kind));
}

void add_exec(CLI::App& app, Session& session, int& status) {
  auto name = std::make_shared<std::string>();
  auto order = std::make_shared<ExecOrder>();
  auto* verb = app.add_subcommand("exec", "run a command inside a machine: exec [-t] NAME -- COMMAND…");
  verb->add_option("name", *name, "the machine")->required();
  verb->add_flag("-t,--terminal", order->terminal, "give the command a terminal");
  verb->add_option("-e,--env", order->settings, "a variable of its environment; may be given more than once")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  verb->add_option("-w,--folder", order->folder, "where it runs")->type_name("PATH");
  verb->add_option("command", order->command, "the command and its arguments, behind --")->required();
  verb->callback([=, &session, &status] {
    name_terminal(*order);
    status =
        with_machine(session, *name, [&](const std::string& vsock) { return exec_in_guest(vsock, *order); });
  });
}

// "NAME:PATH" names a file of a machine; a path with a slash before the colon is one of the host.
struct Place {
  std::string machine;  // empty: the host
  std::string path;
};
Place place_of(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon == text.npos || colon == 0 || text.find('/') < colon) return {"", text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

int copy(const Session& session, const std::string& from_text, const std::string& to_text) {
  const Place from = place_of(from_text), to = place_of(to_text);
  if (from.machine.empty() == to.machine.empty()) {
    std::fprintf(stderr,
                 "cloister: one of '%s' and '%s' must be a machine's, as NAME:PATH, and the other not\n",
                 from_text.c_str(), to_text.c_str());
    return kBadUse;
  }
  if (from.machine.empty()) {
    return with_machine(session, to.machine,
                        [&](const std::string& vsock) { return copy_to_guest(vsock, from.path, to.path); });
  }
  return with_machine(session, from.machine,
                      [&](const std::string& vsock) { return copy_from_guest(vsock, from.path, to.path); });
}

void add_copy(CLI::App& app, Session& session, int& status) {
  auto from = std::make_shared<std::string>(), to = std::make_shared<std::string>();
  auto* verb = app.add_subcommand("copy", "copy one file into a machine, or out of it");
  verb->add_option("from", *from, "a file, NAME:PATH for a machine's, - for standard input")->required();
  verb->add_option("to", *to, "likewise; - for standard output")->required();
  verb->callback([=, &session, &status] { status = copy(session, *from, *to); });
}

}  // namespace

void add_agent_verbs(CLI::App& app, Session& session, int& status) {
  add_exec(app, session, status);
  add_copy(app, session, status);
}

}  // namespace cloister::client
