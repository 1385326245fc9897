// SPDX-License-Identifier: Apache-2.0
// The everyday mixture of an embedded program: linked lists that are searched, reversed and sorted, a small
// integer matrix, a state machine that reads numbers from text, and a CRC over all results, so that none can
// be left out.
#include <array>

#include "row.h"

namespace cloister::bench {
namespace {

struct Node {
  Node* next;
  u32 key;
  u32 value;
};

u32 crc16(u32 crc, u32 word) {
  for (int bit = 0; bit < 32; ++bit, word >>= 1) crc = ((crc ^ word) & 1) ? (crc >> 1) ^ 0xA001 : crc >> 1;
  return crc;
}

class List {
 public:
  List() {
    Noise noise;
    for (Node& node : nodes_) {
      node = {head_, static_cast<u32>(noise.next() % 1000), static_cast<u32>(noise.next())};
      head_ = &node;
    }
  }
  void reverse() {
    Node* done = nullptr;
    while (head_ != nullptr) {
      Node* const rest = head_->next;
      head_->next = done;
      done = head_;
      head_ = rest;
    }
    head_ = done;
  }
  const Node* find(u32 key) const {
    const Node* node = head_;
    while (node != nullptr && node->key != key) node = node->next;
    return node;
  }
  template <typename Less>
  void sort(Less less) {
    head_ = sorted(head_, less);
  }
  void change(u32 by) { head_->key = (head_->key + by) % 1000; }
  u32 digest(u32 crc) const {
    for (const Node* node = head_; node != nullptr; node = node->next) crc = crc16(crc, node->key);
    return crc;
  }

 private:
  template <typename Less>
  static Node* merged(Node* a, Node* b, Less less) {
    Node first{nullptr, 0, 0};
    Node* last = &first;
    while (a != nullptr && b != nullptr) {
      Node*& taken = less(*b, *a) ? b : a;
      last->next = taken;
      last = taken;
      taken = taken->next;
    }
    last->next = a != nullptr ? a : b;
    return first.next;
  }
  template <typename Less>
  static Node* sorted(Node* list, Less less) {
    if (list == nullptr || list->next == nullptr) return list;
    Node* middle = list;
    for (Node* fast = list->next; fast != nullptr && fast->next != nullptr; fast = fast->next->next)
      middle = middle->next;
    Node* const second = middle->next;
    middle->next = nullptr;
    return merged(sorted(list, less), sorted(second, less), less);
  }

  std::array<Node, 60> nodes_{};
  Node* head_ = nullptr;
};

constexpr int kSide = 12;
using Matrix = std::array<std::array<int, kSide>, kSide>;

u32 matrix_step(Matrix& a, const Matrix& b, u32 crc) {
  Matrix product{};
  for (unsigned i = 0; i < kSide; ++i)
    for (unsigned j = 0; j < kSide; ++j)
      for (unsigned k = 0; k < kSide; ++k) product[i][j] += a[i][k] * b[k][j];
  for (unsigned i = 0; i < kSide; ++i) {
    crc = crc16(crc, static_cast<u32>(product[i][i]));
    for (unsigned j = 0; j < kSide; ++j) a[i][j] = (product[i][j] >> 3) & 0xFF;
  }
  return crc;
}

enum State { kBlank, kSign, kDigits, kFraction, kExponent, kBad, kStates };

State advance(State state, char c) {
  const bool digit = c >= '0' && c <= '9';
  switch (state) {
    case kBlank:
      return digit ? kDigits : c == '+' || c == '-' ? kSign : c == '.' ? kFraction : kBad;
    case kSign:
      return digit ? kDigits : c == '.' ? kFraction : kBad;
    case kDigits:
      return digit ? kDigits : c == '.' ? kFraction : c == 'e' ? kExponent : kBad;
    case kFraction:
      return digit ? kFraction : c == 'e' ? kExponent : kBad;
    case kExponent:
      return digit || c == '-' ? kExponent : kBad;
    default:
      return kBad;
  }
}

u32 scan(const char* text, u32 crc) {
  std::array<u32, kStates> seen{};
  State state = kBlank;
  for (; *text != '\0'; ++text) {
    state = *text == ',' ? kBlank : advance(state, *text);
    ++seen[state];
  }
  for (const u32 count : seen) crc = crc16(crc, count);
  return crc;
}

}  // namespace

u64 core_mix(Scale scale) {
  static constexpr char kText[] =
      "5012,1234,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e3,-.123e-2,T0.3e-1F,1x2";
  List list;
  Matrix a{}, b{};
  for (unsigned i = 0; i < kSide; ++i)
    for (unsigned j = 0; j < kSide; ++j)
      a[i][j] = static_cast<int>(i * j + 1), b[i][j] = static_cast<int>(i + 2 * j);
  u32 crc = 0xFFFF;
  for (u64 round = scale.of(6000); round != 0; --round) {
    for (u32 key = 0; key < 8; ++key) {
      const Node* found = list.find(opaque(key * 120));
      crc = crc16(crc, found != nullptr ? found->value : key);
    }
    list.reverse();
    list.change(static_cast<u32>(round));
    list.sort([](const Node& x, const Node& y) { return x.key < y.key; });
    list.sort([](const Node& x, const Node& y) { return (x.value & 0xFFFF) < (y.value & 0xFFFF); });
    crc = list.digest(crc);
    crc = matrix_step(a, b, crc);
    crc = scan(opaque(kText), crc);
  }
  return crc;
}

}  // namespace cloister::bench
