// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "base/os/fd.h"
#include "base/units.h"

namespace cloister::os {

// Tells whoever supervises this process, if somebody does (systemd's notification protocol: a datagram to
// the socket that NOTIFY_SOCKET names): "READY=1", "STATUS=…", "WATCHDOG=1", "STOPPING=1".
void tell_supervisor(std::string_view state);

// How often the supervisor wants to hear "WATCHDOG=1" (WATCHDOG_USEC); 0: never.
Nanos watchdog_interval();

// The listening socket that the supervisor made for this process (LISTEN_FDS, LISTEN_PID), if it did. Once.
std::optional<Fd> passed_listener();

}  // namespace cloister::os
