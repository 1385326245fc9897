// SPDX-License-Identifier: Apache-2.0
// The command line: each verb is a program beside this one, which takes the rest of the line.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <map>
#include <string>

#include "base/os/program.h"
#include "daemon_verbs.h"
#include "host/settings.h"

namespace {

struct Verb {
  const char* name;
  const char* help;
  const char* program;
};

constexpr Verb kVerbs[] = {
    {"run", "run one machine here and now", "cloister-cell"},
    {"image", "make a bootable disk from the Debian archive", "cloister-image"},
};

constexpr int kRefused = 2;

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Runs RISC-V Linux guests on x86-64, without root and without KVM.", "cloister");
  app.set_version_flag("--version", "cloister " CLOISTER_VERSION);
  app.require_subcommand(1);
  app.footer("cloister VERB --help tells more of each.");
  for (const Verb& verb : kVerbs) {
    app.add_subcommand(verb.name, verb.help)->prefix_command()->set_help_flag();
  }
  cloister::client::Session session;
  session.socket = cloister::host::default_settings().runtime_folder + "/api";
  app.add_option("--socket", session.socket, "where the daemon listens")
      ->type_name("PATH")
      ->envname("CLOISTER_SOCKET");
  const std::map<std::string, cloister::client::Format> formats{{"table", cloister::client::Format::kTable},
                                                                {"json", cloister::client::Format::kJson},
                                                                {"csv", cloister::client::Format::kCsv},
                                                                {"yaml", cloister::client::Format::kYaml}};
  app.add_option("--format", session.format, "how lists and figures are shown")
      ->type_name("table|json|csv|yaml")
      ->transform(CLI::CheckedTransformer(formats));
  app.fallthrough();  // the verbs from here on take these two after them too
  int status = cloister::client::kDone;
  cloister::client::add_daemon_verbs(app, session, status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& failure) {
    return app.exit(failure) == 0 ? 0 : kRefused;
  }
  for (const Verb& verb : kVerbs) {
    const CLI::App* chosen = app.get_subcommand(verb.name);
    if (!chosen->parsed()) continue;
    const cloister::Error failure = cloister::os::become_neighbour(verb.program, chosen->remaining());
    std::fprintf(stderr, "cloister: %s\n", failure.message.c_str());
    return kRefused;
  }
  return status;
}
