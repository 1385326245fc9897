// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstring>

#if defined(__SANITIZE_THREAD__)
#define CLOISTER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define CLOISTER_TSAN 1
#endif
#endif

// Copies to and from guest memory. A guest may race with its own devices; that is its business and hurts
// nobody else, so these copies race by design. Under the thread sanitizer they go byte by byte as relaxed
// atomics, so that it reports our races and not the guest's.
namespace cloister::memory {

#ifdef CLOISTER_TSAN
inline void copy_racing(std::byte* to, const std::byte* from, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) {
    __atomic_store_n(reinterpret_cast<char*>(to + i),
                     __atomic_load_n(reinterpret_cast<const char*>(from + i), __ATOMIC_RELAXED),
                     __ATOMIC_RELAXED);
  }
}
inline void clear_racing(std::byte* to, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i)
    __atomic_store_n(reinterpret_cast<char*>(to + i), 0, __ATOMIC_RELAXED);
}
#else
inline void copy_racing(std::byte* to, const std::byte* from, std::size_t bytes) {
  std::memcpy(to, from, bytes);
}
inline void clear_racing(std::byte* to, std::size_t bytes) { std::memset(to, 0, bytes); }
#endif

}  // namespace cloister::memory
