// The hash definitions of the tree (protocol §7.3, docs/formats/tree.md) and the bit arithmetic on
// keys that goes with them. A node's prefix is given as any bytes that begin with its bits; bits
// from `bitlen` on are ignored. Thread-safety: pure functions.
#pragma once

#include "base/bytes.hpp"

namespace bftmeta::tree {

// Key bits are at most 8 * Key::kMaxSize, so internal nodes branch at bits below that.
constexpr std::size_t kMaxBits = 8 * Key::kMaxSize;

// A tree has fewer leaves than this: sums of counts cannot overflow, and a count shares 8 bytes
// with a bit length in memory. At 10^5 new leaves a second it lasts 89 years.
constexpr std::uint64_t kMaxLeaves = 1ULL << 48;

// Length in bits of the longest common prefix.
std::size_t common_bits(ByteView a, ByteView b);
// The first `bits` bits, zero padded to whole bytes. Precondition: bits <= 8 * key.size().
Key truncate(ByteView key, std::size_t bits);
// The first `bits` bits and then one more bit of value `side`. Precondition: as truncate, and
// bits < kMaxBits.
Key extend(ByteView key, std::size_t bits, bool side);
inline bool bit_at(ByteView key, std::size_t i) {
  return i / 8 < key.size() && ((key[i / 8] >> (7 - i % 8)) & 1) != 0;
}
// Orders all keys that begin with the first `bits` bits of `prefix` against `key`: -1 all are
// smaller, 1 all are greater, 0 neither is certain.
int compare_subtree(ByteView prefix, std::size_t bits, const Key& key);
// No key that begins with these bits has from <= key < to. `prefix` is zero padded behind `bits`.
bool outside_range(ByteView prefix, std::size_t bits, const Key& from,
                   const std::optional<Key>& to);

Hash empty_hash();
Hash value_hash(ByteView value);
Hash leaf_hash(ByteView key, const Hash& value_hash);
Hash node_hash(std::uint16_t bitlen, ByteView prefix, std::uint64_t leaf_count, const Hash& left,
               const Hash& right);
Hash state_root(const Hash& cluster_id, std::uint32_t sm_version, std::uint64_t leaf_count,
                const Hash& root);

}  // namespace bftmeta::tree
