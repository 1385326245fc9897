// SPDX-License-Identifier: Apache-2.0
#include "agent/options.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/config.h"

namespace cloister::agent {
namespace {

constexpr int kBadInput = 2;
constexpr const char* kUsualConfig = "/etc/cloister/agent.conf";

constexpr const char* kHelp = R"(usage: cloister-agent [FLAGS]

Serves the host of a Cloister machine: gives up memory that the guest can do without, tells the guest's
programs how the machine's memory does, and runs what the host asks for.

  --config FILE     the configuration (/etc/cloister/agent.conf when it is there); see cloister-agent.conf(5)
  --parts WORDS     which parts: any of "balloon bridge exec"; all by default
  --most PERCENT    of the machine's memory that the balloon may hold, 1 to 65, which is the default: the host
                    takes no more by balloons
  --sessions N      programs and copies served at once, 1 to 1024; 64 by default
  --help, --version
)";

Verdict complain(const std::string& what) {
  std::fprintf(stderr, "cloister-agent: %s\n", what.c_str());
  return {true, kBadInput};
}

bool read_number(const std::string& text, std::uint64_t least, std::uint64_t most, std::uint64_t& out) {
  char* end = nullptr;
  if (text.empty() || text[0] < '0' || text[0] > '9') return false;
  const std::uint64_t value = std::strtoull(text.c_str(), &end, 10);
  if (*end != '\0' || value < least || value > most) return false;
  out = value;
  return true;
}

Verdict apply(const std::string& flag, const std::string& value, Options& options) {
  std::string why;
  if (flag == "--config") return {};  // read before all others
  if (flag == "--parts") {
    if (!read_parts(value, options, why)) return complain("--parts: " + why);
  } else if (flag == "--most") {
    if (!read_number(value, 1, kMostPercent, options.most_percent))
      return complain("--most " + value + ": a whole number from 1 to " + std::to_string(kMostPercent) +
                      " is wanted: the host takes no more of a machine by balloons");
  } else if (flag == "--sessions") {
    if (!read_number(value, 1, 1024, options.sessions))
      return complain("--sessions " + value + ": a whole number from 1 to 1024 is wanted");
  } else {
    return complain("unknown flag " + flag + ": --help lists them");
  }
  return {};
}

}  // namespace

bool read_parts(const std::string& text, Options& options, std::string& why) {
  options.balloon = options.bridge = options.exec = false;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (word == "balloon") {
      options.balloon = true;
    } else if (word == "bridge") {
      options.bridge = true;
    } else if (word == "exec") {
      options.exec = true;
    } else {
      why = "there is no part " + word + ": there are balloon, bridge and exec";
      return false;
    }
  }
  why = "no part is named: there are balloon, bridge and exec";
  return options.balloon || options.bridge || options.exec;
}

namespace {

struct Flag {
  std::string name;
  std::string value;
};

// The words as flags with values; `--help` and `--version` end at once.
Verdict split(int argc, char** argv, std::vector<Flag>& flags) {
  for (int i = 1; i < argc; ++i) {
    std::string flag = argv[i];
    if (flag == "--help") {
      std::fputs(kHelp, stdout);
      return {true, 0};
    }
    if (flag == "--version") {
      std::puts("cloister-agent " CLOISTER_VERSION);
      return {true, 0};
    }
    if (!flag.starts_with("--")) return complain("unexpected word " + flag + ": --help lists the flags");
    const std::size_t equals = flag.find('=');
    if (equals != std::string::npos) {
      flags.push_back({flag.substr(0, equals), flag.substr(equals + 1)});
    } else if (i + 1 < argc) {
      flags.push_back({flag, argv[++i]});
    } else {
      return complain(flag + " wants a value");
    }
  }
  return {};
}

// A file that is named must be there; the usual one need not.
Verdict read_file(const std::string& named, Options& options, BridgeSettings& bridge) {
  const std::string path = named.empty() ? kUsualConfig : named;
  std::ifstream file(path);
  if (!file) return named.empty() ? Verdict{} : complain("cannot read " + path);
  std::ostringstream text;
  text << file.rdbuf();
  std::string why;
  return read_config(text.str(), path, options, bridge, why) ? Verdict{} : complain(why);
}

}  // namespace

Verdict read_command_line(int argc, char** argv, Options& options, BridgeSettings& bridge) {
  std::vector<Flag> flags;
  Verdict verdict = split(argc, argv, flags);
  if (verdict.ends) return verdict;
  std::string config;
  for (const Flag& flag : flags) {
    if (flag.name == "--config") config = flag.value;
  }
  verdict = read_file(config, options, bridge);
  for (std::size_t i = 0; i < flags.size() && !verdict.ends; ++i)
    verdict = apply(flags[i].name, flags[i].value, options);
  return verdict;
}

}  // namespace cloister::agent
