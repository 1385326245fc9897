// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace cloister::agent {

// How much more memory the control groups that this process is in (v2) let it have: the least that any of
// them, up to the root, has left below memory.max and memory.high; UINT64_MAX when none has a limit. A limit
// of this kind shows by the OOM killer only, so who grows asks first; a margin of 8 MiB is kept.
//
// `membership` is the text of /proc/self/cgroup, `root` where the tree is mounted.
std::uint64_t room_in_groups(const std::string& membership, const std::string& root);

// That of this process now.
std::uint64_t room_in_groups();

}  // namespace cloister::agent
