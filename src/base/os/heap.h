// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/units.h"

namespace cloister::os {

// From now on so much lies ready in the calling thread's heap, in one piece. Had at once, it costs a tenth of
// what its pages cost when each is first used. A hint: what the host does not give is had when it is used.
void prepare_heap(Bytes size);

// What the heap holds free goes back to the host, whole pages of it. Takes milliseconds.
void give_back_free_heap();

}  // namespace cloister::os
