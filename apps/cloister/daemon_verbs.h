// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/http.h"
#include "base/result.h"
#include "output.h"

namespace CLI {
class App;
}

namespace cloister::client {

// How the verbs that speak to the daemon end (docs/daemon.md has the same table).
enum ExitStatus : int {
  kDone = 0,
  kRefused = 1,   // the daemon refused, with a reason
  kBadUse = 2,    // the command line is not understood
  kNoDaemon = 3,  // no daemon answers
};

// What all of them share.
struct Session {
  std::string socket;
  Format format = Format::kTable;

  // Asks the daemon; the body of its answer goes to `then`. Says on standard error what went wrong.
  ExitStatus ask(const api::Request& request,
                 const std::function<ExitStatus(const api::Response&)>& then) const;
  ExitStatus ask(const api::Request& request) const;
};

// Joins the terminal to a machine's console until Ctrl-A x, or the end of the machine or of the input.
ExitStatus attach_console(const std::string& path);

// Adds the verbs to the command line. The chosen one's callback sets `status`.
void add_daemon_verbs(CLI::App& app, Session& session, int& status);

// Those that reach into a machine, by the agent there.
void add_agent_verbs(CLI::App& app, Session& session, int& status);

}  // namespace cloister::client
