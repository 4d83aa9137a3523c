// The mutable view of one batch over an immutable base: reads fall through, writes stay here until
// the whole batch is applied to the tree at once. Savepoints make an operation or a bundle
// all-or-nothing. A failed read of the base is sticky (fault()): execution abandons the batch,
// nothing leaves the replica. Thread-safety: one thread.
#pragma once

#include <map>
#include <vector>

#include "tree/reader.hpp"

namespace bftmeta::tree {

struct Update {
  Key key;
  std::optional<Bytes> value;  // nullopt: the leaf is removed
};

class Overlay final : public Reader {
 public:
  explicit Overlay(const Reader& base) : base_(base) {}

  Found get(const Key& key, Bytes& value) const override;
  bool scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const override;
  std::optional<std::uint64_t> count(const Key& prefix) const override;

  void put(const Key& key, Bytes value);
  void erase(const Key& key);  // absent: no-op

  // Everything since the savepoint is undone by rollback. Savepoints nest; rolling back to one
  // drops those made after it.
  using Savepoint = std::size_t;
  Savepoint savepoint() const { return undo_.size(); }
  void rollback(Savepoint to);

  bool fault() const { return fault_; }

  // What is to be applied to the base, sorted by key, one update per key that was written; writing
  // the base's own value or removing an absent leaf changes nothing there. The overlay is empty
  // afterwards.
  std::vector<Update> take_updates();

 private:
  struct Undo {
    Key key;
    bool was_dirty;
    std::optional<Bytes> before;  // the dirty value, if was_dirty
  };

  void set(const Key& key, std::optional<Bytes> value);

  const Reader& base_;
  std::map<Key, std::optional<Bytes>> dirty_;
  std::vector<Undo> undo_;
  mutable bool fault_ = false;
};

}  // namespace bftmeta::tree
