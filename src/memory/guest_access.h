// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "memory/guest_memory.h"

// How devices hold on to pages for one operation, and what GuestMemory's templates do with that.
namespace cloister::memory {

// One page kept from changing for a scope, ready for `access`.
class GuestMemory::PinnedPage {
 public:
  PinnedPage(GuestMemory& memory, Gpn page, Access access)
      : memory_(memory), page_(page), access_(access), word_(memory.pin(page, access)) {}
  ~PinnedPage() {
    if (ok()) memory_.unpin(page_, word_, access_);
  }
  PinnedPage(const PinnedPage&) = delete;
  PinnedPage& operator=(const PinnedPage&) = delete;

  bool ok() const { return !word_.is_failed(); }
  bool is_zeros() const { return word_.source() == Source::kZeros; }
  // A vault's frame may go to another while we look at it: nothing pins that.
  bool in_place() const { return word_.source() != Source::kVault; }
  template <typename T>
  T* at(GuestPhys address) const {
    return reinterpret_cast<T*>(memory_.host_of(page_, word_) + address.page_offset());
  }

 private:
  GuestMemory& memory_;
  const Gpn page_;
  const Access access_;
  const PageWord word_;
};

// The longest run from an address on that is contiguous in the host too, all of it pinned for a scope, or
// (read only) a copy of one page. Only the first page is waited for: whoever waits for a page has none
// pinned. Bound: kBatch pages. Empty when the first page's content cannot be had.
class GuestMemory::PinnedRun {
 public:
  PinnedRun(GuestMemory& memory, GuestPhys address, Bytes limit, Access access);
  ~PinnedRun();
  PinnedRun(const PinnedRun&) = delete;
  PinnedRun& operator=(const PinnedRun&) = delete;
  std::span<std::byte> bytes() const { return bytes_; }

 private:
  bool copy_first(GuestPhys address, Bytes limit);
  bool pin_from(GuestPhys address, Bytes limit);

  GuestMemory& memory_;
  const Gpn first_;
  const Access access_;
  PageWord word_;  // the first page's
  u64 pages_ = 0;  // pinned
  std::unique_ptr<PageCopy> copy_;
  std::span<std::byte> bytes_;
};

template <typename Use>
bool GuestMemory::with_pinned(GuestPhys address, Bytes count, Access access, Use&& use) {
  if (!contains(address, count.raw)) return false;
  for (u64 done = 0; done < count.raw;) {
    const PinnedRun run(*this, address + done, count - Bytes{done}, access);
    if (run.bytes().empty() || !use(run.bytes())) return false;
    done += run.bytes().size();
  }
  return true;
}

template <typename T>
std::optional<T> GuestMemory::load(GuestPhys address) {
  static_assert(std::is_integral_v<T>);
  if (!contains(address, sizeof(T)) || address.raw % sizeof(T) != 0) return std::nullopt;
  const PinnedPage page(*this, gpn_of(address), Access::kRead);
  if (!page.ok()) return std::nullopt;
  if (page.in_place())
    return std::atomic_ref<T>(*page.template at<T>(address)).load(std::memory_order_acquire);
  T value;
  if (!read(address, std::as_writable_bytes(std::span(&value, 1)))) return std::nullopt;
  return value;
}

template <typename T>
bool GuestMemory::store(GuestPhys address, T value) {
  static_assert(std::is_integral_v<T>);
  if (!contains(address, sizeof(T)) || address.raw % sizeof(T) != 0) return false;
  const PinnedPage page(*this, gpn_of(address), Access::kWrite);
  if (!page.ok()) return false;
  std::atomic_ref<T>(*page.template at<T>(address)).store(value, std::memory_order_release);
  return true;
}

}  // namespace cloister::memory
