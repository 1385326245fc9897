// SPDX-License-Identifier: Apache-2.0
// Integer rows: calls, records and short strings, sorting, libc's string functions.
#include <cstring>
#include <utility>
#include <vector>

#include "row.h"

namespace cloister::bench {
namespace {

[[gnu::noinline]] u64 fib(u64 n) { return n < 2 ? n : fib(opaque(n - 1)) + fib(n - 2); }

enum Kind { kFirst, kSecond, kThird };

struct Record {
  Record* other;
  Kind kind;
  int number;
  char text[31];
};

[[gnu::noinline]] void add_to(int value, int addend, int* sum) { *sum = value + addend + 2; }

[[gnu::noinline]] Kind next_kind(Kind kind, int limit) {
  if (kind == kFirst) return limit > 100 ? kFirst : kThird;
  return kind == kSecond ? kFirst : kSecond;
}

[[gnu::noinline]] bool first_is_later(const char* a, const char* b) {
  int at = 2;
  while (a[at] == b[at + 1] && at < 4) ++at;
  return std::strcmp(a, b) > 0;
}

[[gnu::noinline]] void copy_record(Record* from) {
  Record* const to = from->other;
  Record* const link = to->other;
  *to = *from;
  to->other = link;
  to->number = 5;
  add_to(from->number, 10, &to->number);
  to->kind = next_kind(from->kind, to->number);
}

[[gnu::noinline]] void fill(int* line, int (*table)[50], int at, int value) {
  line[at] = value;
  line[at + 1] = line[at];
  line[at + 30] = at;
  for (int i = at; i <= at + 1; ++i) table[at][i] = at;
  ++table[at][at - 1];
  table[at + 20][at] = line[at];
}

[[gnu::noinline]] void sort(int* first, int* last) {
  while (last - first > 1) {
    const int pivot = first[(last - first) / 2];
    int* low = first;
    int* high = last - 1;
    while (low <= high) {
      while (*low < pivot) ++low;
      while (*high > pivot) --high;
      if (low <= high) std::swap(*low++, *high--);
    }
    if (high - first < last - low) {
      sort(first, high + 1);
      first = low;
    } else {
      sort(low, last);
      last = high + 1;
    }
  }
}

}  // namespace

u64 fibonacci(Scale scale) {
  u64 sum = 0;
  for (u64 round = scale.of(150); round != 0; --round) sum += fib(opaque<u64>(24));
  return sum;
}

u64 records(Scale scale) {
  static int line[50], table[50][50];
  Record a{nullptr, kFirst, 40, "some program's first string"};
  Record b{&a, kSecond, 17, ""};
  a.other = &b;
  char text[31] = "some program's 2nd string....";
  u64 sum = 0;
  for (u64 round = scale.of(1'400'000); round != 0; --round) {
    std::strcpy(b.text, opaque(&text[0]));
    if (first_is_later(a.text, b.text)) a.number = 40 + static_cast<int>(round & 7);
    copy_record(opaque(&a));
    int value = 0;
    add_to(static_cast<int>(round & 15), b.number, &value);
    fill(line, table, 8, value);
    const int quotient = value * 5 / opaque(static_cast<int>(round & 3) + 3);
    sum += static_cast<u64>(quotient) + static_cast<u64>(b.kind) + static_cast<u64>(table[28][8]);
  }
  return sum;
}

u64 quicksort(Scale scale) {
  Noise noise;
  std::vector<int> numbers(100'000);
  u64 sum = 0;
  for (u64 round = scale.of(10); round != 0; --round) {
    for (int& number : numbers) number = static_cast<int>(noise.next() & 0x7FFFFFFF);
    sort(numbers.data(), numbers.data() + numbers.size());
    sum = sum * 31 + static_cast<u64>(numbers[numbers.size() / 2]);
  }
  return sum;
}

u64 libc_strings(Scale scale) {
  static char text[4096], other[4096];
  for (unsigned i = 0; i < sizeof text - 1; ++i) text[i] = static_cast<char>('a' + i % 25);
  u64 sum = 0;
  for (u64 round = scale.of(4000); round != 0; --round) {
    std::strcpy(other, opaque(&text[0]));
    sum += std::strlen(opaque(&other[0]));
    sum += static_cast<u64>(std::strcmp(opaque(&text[0]), other) == 0);
    sum += std::memchr(opaque(&text[0]), 'z', sizeof text) == nullptr;
    sum += std::strchr(opaque(&text[0]), 'z') == nullptr;
    sum += static_cast<u64>(std::memcmp(opaque(&text[0]), other, sizeof text) == 0);
  }
  return sum;
}

}  // namespace cloister::bench
