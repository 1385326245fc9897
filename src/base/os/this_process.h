// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cloister::os {

// In place of a descriptor of this process (linux/fcntl.h: PIDFD_SELF_THREAD_GROUP), in calls that take one.
inline constexpr int kThisProcess = -10001;

}  // namespace cloister::os
