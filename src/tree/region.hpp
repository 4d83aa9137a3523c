// Parts of the key space that a trie's nodes stand for. Thread-safety: plain values.
#pragma once

#include <optional>

#include "base/bytes.hpp"

namespace bftmeta::tree {

class Node;

// The part of the key space in which a reference lies: keys that begin with these bits.
struct Region {
  Key prefix;
  std::size_t bits = 0;

  static Region below(const Node& parent, bool side);
  // The smallest key behind the region.
  std::optional<Key> end() const;
  // Whether everything that begins with the first `path_bits` bits of `path` lies in it.
  bool covers(ByteView path, std::size_t path_bits) const;

  friend bool operator==(const Region&, const Region&) = default;
};

// Names the leaves whose keys begin with the region's bits, by the hash of their subtree.
struct Subtree {
  Region region;
  Hash hash{};

  friend bool operator==(const Subtree&, const Subtree&) = default;
};

}  // namespace bftmeta::tree
