// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "base/result.h"
#include "lockstep/image.h"
#include "lockstep/program.h"

namespace cloister::lockstep {

// A machine that can run programs.
class Executor {
 public:
  virtual ~Executor() = default;
  virtual const char* name() const = 0;
  // The state that each snippet leaves. `image` is link(program).
  virtual Result<std::vector<State>> run(const Program& program, const Image& image) = 0;
};

}  // namespace cloister::lockstep
