// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace cloister::os {

// What the heap holds free goes back to the host, whole pages of it. Takes milliseconds.
void give_back_free_heap();

}  // namespace cloister::os
