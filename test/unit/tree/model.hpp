// What the tests compare the tree with: a std::map, and the hash definition of docs/formats/tree.md
// written down a second time, without any code of the tree room. Random keys come from shapes that
// make the set prefix-free, as schema/keys.hpp does.
#pragma once

#include <doctest/doctest.h>
#include <openssl/sha.h>

#include <map>
#include <random>

#include "base/bytes.hpp"
#include "tree/version.hpp"

namespace bftmeta::tree::test {

using Model = std::map<Key, Bytes>;
using Rng = std::mt19937_64;

inline Hash sha(const Bytes& in) {
  Hash out;
  SHA256(in.data(), in.size(), out.data());
  return out;
}

inline void add_le(Bytes& out, std::uint64_t v, int bytes) {
  for (int i = 0; i < bytes; ++i) out.push_back(static_cast<std::uint8_t>(v >> (8 * i)));
}

template <class T>
void add(Bytes& out, const T& bytes) {
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// Root of the leaves in [first, last), which agree in their first `bit` bits; one bit at a time.
inline Hash naive_root(Model::const_iterator first, Model::const_iterator last,
                       std::size_t bit = 0) {
  if (first == last) return sha({0x02});
  const auto count = static_cast<std::uint64_t>(std::distance(first, last));
  if (count == 1) {
    Bytes value{0x04};
    add(value, first->second);
    Bytes leaf;
    add_le(leaf, first->first.size() << 8, 2);  // the domain byte 0, then the length
    add(leaf, first->first.view());
    add(leaf, sha(value));
    return sha(leaf);
  }
  auto split = first;
  while (split != last && !split->first.bit(bit)) ++split;
  if (split == first || split == last) return naive_root(first, last, bit + 1);
  Bytes node{0x01};
  add_le(node, bit, 2);
  for (std::size_t byte = 0; byte < 42; ++byte) {
    int b = 0;
    for (std::size_t i = byte * 8; i < byte * 8 + 8; ++i)
      b = b * 2 + (i < bit && first->first.bit(i) ? 1 : 0);
    node.push_back(static_cast<std::uint8_t>(b));
  }
  add_le(node, count, 8);
  add(node, naive_root(first, split, bit + 1));
  add(node, naive_root(split, last, bit + 1));
  return sha(node);
}
inline Hash naive_root(const Model& m) { return naive_root(m.begin(), m.end()); }

// Keys of fixed length per (first byte, kind byte), a few of which repeat often.
class KeySource {
 public:
  explicit KeySource(std::uint64_t inodes) : inodes_(inodes) {}

  Key operator()(Rng& rng) const {
    const std::uint64_t ino = rng() % inodes_;
    Key key;
    switch (rng() % 5) {
      case 0: return key.append_u8(0x10).append_be64(ino).append_u8(0x00);
      case 1: {
        key.append_u8(0x10).append_be64(ino % 3).append_u8(0x10);
        Rng name(rng() % inodes_);
        for (int i = 0; i < 4; ++i) key.append_be64(name());
        return key;
      }
      case 2:
        return key.append_u8(0x10).append_be64(ino).append_u8(0x30).append_be64(rng() % 4 << 20);
      case 3: return key.append_u8(0x30).append_be64(ino).append_be64(rng() % 2);
      default: return key.append_u8(0x60).append_u8(static_cast<std::uint8_t>(rng() % 4));
    }
  }

 private:
  std::uint64_t inodes_;
};

inline Bytes random_value(Rng& rng) {
  Bytes value(rng() % 40);
  for (auto& b : value) b = static_cast<std::uint8_t>(rng());
  return value;
}

// A batch against the model, which it changes: puts, overwrites, erasures, and updates that change
// nothing.
inline std::vector<Update> random_batch(Rng& rng, Model& model, const KeySource& keys,
                                        std::size_t size, unsigned erase_percent) {
  std::map<Key, std::optional<Bytes>> batch;
  for (std::size_t i = 0; i < size; ++i) {
    const Key key = keys(rng);
    if (rng() % 100 < erase_percent)
      batch[key] = std::nullopt;
    else if (const auto it = model.find(key); it != model.end() && rng() % 8 == 0)
      batch[key] = it->second;
    else
      batch[key] = random_value(rng);
  }
  std::vector<Update> updates;
  for (auto& [key, value] : batch) {
    if (value)
      model[key] = *value;
    else
      model.erase(key);
    updates.push_back({key, value});
  }
  return updates;
}

inline std::vector<Update> updates_of(const Model& model) {
  std::vector<Update> updates;
  for (const auto& [key, value] : model) updates.push_back({key, value});
  return updates;
}

inline Version applied(const Version& base, const std::vector<Update>& updates) {
  Result<Version> next = base.apply(updates);
  REQUIRE(next);
  return *next;
}

// Every leaf by get, all of it by scan, and counts, against the model.
inline bool same_content(const Reader& reader, const Model& model) {
  auto it = model.begin();
  bool same = true;
  const bool known = reader.scan(Key(), std::nullopt, [&](const Key& key, ByteView value) {
    same = it != model.end() && it->first == key && equal(it->second, value);
    if (same) ++it;
    return same;
  });
  if (!known || !same || it != model.end()) return false;
  if (reader.count(Key()) != model.size()) return false;
  Bytes value;
  for (const auto& [key, expected] : model)
    if (reader.get(key, value) != Found::value || value != expected) return false;
  return true;
}

inline std::uint64_t model_count(const Model& model, const Key& prefix) {
  std::uint64_t n = 0;
  for (auto it = model.lower_bound(prefix); it != model.end() && it->first.starts_with(prefix);
       ++it)
    ++n;
  return n;
}

}  // namespace bftmeta::tree::test
