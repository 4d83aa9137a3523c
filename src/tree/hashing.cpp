#include "tree/hashing.hpp"

#include <bit>

#include "base/assert.hpp"
#include "crypto/hash.hpp"

namespace bftmeta::tree {

namespace {

// Writes the first `bits` bits of `from` and zeros behind them up to `size` bytes.
void copy_bits(std::uint8_t* to, std::size_t size, ByteView from, std::size_t bits) {
  const std::size_t whole = bits / 8;
  BFTMETA_ASSERT((bits + 7) / 8 <= from.size() && (bits + 7) / 8 <= size);
  std::copy_n(from.begin(), whole, to);
  std::fill(to + whole, to + size, std::uint8_t{0});
  if (bits % 8 != 0) to[whole] = static_cast<std::uint8_t>(from[whole] & (0xff00U >> (bits % 8)));
}

}  // namespace

std::size_t common_bits(ByteView a, ByteView b) {
  const std::size_t size = std::min(a.size(), b.size());
  std::size_t i = 0;
  for (; i + 8 <= size; i += 8) {
    const std::uint64_t x = load_be64(a.data() + i) ^ load_be64(b.data() + i);
    if (x != 0) return i * 8 + static_cast<std::size_t>(std::countl_zero(x));
  }
  for (; i < size; ++i) {
    const auto x = static_cast<std::uint8_t>(a[i] ^ b[i]);
    if (x != 0) return i * 8 + static_cast<std::size_t>(std::countl_zero(x));
  }
  return size * 8;
}

Key truncate(ByteView key, std::size_t bits) {
  std::uint8_t raw[Key::kMaxSize];
  copy_bits(raw, sizeof raw, key, bits);
  return Key(ByteView(raw, (bits + 7) / 8));
}

Key extend(ByteView key, std::size_t bits, bool side) {
  BFTMETA_ASSERT(bits < kMaxBits);
  std::uint8_t raw[Key::kMaxSize];
  copy_bits(raw, sizeof raw, key, bits);
  if (side) raw[bits / 8] = static_cast<std::uint8_t>(raw[bits / 8] | (0x80U >> (bits % 8)));
  return Key(ByteView(raw, bits / 8 + 1));
}

int compare_subtree(ByteView prefix, std::size_t bits, const Key& key) {
  const std::size_t common = std::min(common_bits(prefix, key), bits);
  if (common == bits) return 0;
  // All keys below are longer than `key` and begin with it.
  if (common == 8 * key.size()) return 1;
  return bit_at(prefix, common) ? 1 : -1;
}

bool outside_range(ByteView prefix, std::size_t bits, const Key& from,
                   const std::optional<Key>& to) {
  if (to && *to <= from) return true;
  // The padded prefix is not greater than any key below it.
  if (to && !std::ranges::lexicographical_compare(prefix, to->view())) return true;
  return compare_subtree(prefix, bits, from) < 0;
}

Hash empty_hash() {
  static const Hash hash = crypto::Hasher(tags::Domain::trie_empty).finish();
  return hash;
}

Hash value_hash(ByteView value) {
  return crypto::Hasher(tags::Domain::trie_value).update(value).finish();
}

Hash leaf_hash(ByteView key, const Hash& value_hash) {
  return crypto::Hasher(tags::Domain::trie_leaf)
      .update_u8(static_cast<std::uint8_t>(key.size()))
      .update(key)
      .update(value_hash)
      .finish();
}

Hash node_hash(std::uint16_t bitlen, ByteView prefix, std::uint64_t leaf_count, const Hash& left,
               const Hash& right) {
  std::uint8_t padded[Key::kMaxSize];
  copy_bits(padded, sizeof padded, prefix, bitlen);
  return crypto::Hasher(tags::Domain::trie_node)
      .update_u16(bitlen)
      .update(padded)
      .update_u64(leaf_count)
      .update(left)
      .update(right)
      .finish();
}

Hash state_root(const Hash& cluster_id, std::uint32_t sm_version, std::uint64_t leaf_count,
                const Hash& root) {
  return crypto::Hasher(tags::Domain::state_root)
      .update(cluster_id)
      .update_u32(sm_version)
      .update_u64(leaf_count)
      .update(root)
      .finish();
}

}  // namespace bftmeta::tree
