// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include "base/units.h"

namespace cloister::os {

// Tells whoever supervises this process, if somebody does (systemd's notification protocol: a datagram to
// the socket that NOTIFY_SOCKET names): "READY=1", "STATUS=…", "WATCHDOG=1", "STOPPING=1".
void tell_supervisor(std::string_view state);

// How often the supervisor wants to hear "WATCHDOG=1" (WATCHDOG_USEC); 0: never.
Nanos watchdog_interval();

}  // namespace cloister::os
