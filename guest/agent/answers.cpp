// SPDX-License-Identifier: Apache-2.0
#include "agent/answers.h"

#include <charconv>

namespace cloister::agent {
namespace {

using std::string_view;

constexpr int kDeepest = 8;  // lists within lists

template <typename T>
std::optional<T> number_in(string_view text) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

// One answer at a time from the front of the bytes.
class Reader {
 public:
  explicit Reader(string_view bytes) : rest_(bytes) {}

  // False while it is not whole.
  bool take(RedisAnswer& answer, int depth = 0) {
    const std::size_t end = rest_.find("\r\n");
    if (end == string_view::npos) return false;
    const string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 2);
    if (line.empty() || depth > kDeepest) return wrong(answer);
    const string_view body = line.substr(1);
    switch (line[0]) {
      case '-':
        answer.is_error = true;
        [[fallthrough]];
      case '+':
      case ':':
        answer.text = body;
        return true;
      case '$':
        return take_text(body, answer);
      case '*':
        return take_list(body, answer, depth);
      default:
        return wrong(answer);
    }
  }

 private:
  static bool wrong(RedisAnswer& answer) {
    answer = {true, "the answer is not in Redis' protocol"};
    return true;
  }

  bool take_text(string_view length, RedisAnswer& answer) {
    const auto size = number_in<std::int64_t>(length);
    if (!size || *size < -1 || *size > (1 << 20)) return wrong(answer);
    if (*size == -1) return true;
    const auto bytes = static_cast<std::size_t>(*size);
    if (rest_.size() < bytes + 2) return false;
    answer.text = rest_.substr(0, bytes);
    rest_.remove_prefix(bytes + 2);
    return true;
  }

  bool take_list(string_view length, RedisAnswer& answer, int depth) {
    const auto size = number_in<std::int64_t>(length);
    if (!size || *size < -1 || *size > 65536) return wrong(answer);
    for (std::int64_t i = 0; i < *size; ++i) {
      RedisAnswer item;
      if (!take(item, depth + 1)) return false;
      answer.is_error = answer.is_error || item.is_error;
      answer.text += item.text + '\n';
    }
    return true;
  }

  string_view rest_;
};

std::optional<std::uint64_t> unit_of(char letter) {
  switch (letter) {
    case 'B':
      return 1;
    case 'K':
      return 1 << 10;
    case 'M':
      return 1 << 20;
    case 'G':
      return 1 << 30;
    case 'T':
      return std::uint64_t{1} << 40;
    default:
      return std::nullopt;
  }
}

// The size that begins here: "262144K".
std::optional<std::uint64_t> size_at(string_view text) {
  const std::size_t digits = text.find_first_not_of("0123456789");
  if (digits == string_view::npos) return std::nullopt;
  const auto value = number_in<std::uint64_t>(text.substr(0, digits));
  const auto unit = unit_of(text[digits]);
  std::uint64_t bytes = 0;
  if (!value || !unit || __builtin_mul_overflow(*value, *unit, &bytes)) return std::nullopt;
  return bytes;
}

}  // namespace

std::string redis_request(const std::vector<std::string>& words) {
  std::string request = "*" + std::to_string(words.size()) + "\r\n";
  for (const std::string& word : words) request += "$" + std::to_string(word.size()) + "\r\n" + word + "\r\n";
  return request;
}

std::optional<std::vector<RedisAnswer>> redis_answers(string_view bytes, std::size_t count) {
  Reader reader(bytes);
  std::vector<RedisAnswer> answers(count);
  for (RedisAnswer& answer : answers) {
    if (!reader.take(answer)) return std::nullopt;
  }
  return answers;
}

std::optional<std::string> info_value(string_view text, string_view name) {
  const std::string key = "\n" + std::string(name) + ":";
  const std::size_t at = text.find(key);
  if (at == string_view::npos) return std::nullopt;
  const string_view value = text.substr(at + key.size());
  return std::string(value.substr(0, value.find_first_of("\r\n")));
}

std::optional<std::uint64_t> stat_value(string_view text, string_view name) {
  const std::string key = "STAT " + std::string(name) + " ";
  const std::size_t at = text.find(key);
  if (at == string_view::npos) return std::nullopt;
  const string_view value = text.substr(at + key.size());
  return number_in<std::uint64_t>(value.substr(0, value.find_first_of("\r\n")));
}

// Three manners: Z says ", capacity 256M,"; Shenandoah "256M committed"; the others "total 262144K" for each
// generation.
std::optional<std::uint64_t> heap_size_in(string_view text) {
  constexpr string_view kCapacity = ", capacity ", kCommitted = " committed", kTotal = " total ";
  if (const std::size_t at = text.find(kCapacity); at != string_view::npos)
    return size_at(text.substr(at + kCapacity.size()));
  if (const std::size_t at = text.find(kCommitted); at != string_view::npos) {
    const std::size_t before = text.find_last_of(" ,", at - 1);
    if (before != string_view::npos && text.substr(0, at).find("Shenandoah") != string_view::npos)
      return size_at(text.substr(before + 1));
  }
  std::optional<std::uint64_t> sum;
  for (std::size_t at = text.find(kTotal); at != string_view::npos; at = text.find(kTotal, at + 1)) {
    if (const auto size = size_at(text.substr(at + kTotal.size()))) sum = sum.value_or(0) + *size;
  }
  return sum;
}

std::optional<std::uint64_t> flag_value(string_view text) {
  const std::size_t equals = text.find('=');
  if (!text.starts_with("-XX:") || equals == string_view::npos) return std::nullopt;
  const string_view value = text.substr(equals + 1);
  return number_in<std::uint64_t>(value.substr(0, value.find_first_of(" \r\n")));
}

}  // namespace cloister::agent
