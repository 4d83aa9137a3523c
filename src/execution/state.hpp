// Typed access to the records of one batch's overlay. A record that does not decode means that the
// store returned bytes which nobody wrote; that, like a failed read, is a sticky fault: the batch
// is given up and nothing of it leaves the replica. Thread-safety: one thread.
#pragma once

#include "schema/records.hpp"
#include "tree/overlay.hpp"

namespace bftmeta::execution {

class State {
 public:
  explicit State(tree::Overlay& overlay) : overlay_(overlay) {}

  tree::Overlay& overlay() { return overlay_; }
  bool fault() const { return damaged_ || overlay_.fault(); }

  // nullopt: absent, or a fault.
  template <class Record>
  std::optional<Record> load(const Key& key, const char* type) {
    Bytes value;
    if (overlay_.get(key, value) != tree::Found::value) return std::nullopt;
    return decoded<Record>(value, type);
  }
  template <class Record>
  void store(const Key& key, const Record& record) {
    overlay_.put(key, encode(record));
  }
  void mark(const Key& key) { store(key, schema::Marker{}); }
  void erase(const Key& key) { overlay_.erase(key); }

  // At most `limit` keys with from <= key < to, in key order.
  std::vector<Key> keys_between(const Key& from, const Key& to, std::size_t limit) const;
  // All keys with this prefix; for prefixes whose number of keys is bounded by the schema.
  std::vector<Key> keys_under(const Key& prefix) const;

  template <class Record>
  std::optional<Record> decoded(ByteView value, const char* type) {
    auto record = schema::decode_record<Record>(value, type);
    if (record) return std::move(*record);
    damaged_ = true;
    return std::nullopt;
  }

 private:
  tree::Overlay& overlay_;
  bool damaged_ = false;
};

}  // namespace bftmeta::execution
