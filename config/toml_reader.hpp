// Strict reading of one TOML file. Every key that a reader asks for is thereby known; done() finds
// the ones nobody asked for. Defects are collected while reading, so that loaders read like a list
// of keys, and the root's finish() reports one: an unknown key first (a missing key is often a
// misspelt one), else the first found. Private to this room; the only file that sees toml++ is the
// .cpp.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace bftmeta::config {

class TomlReader {
 public:
  enum class Need : std::uint8_t { required, optional };
  static constexpr Need kRequired = Need::required;
  static constexpr Need kOptional = Need::optional;

  // `what` names the kind of file in messages.
  static Result<TomlReader> open(const std::string& path, const std::string& what,
                                 std::size_t max_bytes);
  ~TomlReader();
  TomlReader(TomlReader&&) noexcept;
  TomlReader& operator=(TomlReader&&) noexcept;

  // An absent optional key leaves `out` as it is.
  void name(const char* key, std::string& out, Need need = kRequired);
  void host(const char* key, std::string& out, Need need = kRequired);
  void path(const char* key, std::string& out, Need need = kRequired);  // made relative to the file
  void boolean(const char* key, bool& out, Need need = kRequired);
  void hex(const char* key, std::span<std::uint8_t> out, Need need = kRequired);  // exact length
  // The position of the value in `allowed`.
  void choice(const char* key, std::size_t& out, std::span<const std::string_view> allowed,
              Need need = kRequired);
  template <class Integer>
  void integer(const char* key, Integer& out, std::uint64_t min, std::uint64_t max,
               Need need = kRequired) {
    std::uint64_t wide = out;
    read_integer(key, wide, min, max, need);
    out = static_cast<Integer>(wide);
  }
  // An array of at most `max_count` 32-bit integers.
  void integers(const char* key, std::vector<std::uint32_t>& out, std::size_t max_count,
                Need need = kRequired);
  // [[key]]: one reader per table, each of which must be told done().
  std::vector<TomlReader> tables(const char* key, std::size_t max_count, Need need = kRequired);

  // Something is wrong with the value of `key` that only the caller knows.
  void reject(const char* key, const std::string& problem, const std::string& allowed);

  Status so_far() const;  // the first defect, before all keys have been asked for
  void done();            // no more keys will be asked for
  Status finish();        // of the root: done() and the verdict

 private:
  struct Document;
  struct Table;
  TomlReader(std::shared_ptr<Document> document, std::unique_ptr<Table> table);
  void read_integer(const char* key, std::uint64_t& out, std::uint64_t min, std::uint64_t max,
                    Need need);
  void read_text(const char* key, std::string& out, bool (*valid)(const std::string&),
                 const std::string& rule, Need need);
  struct Found;
  Found find(const char* key, Need need, const std::string& allowed);

  std::shared_ptr<Document> document_;
  std::unique_ptr<Table> table_;
};

}  // namespace bftmeta::config
