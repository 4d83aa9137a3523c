// Typed reads of the namespace over any Reader, shared by operations, queries and the checker: load
// an inode, look a name up, resolve a target with search permission on the way. Everything answers
// with a Code. When the reader does not know, unknown() is set for good and every answer of this
// View is void. Thread-safety: one thread.
#pragma once

#include "namespace/context.hpp"
#include "schema/keys.hpp"
#include "tree/reader.hpp"

// Returns early with the Code of `expr` unless it is ok.
#define BFTMETA_CHECK(expr)                                  \
  do {                                                       \
    if (const ::bftmeta::schema::Code bftmeta_code = (expr); \
        bftmeta_code != ::bftmeta::schema::Code::ok)         \
      return bftmeta_code;                                   \
  } while (false)

namespace bftmeta::ns {

struct Inode {
  std::uint64_t ino = 0;
  schema::Attributes attributes;
};

// 1..255 bytes, no NUL, no '/', neither "." nor ".."; else Code::invalid.
schema::Code check_name(ByteView name);

class View {
 public:
  explicit View(const tree::Reader& reader) : reader_(reader) {}

  bool unknown() const { return unknown_; }
  const tree::Reader& reader() const { return reader_; }

  // Code::stale_handle: no such inode.
  schema::Code load(std::uint64_t ino, Inode& inode) const;
  // Code::no_entry: no such name. Code::io_error: the hash belongs to another name.
  schema::Code lookup(const Inode& directory, ByteView name, Key& key, schema::Dirent& entry) const;
  // `strict`: the target must start at the root (Code::not_permitted).
  schema::Code resolve(const schema::Target& target, const Credentials* who, bool strict,
                       Inode& inode) const;

  // A record of any table. Found::value only if it decodes; what does not decode is unknown.
  template <class T>
  tree::Found record(const Key& key, T& out) const {
    const tree::Found found = reader_.get(key, buffer_);
    if (found == tree::Found::value) {
      if (decoded(buffer_, out)) return found;
      unknown_ = true;
      return tree::Found::unknown;
    }
    if (found == tree::Found::unknown) unknown_ = true;
    return found;
  }

  // Decodes in place: no Result, no message, this is the hot path.
  template <class T>
  static bool decoded(ByteView value, T& out) {
    codec::Decoder decoder(value);
    decoder.get("", out);
    return decoder.ok() && decoder.rest().empty() && out.format == schema::kRecordFormat;
  }

  // For visitors of a scan: what does not decode makes everything unknown.
  template <class T>
  bool decoded_or_unknown(ByteView value, T& out) const {
    const bool well_formed = decoded(value, out);
    if (!well_formed) unknown_ = true;
    return well_formed;
  }

  bool scan(const Key& from, const std::optional<Key>& to, const tree::Reader::Visit& visit) const {
    const bool known = reader_.scan(from, to, visit);
    if (!known) unknown_ = true;
    return known;
  }

  // The first keys with from <= key < to, at most `limit` (> 0), in key order. False: unknown.
  bool first_keys(const Key& from, const std::optional<Key>& to, std::size_t limit,
                  std::vector<Key>& keys) const {
    return scan(from, to, [&](const Key& key, ByteView) {
      keys.push_back(key);
      return keys.size() < limit;
    });
  }

 private:
  const tree::Reader& reader_;
  mutable Bytes buffer_;
  mutable bool unknown_ = false;
};

}  // namespace bftmeta::ns
