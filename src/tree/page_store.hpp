// Where the tree is kept between restarts: a store holds numbered generations, each one complete
// tree, written atomically. The tree decides what the records say (docs/formats/tree.md), the store
// only keeps them; nothing that a store returns is believed before its hash is compared with what
// the parent commits to, so a rotten store costs availability, never a wrong answer.
// Internal nodes with at most kSmallSubtree leaves have no record: they are rebuilt from a scan.
// Thread-safety: a Snapshot may be read from any number of threads at once; a PageStore and its
// writer belong to one thread at a time, and may run beside readers of snapshots.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "tree/region.hpp"

namespace bftmeta::tree {

// Subtrees with at most this many leaves have no node records (protocol §7.6: halves the number of
// records for at most 15 node hashes at a read).
constexpr std::uint64_t kSmallSubtree = 16;

// Names a node record: the node at which keys with these first `bitlen` bits branch. `prefix` holds
// exactly (bitlen + 7) / 8 bytes, the unused low bits of the last one are zero. bitlen < 336.
// A compact database key that keeps a subtree's nodes together is prefix || u8(8 * size - bitlen).
struct NodeId {
  std::uint16_t bitlen = 0;
  Key prefix;
  friend bool operator==(const NodeId&, const NodeId&) = default;
  friend auto operator<=>(const NodeId& a, const NodeId& b) {
    const auto c = a.prefix <=> b.prefix;
    return c != 0 ? c : a.bitlen <=> b.bitlen;
  }
};

// Largest node record and root record, in bytes.
constexpr std::size_t kMaxNodeRecord = 128;

// An immutable view of one flushed generation; later generations do not change it. It is held for
// as long as versions of the tree refer to it (seconds), so it may pin a read transaction.
class Snapshot {
 public:
  virtual ~Snapshot() = default;

  // 0 for a store into which nothing was ever flushed, then one more per commit.
  virtual std::uint64_t generation() const = 0;
  // What was given to commit(); both empty in generation 0.
  virtual Bytes root_record() const = 0;
  virtual Bytes meta() const = 0;

  // nullopt: no such record. Errors: io, corrupt (the store itself could not be read).
  virtual Result<std::optional<Bytes>> leaf(const Key& key) const = 0;
  virtual Result<std::optional<Bytes>> node(const NodeId& id) const = 0;

  // Leaves with from <= key < to (nullopt: to the end) in key order until `visit` returns false.
  // The value view is valid during the visit only; `visit` does not call the snapshot.
  using Visit = std::function<bool(const Key& key, ByteView value)>;
  virtual Status scan_leaves(const Key& from, const std::optional<Key>& to,
                             const Visit& visit) const = 0;
};

// Writes the next generation as changes to the newest one. Erasing what is not there is no error.
// Destroyed without a successful commit: the store is as before. The caller erases first and puts
// afterwards; every record is put at most once.
class GenerationWriter {
 public:
  virtual ~GenerationWriter() = default;

  virtual Status put_leaf(const Key& key, ByteView value) = 0;
  virtual Status erase_leaf(const Key& key) = 0;
  virtual Status put_node(const NodeId& id, ByteView record) = 0;
  virtual Status erase_node(const NodeId& id) = 0;
  // All leaves in the region, and the records of all nodes whose keys lie in it.
  virtual Status erase_region(const Region& region) = 0;

  // All of it or nothing, also across a crash; how durable that is by itself is the store's
  // affair (protocol §3.4). `meta` is opaque: what the caller must know about this generation.
  // Returns the view of the new generation. The writer is of no use afterwards.
  virtual Result<std::shared_ptr<const Snapshot>> commit(ByteView root_record, ByteView meta) = 0;
};

class PageStore {
 public:
  virtual ~PageStore() = default;

  // The newest generation.
  virtual Result<std::shared_ptr<const Snapshot>> snapshot() const = 0;
  // At most one writer at a time.
  virtual Result<std::unique_ptr<GenerationWriter>> begin() = 0;
};

}  // namespace bftmeta::tree
