#include "admin/report.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <nlohmann/json.hpp>

#include "base/assert.hpp"

namespace bftmeta::admin {

namespace {

std::string shown(const Value& value) {
  if (const auto* s = std::get_if<std::string>(&value)) return *s;
  if (const auto* u = std::get_if<std::uint64_t>(&value)) return std::to_string(*u);
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "yes" : "no";
  char text[64];
  std::snprintf(text, sizeof text, "%.1f", std::get<double>(value));
  return text;
}

std::string label(std::string key) {
  std::ranges::replace(key, '_', ' ');
  return key;
}

std::string padded(const std::string& text, std::size_t width, bool right) {
  const std::string fill(width > text.size() ? width - text.size() : 0, ' ');
  return right ? fill + text : text + fill;
}

bool is_number(const Value& value) {
  return std::holds_alternative<std::uint64_t>(value) || std::holds_alternative<double>(value);
}

std::string trimmed(std::string line) {
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

void add_table(std::string& out, const Table& table) {
  std::vector<std::size_t> width(table.columns.size());
  for (std::size_t c = 0; c < width.size(); ++c) {
    width[c] = table.columns[c].size();
    for (const auto& row : table.rows) width[c] = std::max(width[c], shown(row[c]).size());
  }
  std::string line;
  for (std::size_t c = 0; c < width.size(); ++c) {
    const bool right = !table.rows.empty() && is_number(table.rows[0][c]);
    line += padded(label(table.columns[c]), width[c], right) + "  ";
  }
  out += trimmed(line) + "\n";
  for (const auto& row : table.rows) {
    line.clear();
    for (std::size_t c = 0; c < width.size(); ++c)
      line += padded(shown(row[c]), width[c], is_number(row[c])) + "  ";
    out += trimmed(line) + "\n";
  }
}

}  // namespace

std::string to_text(const Report& report) {
  std::size_t width = 0;
  for (const Field& f : report.fields) width = std::max(width, f.key.size());
  std::string out;
  for (const Field& f : report.fields)
    out += padded(label(f.key), width, false) + "  " + shown(f.value) + "\n";
  for (const Table& t : report.tables) {
    if (t.rows.empty() && t.hidden_when_empty) continue;
    if (!out.empty()) out += "\n";
    add_table(out, t);
  }
  return out;
}

std::string to_json(const Report& report) {
  const auto json_of = [](const Value& value) {
    return std::visit([](const auto& v) { return nlohmann::ordered_json(v); }, value);
  };
  nlohmann::ordered_json object = nlohmann::ordered_json::object();
  for (const Field& f : report.fields) object[f.key] = json_of(f.value);
  for (const Table& t : report.tables) {
    nlohmann::ordered_json rows = nlohmann::ordered_json::array();
    for (const auto& row : t.rows) {
      BFTMETA_ASSERT(row.size() == t.columns.size());
      nlohmann::ordered_json entry = nlohmann::ordered_json::object();
      for (std::size_t c = 0; c < row.size(); ++c) entry[t.columns[c]] = json_of(row[c]);
      rows.push_back(std::move(entry));
    }
    object[t.key] = std::move(rows);
  }
  // Bytes that are not UTF-8 (file names) are replaced rather than thrown at.
  return object.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

std::string utc_time(std::uint64_t us) {
  const auto seconds = static_cast<std::time_t>(us / 1'000'000);
  std::tm parts{};
  char text[64];
  if (::gmtime_r(&seconds, &parts) == nullptr ||
      std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts) == 0)
    return std::to_string(us) + " us";
  char fraction[16];
  std::snprintf(fraction, sizeof fraction, ".%06uZ", static_cast<unsigned>(us % 1'000'000));
  return std::string(text) + fraction;
}

void print(OutputFormat format, const Report& report) {
  const std::string text = format == OutputFormat::json ? to_json(report) : to_text(report);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace bftmeta::admin
