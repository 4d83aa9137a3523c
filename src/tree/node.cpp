#include "tree/node.hpp"

#include <new>

#include "tree/hashing.hpp"

namespace bftmeta::tree {

Node* Node::allocate(std::size_t size) { return ::new (::operator new(size)) Node(); }

NodePtr Node::make_leaf(std::uint32_t stamp, ByteView key, ByteView value) {
  BFTMETA_ASSERT(key.size() <= Key::kMaxSize && value.size() <= UINT32_MAX);
  Node* node = allocate(sizeof(Node) + key.size() + value.size());
  node->stamp_ = stamp;
  node->bitlen_ = kLeafBits;
  node->key_size_ = static_cast<std::uint8_t>(key.size());
  node->value_size_ = static_cast<std::uint32_t>(value.size());
  std::copy(key.begin(), key.end(), node->tail(sizeof(Node)));
  std::copy(value.begin(), value.end(), node->tail(sizeof(Node)) + key.size());
  return NodePtr(node);
}

NodePtr Node::make_inner(std::uint32_t stamp, std::uint16_t bitlen, ByteView prefix, Ref left,
                         Ref right) {
  static_assert(sizeof(Node) % alignof(Ref) == 0);
  BFTMETA_ASSERT(bitlen < kMaxBits);
  const Key bits = truncate(prefix, bitlen);
  const std::size_t children = children_at(bits.size());
  Node* node = allocate(children + 2 * sizeof(Ref));
  node->stamp_ = stamp;
  node->bitlen_ = bitlen;
  node->key_size_ = static_cast<std::uint8_t>(bits.size());
  std::copy_n(bits.data(), bits.size(), node->tail(sizeof(Node)));
  ::new (node->tail(children)) Ref(std::move(left));
  ::new (node->tail(children + sizeof(Ref))) Ref(std::move(right));
  return NodePtr(node);
}

// Recursion through the children ends after at most kMaxBits levels.
void Node::destroy(const Node* node) {
  if (!node->is_leaf()) {
    node->child(false).~Ref();
    node->child(true).~Ref();
  }
  auto* raw = const_cast<Node*>(node);
  raw->~Node();
  ::operator delete(raw);
}

Ref make_leaf_ref(std::uint32_t stamp, ByteView key, ByteView value) {
  return {leaf_hash(key, value_hash(value)), 1, kLeafBits, Node::make_leaf(stamp, key, value)};
}

Ref make_inner_ref(std::uint32_t stamp, std::uint16_t bitlen, ByteView prefix, Ref left,
                   Ref right) {
  const std::uint64_t count = left.count() + right.count();
  const Hash hash = node_hash(bitlen, prefix, count, left.hash(), right.hash());
  return {hash, count, bitlen,
          Node::make_inner(stamp, bitlen, prefix, std::move(left), std::move(right))};
}

}  // namespace bftmeta::tree
