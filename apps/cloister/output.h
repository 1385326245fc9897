// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace cloister::client {

enum class Format { kTable, kJson, kCsv, kYaml };

// How a column of a table is shown to people: bytes as KiB to TiB, parts as per cent.
enum class Show { kText, kBytes, kPart };

struct Column {
  const char* head;
  const char* pointer;  // JSON pointer into a row: "/memory/held"
  Show show = Show::kText;
};

// A list of objects. Tables are for people; CSV has the same columns with plain numbers; JSON and YAML have
// all there is.
std::string format_list(const nlohmann::json& rows, const std::vector<Column>& columns, Format format);
// One object; as a table, a line for each column.
std::string format_object(const nlohmann::json& object, const std::vector<Column>& columns, Format format);

// "1.5 GiB"; three digits at most.
std::string size_for_people(double bytes);

}  // namespace cloister::client
