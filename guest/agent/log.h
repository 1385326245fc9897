// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cloister::agent {

// How much a line matters, in syslog's numbers: a service manager reads them from the line's head.
enum class Weight : int { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6 };

// One line on standard error; with its weight in front when that is not a terminal but the service manager's
// stream.
[[gnu::format(printf, 2, 3)]] void say(Weight weight, const char* format, ...);

}  // namespace cloister::agent
