// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "agent/config.h"
#include "agent/loop.h"

namespace cloister::agent {

// A program with a knob for how much memory it uses.
class Program {
 public:
  // 0 for a limit or ceiling: it has none.
  struct Figures {
    std::uint64_t used = 0;
    std::uint64_t limit = 0;
    std::uint64_t ceiling = 0;  // what it was given, as far as the program itself knows; 0: it does not know
    bool can_shrink = true;
    std::uint64_t resident = 0;  // what the guest's kernel has for it, as far as it knows; 0: it does not
    std::uint64_t least = 0;     // of a cut that is worth what it costs
  };
  // `why` tells what went wrong; without figures then.
  using Asked = std::function<void(const std::optional<Figures>& figures, const std::string& why)>;
  using Turned = std::function<void(const std::string& why)>;

  virtual ~Program() = default;

  // One of either at a time. Both answer later, in the loop.
  virtual void ask(Asked asked) = 0;
  // `limit` 0: no limit any more.
  virtual void turn_to(std::uint64_t limit, Turned turned) = 0;
  // What becomes of such a limit, as ask() will tell it: some keep it in larger units.
  virtual std::uint64_t kept(std::uint64_t limit) const { return limit; }
};

// Null for a hook, which has no knob.
std::unique_ptr<Program> make_program(Loop& loop, const ProgramSettings& settings);

std::unique_ptr<Program> make_redis(Loop& loop, const ProgramSettings& settings);
std::unique_ptr<Program> make_memcached(Loop& loop, const ProgramSettings& settings);
std::unique_ptr<Program> make_jvm(Loop& loop, const ProgramSettings& settings);
std::unique_ptr<Program> make_group(Loop& loop, const ProgramSettings& settings);

}  // namespace cloister::agent
