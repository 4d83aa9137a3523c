// What a command has to say, once: printed as aligned text or as one JSON object. JSON keys are
// never renamed, only added. Sizes are bytes and times microseconds in JSON. Thread-safety: plain
// values.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "admin/command.hpp"
#include "messages/certificate.hpp"

namespace bftmeta::admin {

using Value = std::variant<std::string, std::uint64_t, double, bool>;

struct Field {
  std::string key;  // snake_case; text shows it with spaces
  Value value;
};

struct Table {
  std::string key;
  std::vector<std::string> columns;
  std::vector<std::vector<Value>> rows;  // as long as columns
  bool hidden_when_empty = false;        // in text; JSON has an empty array
};

struct Report {
  std::vector<Field> fields;  // in this order, health first where there is one
  std::vector<Table> tables;
};

std::string to_text(const Report& report);
std::string to_json(const Report& report);  // one object, indented, with a final newline
void print(OutputFormat format, const Report& report);  // to stdout

// How values are written in reports.
std::string utc_time(std::uint64_t us);  // RFC 3339, to the microsecond
using messages::replica_list;

}  // namespace bftmeta::admin
