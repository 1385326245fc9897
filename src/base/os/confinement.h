// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"

// What a process gives up for the rest of its life, none of it needing any privilege: so that a guest that
// breaks out of its machine finds itself in a place where nothing can be done. Each may be called once.
namespace cloister::os {

// What may be done below a path. Nothing else of the file system can be opened, made, removed or renamed by
// descriptors that are opened later; those that are open already stay as they are.
struct FileRight {
  enum class Kind : u8 {
    kRead,       // the file
    kReadWrite,  // the file
    kReadTree,   // a folder and all below
    kWholeTree,  // the same, with making, removing and renaming
  };
  std::string path;  // what is not there is passed over
  Kind kind = Kind::kRead;
};

// For the calling thread and all that it starts (Landlock). Returns false where the host's kernel has no such
// thing, with nothing done.
Result<bool> restrict_files(const std::vector<FileRight>& rights);

// A user, IPC and host name of its own, and, unless `network`, a network of its own, that is, none. The user
// has no capability anywhere, with a namespace or without. Before any thread is started. Returns false where
// the host does not allow one.
enum class Network : bool { kNone, kHosts };
Result<bool> separate_namespaces(Network network);

// The system calls that a running machine needs, and no others, for all threads (seccomp). What is not on the
// list fails as if the kernel did not know it; no program can be started, no process looked into. Without
// `network`, no sockets but unix ones.
Result<void> restrict_calls(Network network);

}  // namespace cloister::os
