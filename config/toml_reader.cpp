#include "config/toml_reader.hpp"

#include <toml++/toml.h>

#include <limits>

#include "base/bytes.hpp"
#include "config/load.hpp"
#include "crypto/files.hpp"

namespace bftmeta::config {

struct TomlReader::Document {
  std::string path;
  std::string directory;  // with its slash, or empty
  toml::table root;
  std::string defect;       // first one
  std::string unknown_key;  // first one

  std::string at(const toml::source_region& where) const {
    const std::uint32_t line = where.begin.line;
    return path + ":" + std::to_string(line == 0 ? 1 : line) + ": ";
  }
};

struct TomlReader::Table {
  const toml::table* node = nullptr;  // inside Document::root
  std::vector<std::string> known;
};

struct TomlReader::Found {
  const toml::node* node = nullptr;  // null: absent, and reported if it was required
};

namespace {

std::string one_line(std::string text) {
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 0x20) c = ' ';
  return text;
}

std::string about(const char* key, const std::string& problem, const std::string& allowed) {
  return "key '" + std::string(key) + "': " + problem + "; allowed: " + allowed;
}

bool valid_path(const std::string& path) {
  return !path.empty() && path.size() < 4096 && path.find('\0') == std::string::npos;
}

}  // namespace

TomlReader::TomlReader(std::shared_ptr<Document> document, std::unique_ptr<Table> table)
    : document_(std::move(document)), table_(std::move(table)) {}
TomlReader::~TomlReader() = default;
TomlReader::TomlReader(TomlReader&&) noexcept = default;
TomlReader& TomlReader::operator=(TomlReader&&) noexcept = default;

Result<TomlReader> TomlReader::open(const std::string& path, const std::string& what,
                                    std::size_t max_bytes) {
  BFTMETA_ASSIGN(const Bytes content, crypto::read_public_file(path, what, max_bytes));
  auto document = std::make_shared<Document>();
  document->path = path;
  const std::size_t slash = path.rfind('/');
  if (slash != std::string::npos) document->directory = path.substr(0, slash + 1);
  try {
    document->root = toml::parse(text(content), path);
  } catch (const toml::parse_error& e) {
    return fail(Errc::config, document->at(e.source()) +
                                  "not valid TOML: " + one_line(std::string(e.description())) +
                                  "; correct the line, or restore the " + what +
                                  " if it was cut short");
  }
  auto table = std::make_unique<Table>();
  table->node = &document->root;
  return TomlReader(std::move(document), std::move(table));
}

TomlReader::Found TomlReader::find(const char* key, Need need, const std::string& allowed) {
  table_->known.emplace_back(key);
  const toml::node* node = table_->node->get(key);
  if (node == nullptr && need == Need::required) reject(key, "missing", allowed);
  return {node};
}

void TomlReader::reject(const char* key, const std::string& problem, const std::string& allowed) {
  if (!document_->defect.empty()) return;
  const toml::node* node = table_->node->get(key);
  const toml::source_region& where = node != nullptr ? node->source() : table_->node->source();
  document_->defect = document_->at(where) + about(key, one_line(problem), allowed);
}

void TomlReader::read_text(const char* key, std::string& out, bool (*valid)(const std::string&),
                           const std::string& rule, Need need) {
  const std::string allowed = "a string: " + rule;
  const Found found = find(key, need, allowed);
  if (found.node == nullptr) return;
  const auto value = found.node->value_exact<std::string>();
  if (!value) return reject(key, "not a string", allowed);
  if (!valid(*value)) return reject(key, "wrong value '" + value->substr(0, 64) + "'", allowed);
  out = *value;
}

void TomlReader::name(const char* key, std::string& out, Need need) {
  read_text(key, out, valid_name, kNameRule, need);
}

void TomlReader::host(const char* key, std::string& out, Need need) {
  read_text(key, out, valid_host, kHostRule, need);
}

void TomlReader::path(const char* key, std::string& out, Need need) {
  std::string value;
  read_text(key, value, valid_path, "a path", need);
  if (value.empty()) return;
  out = value.front() == '/' ? value : document_->directory + value;
}

void TomlReader::boolean(const char* key, bool& out, Need need) {
  const Found found = find(key, need, "true or false");
  if (found.node == nullptr) return;
  const auto value = found.node->value_exact<bool>();
  if (!value) return reject(key, "not a boolean", "true or false");
  out = *value;
}

void TomlReader::hex(const char* key, std::span<std::uint8_t> out, Need need) {
  const std::string allowed =
      "a string of exactly " + std::to_string(out.size() * 2) + " hexadecimal digits";
  const Found found = find(key, need, allowed);
  if (found.node == nullptr) return;
  const auto value = found.node->value_exact<std::string>();
  if (!value) return reject(key, "not a string", allowed);
  const auto bytes = from_hex(*value);
  if (!bytes || bytes->size() != out.size()) return reject(key, "wrong value", allowed);
  std::copy(bytes->begin(), bytes->end(), out.begin());
}

void TomlReader::choice(const char* key, std::size_t& out,
                        std::span<const std::string_view> allowed, Need need) {
  std::string list;
  for (const std::string_view a : allowed)
    list += (list.empty() ? "\"" : ", \"") + std::string(a) + "\"";
  const Found found = find(key, need, list);
  if (found.node == nullptr) return;
  const auto value = found.node->value_exact<std::string>();
  if (!value) return reject(key, "not a string", list);
  const auto at = std::find(allowed.begin(), allowed.end(), *value);
  if (at == allowed.end()) return reject(key, "wrong value '" + value->substr(0, 64) + "'", list);
  out = static_cast<std::size_t>(at - allowed.begin());
}

void TomlReader::read_integer(const char* key, std::uint64_t& out, std::uint64_t min,
                              std::uint64_t max, Need need) {
  const std::string allowed =
      "an integer from " + std::to_string(min) + " to " + std::to_string(max);
  const Found found = find(key, need, allowed);
  if (found.node == nullptr) return;
  const auto value = found.node->value_exact<std::int64_t>();
  if (!value) return reject(key, "not an integer", allowed);
  if (*value < 0 || static_cast<std::uint64_t>(*value) < min ||
      static_cast<std::uint64_t>(*value) > max)
    return reject(key, "wrong value " + std::to_string(*value), allowed);
  out = static_cast<std::uint64_t>(*value);
}

void TomlReader::integers(const char* key, std::vector<std::uint32_t>& out, std::size_t max_count,
                          Need need) {
  constexpr std::int64_t kMax = std::numeric_limits<std::uint32_t>::max();
  const std::string allowed = "an array of at most " + std::to_string(max_count) +
                              " integers from 0 to " + std::to_string(kMax);
  const Found found = find(key, need, allowed);
  if (found.node == nullptr) return;
  const toml::array* array = found.node->as_array();
  if (array == nullptr) return reject(key, "not an array", allowed);
  if (array->size() > max_count) return reject(key, "too many values", allowed);
  out.clear();
  for (const toml::node& element : *array) {
    const auto value = element.value_exact<std::int64_t>();
    if (!value || *value < 0 || *value > kMax) return reject(key, "wrong value in it", allowed);
    out.push_back(static_cast<std::uint32_t>(*value));
  }
}

std::vector<TomlReader> TomlReader::tables(const char* key, std::size_t max_count, Need need) {
  const std::string allowed =
      "at most " + std::to_string(max_count) + " tables [[" + std::string(key) + "]]";
  std::vector<TomlReader> out;
  const Found found = find(key, need, allowed);
  if (found.node == nullptr) return out;
  const toml::array* array = found.node->as_array();
  if (array == nullptr || !array->is_homogeneous(toml::node_type::table)) {
    reject(key, "not a list of tables", allowed);
    return out;
  }
  if (array->size() > max_count) {
    reject(key, std::to_string(array->size()) + " of them", allowed);
    return out;
  }
  for (const toml::node& element : *array) {
    auto table = std::make_unique<Table>();
    table->node = element.as_table();
    out.push_back(TomlReader(document_, std::move(table)));
  }
  return out;
}

Status TomlReader::so_far() const {
  if (!document_->defect.empty()) return fail(Errc::config, document_->defect);
  return {};
}

void TomlReader::done() {
  if (!document_->unknown_key.empty()) return;
  for (const auto& [key, node] : *table_->node) {
    const std::string text(key.str());
    if (std::find(table_->known.begin(), table_->known.end(), text) != table_->known.end())
      continue;
    std::string list;
    for (const std::string& k : table_->known) list += (list.empty() ? "" : ", ") + k;
    document_->unknown_key =
        document_->at(key.source()) + about(one_line(text.substr(0, 64)).c_str(), "unknown", list);
    return;
  }
}

Status TomlReader::finish() {
  done();
  if (!document_->unknown_key.empty()) return fail(Errc::config, document_->unknown_key);
  return so_far();
}

}  // namespace bftmeta::config
