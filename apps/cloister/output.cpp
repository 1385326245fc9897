// SPDX-License-Identifier: Apache-2.0
#include "output.h"

#include <fmt/format.h>

#include <algorithm>

namespace cloister::client {
namespace {

using nlohmann::json;

const json* find(const json& row, const char* pointer) {
  const json::json_pointer at(pointer);
  return row.contains(at) ? &row.at(at) : nullptr;
}

std::string plain(const json& row, const char* pointer) {
  const json* value = find(row, pointer);
  if (value == nullptr) return "";
  return value->is_string() ? value->get<std::string>() : value->dump();
}

std::string shown(const json& row, const Column& column) {
  const json* value = find(row, column.pointer);
  if (value == nullptr) return "-";
  if (column.show == Show::kBytes && value->is_number()) return size_for_people(value->get<double>());
  if (column.show == Show::kPart && value->is_number())
    return fmt::format("{:.0f} %", value->get<double>() * 100);
  const std::string text = plain(row, column.pointer);
  return text.empty() ? "-" : text;
}

std::string table(const json& rows, const std::vector<Column>& columns) {
  std::vector<std::vector<std::string>> lines(1);
  for (const Column& column : columns) lines[0].push_back(column.head);
  for (const json& row : rows) {
    lines.emplace_back();
    for (const Column& column : columns) lines.back().push_back(shown(row, column));
  }
  std::string text;
  for (const auto& line : lines) {
    std::string out;
    for (std::size_t i = 0; i < columns.size(); ++i) {
      std::size_t width = 0;
      for (const auto& other : lines) width = std::max(width, other[i].size());
      const bool right = columns[i].show != Show::kText;
      out += fmt::format(fmt::runtime(right ? "{:>{}}" : "{:<{}}"), line[i], width);
      if (i + 1 < columns.size()) out += "  ";
    }
    text += out.substr(0, out.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

// RFC 4180.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

std::string csv(const json& rows, const std::vector<Column>& columns) {
  std::string text;
  for (const Column& column : columns) text += (text.empty() ? "" : ",") + csv_field(column.head);
  text += "\n";
  for (const json& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < columns.size(); ++i)
      line += (i == 0 ? "" : ",") + csv_field(plain(row, columns[i].pointer));
    text += line + "\n";
  }
  return text;
}

// JSON's scalars, strings always in quotes, are YAML's too.
std::string yaml(const json& value, std::size_t indent) {
  if (!value.is_structured() || value.empty()) return " " + value.dump() + "\n";
  std::string text = "\n";
  const std::string space(indent, ' ');
  for (const auto& [key, entry] : value.items()) {
    text += space + (value.is_array() ? "-" : key + ":") + yaml(entry, indent + 2);
  }
  return text;
}

}  // namespace

std::string size_for_people(double bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1024;
  return fmt::format("{:.{}f} {}", bytes, unit == 0 || bytes >= 100 ? 0 : 1, kUnits[unit]);
}

std::string format_list(const json& rows, const std::vector<Column>& columns, Format format) {
  switch (format) {
    case Format::kTable:
      return table(rows, columns);
    case Format::kJson:
      return rows.dump(2) + "\n";
    case Format::kCsv:
      return csv(rows, columns);
    case Format::kYaml:
      return "---" + yaml(rows, 0);
  }
  return "";
}

std::string format_object(const json& object, const std::vector<Column>& columns, Format format) {
  if (format == Format::kJson) return object.dump(2) + "\n";
  if (format == Format::kYaml) return "---" + yaml(object, 0);
  if (format == Format::kCsv) return csv(json::array({object}), columns);
  std::string text;
  for (const Column& column : columns)
    text += fmt::format("{:<16}  {}\n", column.head, shown(object, column));
  return text;
}

}  // namespace cloister::client
