// SPDX-License-Identifier: Apache-2.0
#include "daemon_verbs.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/os/file.h"
#include "cell/options.h"
#include "host/order.h"
#include "host/toml_words.h"

namespace cloister::client {
namespace {

using api::Request;
using api::Response;
using nlohmann::json;

ExitStatus complain(ExitStatus status, const std::string& message) {
  std::fprintf(stderr, "cloister: %s\n", message.c_str());
  return status;
}

ExitStatus print(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return kDone;
}

std::string machine_path(const std::string& name, const char* below = "") {
  return "/api/v1/machines/" + api::url_encode(name) + below;
}

json parsed(const Response& response) { return json::parse(response.body, nullptr, false); }

const std::vector<Column> kListColumns = {
    {"NAME", "/name"},
    {"STATE", "/state"},
    {"CPUS", "/cpus"},
    {"MEMORY", "/memory/configured", Show::kBytes},
    {"HELD", "/memory/held", Show::kBytes},
    {"TARGET", "/memory/target", Show::kBytes},
    {"ACTIVE", "/memory/activity/estimate", Show::kPart},
    {"PACKED", "/memory/compressed", Show::kBytes},
    {"SWAPPED", "/memory/swapped", Show::kBytes},
    {"BALLOON", "/memory/balloon/pages", Show::kBytes},
    {"LEVEL", "/memory/level"},
    {"OVERHEAD", "/memory/overhead", Show::kBytes},
    {"WHY", "/memory/reason"},
};

const std::vector<Column> kInfoColumns = {
    {"name", "/name"},
    {"state", "/state"},
    {"ended", "/ended"},
    {"process", "/process"},
    {"cpus", "/cpus"},
    {"configured", "/memory/configured", Show::kBytes},
    {"shares", "/memory/shares"},
    {"min", "/memory/min", Show::kBytes},
    {"limit", "/memory/limit", Show::kBytes},
    {"trust group", "/memory/trust_group"},
    {"held", "/memory/held", Show::kBytes},
    {"used", "/memory/used", Show::kBytes},
    {"target", "/memory/target", Show::kBytes},
    {"why", "/memory/reason"},
    {"in use", "/memory/activity/estimate", Show::kPart},
    {"its error", "/memory/activity/error", Show::kPart},
    {"zero", "/memory/zero", Show::kBytes},
    {"shared", "/memory/shared", Show::kBytes},
    {"compressed", "/memory/compressed", Show::kBytes},
    {"swapped", "/memory/swapped", Show::kBytes},
    {"overhead", "/memory/overhead", Show::kBytes},
    {"guest is told", "/memory/level"},
    {"balloon", "/memory/balloon/pages", Show::kBytes},
    {"balloon target", "/memory/balloon/target", Show::kBytes},
    {"applications", "/memory/balloon/applications"},
    {"guest pressure", "/memory/balloon/pressure", Show::kPart},
    {"paged out a second", "/memory/balloon/page_out_rate", Show::kBytes},
    {"run seconds", "/run_seconds"},
    {"console", "/console"},
    {"vsock", "/vsock"},
};

const std::vector<Column> kHostColumns = {
    {"state", "/state"},
    {"machines", "/machines"},
    {"running", "/running"},
    {"pool", "/memory/pool", Show::kBytes},
    {"free", "/memory/free", Show::kBytes},
    {"held", "/memory/held", Show::kBytes},
    {"overhead", "/memory/overhead", Show::kBytes},
    {"kept free", "/memory/goal", Show::kBytes},
    {"swap", "/memory/swap", Show::kBytes},
    {"swap set aside", "/memory/swap_set_aside", Show::kBytes},
    {"idle tax", "/settings/idle-tax"},
    {"thresholds", "/settings/thresholds"},
};

// -- launch and memtune: flags that are words -------------------------------------------------------------

// The values of flags that CLI11 writes to, by key.
struct WordFlags {
  std::vector<std::pair<std::string, std::vector<std::string>>> values;
  std::vector<CLI::Option*> options;
  std::vector<const char*> bare;

  WordFlags() { values.reserve(cell::options().size() + host::term_options().size()); }  // kept pointers

  void add(CLI::App& verb, const char* name, const char* value, const char* help, const char* value_if_absent,
           bool repeats) {
    auto& [key, texts] = values.emplace_back(name, std::vector<std::string>());
    auto* option = verb.add_option(std::string("--") + name, texts, help)->type_name(value);
    option->expected(value_if_absent == nullptr ? 1 : 0, 1);
    option->multi_option_policy(repeats ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::Throw);
    options.push_back(option);
    bare.push_back(value_if_absent);
  }
  void add_machine_flags(CLI::App& verb) {
    for (const cell::Option& option : cell::options()) {
      if (std::string_view(option.name) == "name") continue;
      add(verb, option.name, option.value, option.help, option.value_if_absent, option.repeats);
    }
  }
  void add_term_flags(CLI::App& verb) {
    for (const host::TermOption& term : host::term_options())
      add(verb, term.name, term.value, term.help, nullptr, false);
  }

  std::vector<host::Word> words() const {
    std::vector<host::Word> words;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const auto& [key, texts] = values[i];
      if (options[i]->count() != 0 && texts.empty()) words.push_back({key, bare[i]});
      for (const std::string& text : texts)
        words.push_back({key, text.empty() && bare[i] != nullptr ? bare[i] : text});
    }
    return words;
  }
};

json json_of_words(const std::vector<host::Word>& words) {
  json object = json::object();
  for (const host::Word& word : words) {
    if (!object.contains(word.key)) {
      object[word.key] = word.text;
      continue;
    }
    if (!object[word.key].is_array()) object[word.key] = json::array({object[word.key]});
    object[word.key].push_back(word.text);
  }
  return object;
}

// The file's words, then those of the flags: a flag replaces what the file says of its key.
Result<std::vector<host::Word>> read_file_under(const std::string& file,
                                                const std::vector<host::Word>& flags) {
  std::vector<host::Word> words;
  if (!file.empty()) {
    for (const auto& word : TRY(host::read_toml_words(TRY(os::read_text_file(file, Bytes{kMiB})), file))) {
      const bool replaced =
          std::any_of(flags.begin(), flags.end(), [&](const auto& flag) { return flag.key == word.key; });
      if (!replaced) words.push_back({word.key, word.text});
    }
  }
  words.insert(words.end(), flags.begin(), flags.end());
  return words;
}

struct LaunchFlags {
  std::string name, file;
  bool dry_run = false;
  WordFlags words;
};

ExitStatus show_verdict(const Session& session, const Response& response) {
  const json verdict = parsed(response);
  const bool admitted = verdict.value("admitted", false);
  if (session.format == Format::kTable) {
    print((admitted ? "it would start: " : "it would not start: ") + verdict.value("reason", "") + "\n");
  } else {
    print(format_object(verdict, {{"admitted", "/admitted"}, {"reason", "/reason"}}, session.format));
  }
  return admitted ? kDone : kRefused;
}

ExitStatus launch(const Session& session, const LaunchFlags& flags) {
  auto words = read_file_under(flags.file, flags.words.words());
  if (!words.ok()) return complain(kBadUse, words.failure().message);
  std::string name = flags.name;
  for (const host::Word& word : *words) {
    if (word.key == "name" && name.empty()) name = word.text;
  }
  if (name.empty()) return complain(kBadUse, "the machine needs a name; give one with --name");
  words->push_back({"folder", std::filesystem::current_path().string()});
  // Bad values are told here, before the daemon is asked.
  const auto order = host::MachineOrder::read(name, *words);
  if (!order.ok()) return complain(kBadUse, order.failure().message);
  std::erase_if(*words, [](const host::Word& word) { return word.key == "name"; });
  Request request{"PUT", machine_path(name), {}, json_of_words(*words).dump()};
  if (flags.dry_run) {
    request.query["dry-run"] = "true";
    return session.ask(request, [&](const Response& response) { return show_verdict(session, response); });
  }
  return session.ask(request, [&](const Response&) { return print(name + " runs\n"); });
}

void add_launch(CLI::App& app, Session& session, int& status) {
  auto flags = std::make_shared<LaunchFlags>();
  auto* verb = app.add_subcommand("launch", "define a machine and start it in the background");
  verb->add_option("config", flags->file, "a TOML file whose keys are the flags below")->type_name("FILE");
  verb->add_option("--name", flags->name, "what the machine is called")->type_name("NAME");
  verb->add_flag("--dry-run", flags->dry_run, "only tell whether it would start, and what is missing");
  flags->words.add_machine_flags(*verb);
  flags->words.add_term_flags(*verb);
  verb->callback([flags, &session, &status] { status = launch(session, *flags); });
}

ExitStatus memtune(const Session& session, const std::string& name, const WordFlags& flags) {
  const auto words = flags.words();
  if (!words.empty()) return session.ask({"PATCH", machine_path(name), {}, json_of_words(words).dump()});
  return session.ask({"GET", machine_path(name), {}, ""}, [&](const Response& response) {
    const std::vector<Column> terms(kInfoColumns.begin() + 5, kInfoColumns.begin() + 14);
    return print(format_object(parsed(response), terms, session.format));
  });
}

void add_memtune(CLI::App& app, Session& session, int& status) {
  auto name = std::make_shared<std::string>();
  auto flags = std::make_shared<WordFlags>();
  auto* verb = app.add_subcommand("memtune", "show or change how a machine shares memory");
  verb->add_option("name", *name, "the machine")->required();
  flags->add_term_flags(*verb);
  verb->callback([=, &session, &status] { status = memtune(session, *name, *flags); });
}

// -- Verbs on one machine ---------------------------------------------------------------------------------

using OnMachine = std::function<ExitStatus(const Session&, const std::string& name)>;

CLI::App* add_verb(CLI::App& app, const char* verb_name, const char* help, Session& session, int& status,
                   OnMachine run) {
  auto name = std::make_shared<std::string>();
  auto* verb = app.add_subcommand(verb_name, help);
  verb->add_option("name", *name, "the machine")->required();
  verb->callback([name, run = std::move(run), &session, &status] { status = run(session, *name); });
  return verb;
}

OnMachine put_state(const char* state) {
  return [state](const Session& session, const std::string& name) {
    return session.ask({"PUT", machine_path(name, "/state"), {}, json{{"state", state}}.dump()});
  };
}

ExitStatus print_text(const Session& session, const std::string& path) {
  return session.ask({"GET", path, {}, ""}, [](const Response& response) { return print(response.body); });
}

ExitStatus info(const Session& session, const std::string& name) {
  return session.ask({"GET", machine_path(name), {}, ""}, [&](const Response& response) {
    return print(format_object(parsed(response), kInfoColumns, session.format));
  });
}

ExitStatus console(const Session& session, const std::string& name) {
  return session.ask({"GET", machine_path(name), {}, ""}, [](const Response& response) {
    return attach_console(parsed(response).value("console", ""));
  });
}

void add_machine_verbs(CLI::App& app, Session& session, int& status) {
  add_verb(app, "start", "start a machine that is stopped", session, status, put_state("running"));
  auto force = std::make_shared<bool>(false);
  add_verb(app, "stop", "take a machine's power away (shut its system down inside it first)", session, status,
           [force](const Session& s, const std::string& name) {
             return put_state(*force ? "killed" : "stopped")(s, name);
           })
      ->add_flag("--force", *force, "kill its cell, which does not listen");
  add_verb(app, "pause", "let a machine's CPUs stand still", session, status, put_state("paused"));
  add_verb(app, "resume", "let them go on", session, status, put_state("resumed"));
  add_verb(app, "info", "all that is known of a machine", session, status, info);
  add_verb(app, "console", "join this terminal to a machine's console; Ctrl-A x leaves", session, status,
           console);
  auto of_cell = std::make_shared<bool>(false);
  add_verb(app, "logs", "the last output of a machine's console", session, status,
           [of_cell](const Session& s, const std::string& name) {
             return s.ask({"GET", machine_path(name, "/log"), {{"cell", *of_cell ? "true" : "false"}}, ""},
                          [](const Response& response) { return print(response.body); });
           })
      ->add_flag("--cell", *of_cell, "what its cell said, instead of the guest");
  add_verb(app, "delete", "forget a machine that is stopped; its disks stay", session, status,
           [](const Session& s, const std::string& name) {
             return s.ask({"DELETE", machine_path(name), {}, ""});
           });
  add_verb(app, "explain", "why a machine has the memory that it has", session, status,
           [](const Session& s, const std::string& name) {
             return print_text(s, machine_path(name, "/explain"));
           });
}

// -- Verbs on all -----------------------------------------------------------------------------------------

ExitStatus list(const Session& session) {
  return session.ask({"GET", "/api/v1/machines", {}, ""}, [&](const Response& response) {
    return print(format_list(parsed(response), kListColumns, session.format));
  });
}

ExitStatus host_verb(const Session& session, const std::vector<std::string>& changes) {
  if (changes.empty()) {
    return session.ask({"GET", "/api/v1/host", {}, ""}, [&](const Response& response) {
      return print(format_object(parsed(response), kHostColumns, session.format));
    });
  }
  json words = json::object();
  for (const std::string& change : changes) {
    const std::size_t equals = change.find('=');
    if (equals == change.npos)
      return complain(kBadUse, fmt::format("'{}' is not KEY=VALUE, as pool=4GiB", change));
    words[change.substr(0, equals)] = change.substr(equals + 1);
  }
  return session.ask({"PATCH", "/api/v1/host", {}, words.dump()});
}

std::string event_line(const json& event) {
  const std::string machine = event.value("machine", "");
  return fmt::format("{:.3f} {:<7} {}{}{}: {}\n", event.value("time", 0.0), event.value("level", ""), machine,
                     machine.empty() ? "" : " ", event.value("kind", ""), event.value("text", ""));
}

ExitStatus events(const Session& session, const std::string& since) {
  const auto show = [&](std::string_view line) {
    constexpr std::string_view kData = "data: ";
    if (!line.starts_with(kData)) return true;
    const json event = json::parse(line.substr(kData.size()), nullptr, false);
    print(session.format == Format::kTable ? event_line(event) : event.dump() + "\n");
    return std::fflush(stdout) == 0;
  };
  const auto done = api::http_stream(session.socket, {"GET", "/api/v1/events", {{"since", since}}, ""}, show);
  return done.ok() ? kDone : complain(kNoDaemon, done.failure().message);
}

void add_general_verbs(CLI::App& app, Session& session, int& status) {
  app.add_subcommand("list", "all machines, with what they have of the host's memory")->callback([&] {
    status = list(session);
  });
  auto changes = std::make_shared<std::vector<std::string>>();
  auto* host = app.add_subcommand("host", "the host's memory and settings; KEY=VALUE changes a setting");
  host->add_option("changes", *changes, "settings, as pool=4GiB idle-tax=0.5")->type_name("KEY=VALUE");
  host->callback([changes, &session, &status] { status = host_verb(session, *changes); });
  auto since = std::make_shared<std::string>("0");
  auto* events_verb =
      app.add_subcommand("events", "what happened, and what happens from now on, line by line");
  events_verb->add_option("--since", *since, "only what came after the event of this number")
      ->type_name("ID");
  events_verb->callback([since, &session, &status] { status = events(session, *since); });
}

}  // namespace

ExitStatus Session::ask(const Request& request,
                        const std::function<ExitStatus(const Response&)>& then) const {
  const auto response = api::http_call(socket, request);
  if (!response.ok()) return complain(kNoDaemon, response.failure().message);
  if (response->status < 300) return then(*response);
  const json body = parsed(*response);
  const bool known = body.is_object() && body.contains("fault_message");
  return complain(kRefused, known ? body["fault_message"].get<std::string>() : response->body);
}

ExitStatus Session::ask(const Request& request) const {
  return ask(request, [](const Response&) { return kDone; });
}

void add_daemon_verbs(CLI::App& app, Session& session, int& status) {
  add_launch(app, session, status);
  add_machine_verbs(app, session, status);
  add_memtune(app, session, status);
  add_general_verbs(app, session, status);
  add_agent_verbs(app, session, status);
}

}  // namespace cloister::client
