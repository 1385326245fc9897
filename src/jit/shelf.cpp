// SPDX-License-Identifier: Apache-2.0
#include "jit/shelf.h"

namespace cloister::jit {

void Shelf::put(Entry product) {
  if (product->size() > most_) return;
  size_ += product->size();
  for (const x64::Image::Entry& way : product->image.entries) {
    Entry& best = by_address_[product->page.address().raw + way.offset];
    if (best == nullptr || best->tier <= product->tier) best = product;
  }
  entries_.push_back(std::move(product));
  shrink_to(most_);
}

void Shelf::shrink_to(Bytes size) {
  while (size_ > size) drop_first();
}

void Shelf::drop_first() {
  const Entry first = std::move(entries_.front());
  entries_.pop_front();
  size_ -= first->size();
  for (const x64::Image::Entry& way : first->image.entries) {
    const auto found = by_address_.find(first->page.address().raw + way.offset);
    if (found != by_address_.end() && found->second == first) by_address_.erase(found);
  }
}

Shelf::Entry Shelf::find(GuestPhys address, Tier tier, const std::byte* now) const {
  const auto found = by_address_.find(address.raw);
  if (found == by_address_.end()) return nullptr;
  const Entry& best = found->second;
  return best->tier >= tier && best->is_of(now) ? best : nullptr;
}

}  // namespace cloister::jit
