// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/result.h"

namespace cloister::os {

// "cannot open '/x' for reading: No such file or directory; check the path". `what` says what was tried and
// on which thing; the remedy follows from the error number. The first form takes errno, so call it at once.
Error os_error(std::string_view what);
Error os_error(std::string_view what, int error_number);

}  // namespace cloister::os
