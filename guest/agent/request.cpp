// SPDX-License-Identifier: Apache-2.0
#include "agent/request.h"

#include <cloister/guest_abi.h>

#include <cstring>

namespace cloister::agent {
namespace {

// Takes the text before the next zero; none when there is no zero.
std::optional<std::string> take_text(std::string_view& rest) {
  const std::size_t end = rest.find('\0');
  if (end == std::string_view::npos) return std::nullopt;
  std::string text(rest.substr(0, end));
  rest.remove_prefix(end + 1);
  return text;
}

// A count that the record cannot hold ends with the first text that is missing.
bool take_texts(std::string_view& rest, std::uint32_t count, std::vector<std::string>& out) {
  for (std::uint32_t i = 0; i < count; ++i) {
    auto text = take_text(rest);
    if (!text) return false;
    out.push_back(std::move(*text));
  }
  return true;
}

}  // namespace

std::optional<ExecRequest> read_exec(std::string_view record) {
  cloister_exec head = {};
  if (record.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, record.data(), sizeof head);
  record.remove_prefix(sizeof head);
  ExecRequest request;
  if (head.arguments == 0 || head.terminal > 1 || !take_texts(record, head.arguments, request.arguments) ||
      !take_texts(record, head.settings, request.settings))
    return std::nullopt;
  auto folder = take_text(record);
  if (!folder || !record.empty() || request.arguments[0].empty()) return std::nullopt;
  for (const std::string& setting : request.settings) {
    if (setting.find('=') == std::string::npos || setting.starts_with('=')) return std::nullopt;
  }
  request.folder = std::move(*folder);
  request.terminal = head.terminal == 1;
  request.rows = head.rows;
  request.columns = head.columns;
  return request;
}

// The text may end with a zero or with the record.
std::optional<std::string> read_path(std::string_view record) {
  if (record.ends_with('\0')) record.remove_suffix(1);
  if (record.empty() || record.find('\0') != std::string_view::npos) return std::nullopt;
  return std::string(record);
}

std::optional<PutRequest> read_put(std::string_view record) {
  cloister_put head = {};
  if (record.size() < sizeof head) return std::nullopt;
  std::memcpy(&head, record.data(), sizeof head);
  auto path = read_path(record.substr(sizeof head));
  if (!path || head.mode > 07777) return std::nullopt;
  return PutRequest{head.mode, std::move(*path)};
}

}  // namespace cloister::agent
