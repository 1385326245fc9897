// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

// What programs answer, read. Pure; a program may be anything that listens there.
namespace cloister::agent {

// Redis' protocol (RESP 2): a request of words, and the answers to several.
std::string redis_request(const std::vector<std::string>& words);

struct RedisAnswer {
  bool is_error = false;
  std::string text;  // of a text or number; of a list, the texts in it, each with a line feed
};
// The first `count` answers; nothing while they are not whole. Nonsense reads as an error.
std::optional<std::vector<RedisAnswer>> redis_answers(std::string_view bytes, std::size_t count);

// The value of `name:value` on a line of its own, as in Redis' INFO.
std::optional<std::string> info_value(std::string_view text, std::string_view name);

// The number in memcached's `STAT name number`.
std::optional<std::uint64_t> stat_value(std::string_view text, std::string_view name);

// What a Java heap holds of the machine's memory, by GC.heap_info of any of HotSpot's collectors; bytes.
std::optional<std::uint64_t> heap_size_in(std::string_view text);

// The number in `-XX:Name=number`, as printflag answers.
std::optional<std::uint64_t> flag_value(std::string_view text);

}  // namespace cloister::agent
