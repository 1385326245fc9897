// SPDX-License-Identifier: Apache-2.0
#include "agent/options.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string_view>

namespace cloister::agent {
namespace {

constexpr int kBadInput = 2;

constexpr const char* kHelp = R"(usage: cloister-agent [FLAGS]

Serves the host of a Cloister machine: gives up memory that the guest can do without, tells the guest's
programs how the machine's memory does, and runs what the host asks for.

  --config FILE     the configuration (/etc/cloister/agent.conf when it is there); see cloister-agent.conf(5)
  --parts WORDS     which parts: any of "balloon bridge exec"; all by default
  --most PERCENT    of the machine's memory that the balloon may hold, 1 to 95; 65 by default
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
  std::uint64_t number = 0;
  if (flag == "--config") {
    options.config = value;
  } else if (flag == "--parts") {
    if (!read_parts(value, options, why)) return complain("--parts: " + why);
  } else if (flag == "--most") {
    if (!read_number(value, 1, 95, options.most_percent))
      return complain("--most " + value + ": a whole number from 1 to 95 is wanted");
  } else if (flag == "--sessions") {
    if (!read_number(value, 1, 1024, number))
      return complain("--sessions " + value + ": a whole number from 1 to 1024 is wanted");
    options.sessions = number;
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

Verdict read_command_line(int argc, char** argv, Options& options) {
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
    std::string value;
    if (equals != std::string::npos) {
      value = flag.substr(equals + 1);
      flag.resize(equals);
    } else if (i + 1 < argc) {
      value = argv[++i];
    } else {
      return complain(flag + " wants a value");
    }
    const Verdict verdict = apply(flag, value, options);
    if (verdict.ends) return verdict;
  }
  return {};
}

}  // namespace cloister::agent
