// A partial tree: the part of the authenticated map that somebody needs, with hashes in place of
// the rest (docs/formats/tree.md). Parsing checks its shape and computes its root; if that root is
// the certified one, every answer it gives is true, and what it does not show is "unknown". It is
// read through Reader by the same query code that a replica ran.
// Invariants: no I/O; no recursion on received bytes; one encoding per partial tree (every byte is
// either hashed into the root or checked).
// Thread-safety: a value; const calls may run concurrently.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "tree/reader.hpp"

namespace bftmeta::tree {

constexpr std::uint8_t kPartialTreeVersion = 1;

// First byte of every part of a partial tree, in pre-order.
enum class Token : std::uint8_t {
  empty = 0,   // the tree without a leaf; only alone
  node = 1,    // bitlen u16 | leaf count u64, then the left and the right part
  pruned = 2,  // hash(32)
  stub = 3,  // bitlen u16 | prefix, (bitlen + 7) / 8 bytes | leaf count u64 | left(32) | right(32)
  leaf = 4,  // klen u8 | key | vlen u32 | value
  redacted = 5,  // klen u8 | key | value hash(32)
};

class PartialTree final : public Reader {
 public:
  // Errors: unverified (anything that is wrong with the bytes), limit (above kMaxProof).
  static Result<PartialTree> parse(ByteView bytes);

  const Hash& root_hash() const { return root_hash_; }
  std::uint64_t leaf_count() const { return items_.front().count; }
  // What a certificate must say for this partial tree to be believed.
  Hash state_root(const Hash& cluster_id, std::uint32_t sm_version) const;

  Found get(const Key& key, Bytes& value) const override;
  bool scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const override;
  std::optional<std::uint64_t> count(const Key& prefix) const override;

 private:
  class Parser;
  friend class Comparison;  // fragment.cpp

  // One token. Bytes are offsets into bytes_: the key of a leaf, or key bytes that begin with the
  // prefix of a node or stub.
  struct Item {
    Token token = Token::empty;
    std::uint8_t key_size = 0;
    std::uint16_t bitlen = 0;
    std::uint32_t key_at = 0;
    std::uint32_t value_at = 0;  // of a leaf
    std::uint32_t value_size = 0;
    std::uint32_t hash_at = 0;  // of what is pruned, or of a stub's left child, then its right one
    std::uint32_t left = 0;     // of a node
    std::uint32_t right = 0;
    std::uint64_t count = 0;  // unknown (0) when pruned
  };

  PartialTree() = default;
  ByteView key_of(const Item& item) const {
    return ByteView(bytes_).subspan(item.key_at, item.key_size);
  }
  ByteView value_of(const Item& item) const {
    return ByteView(bytes_).subspan(item.value_at, item.value_size);
  }
  Hash hash_at(std::uint32_t at) const {
    Hash hash;
    std::copy_n(bytes_.begin() + at, hash.size(), hash.begin());
    return hash;
  }
  static bool is_leaf(const Item& item) {
    return item.token == Token::leaf || item.token == Token::redacted;
  }
  // Bits that all leaves below have in common. Not for empty and pruned.
  static std::size_t path_bits(const Item& item) {
    return is_leaf(item) ? std::size_t{8} * item.key_size : item.bitlen;
  }

  Bytes bytes_;
  std::vector<Item> items_;  // pre-order; the root is first
  Hash root_hash_{};
};

}  // namespace bftmeta::tree
