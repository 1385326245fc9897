// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/os/file.h"
#include "base/result.h"

namespace cloister::os {

// Makes a file that appears under its name whole or not at all, also when the program or the machine
// stops meanwhile: `fill` writes it under another name beside it, and it is on the disk before it gets its
// own. Refused: when `path` is there already, and what `fill` refuses.
Result<void> create_whole(const std::string& path, const std::function<Result<void>(File&)>& fill);

// The same in the place of what is there: who reads it finds the old text or the new one, never a part. What
// need not outlive the machine's own stop is not flushed, which may take minutes on a busy disk.
enum class Outlives : u8 { kPrograms, kTheMachine };
Result<void> replace_whole(const std::string& path, std::string_view text,
                           Outlives what = Outlives::kTheMachine);

}  // namespace cloister::os
