// The nodes of the tree in memory. A Node is immutable once it is shared and is counted
// intrusively; a Ref is a child's commitment (hash, leaf count, where it branches) with the node
// itself, or without it when it is left in the store. Key or prefix and value lie directly behind
// the object: no second allocation, about 130 bytes per internal node.
// Thread-safety: the count is atomic; everything else is written before the node is shared.
#pragma once

#include <atomic>
#include <utility>

#include "base/assert.hpp"
#include "base/bytes.hpp"
#include "tree/hashing.hpp"

namespace bftmeta::tree {

// Ref::bitlen() of a leaf.
constexpr std::uint16_t kLeafBits = 0xffff;

class Node;

class NodePtr {
 public:
  NodePtr() = default;
  explicit NodePtr(const Node* adopted) : node_(adopted) {}
  NodePtr(const NodePtr& other);
  NodePtr(NodePtr&& other) noexcept : node_(std::exchange(other.node_, nullptr)) {}
  NodePtr& operator=(NodePtr other) noexcept {
    std::swap(node_, other.node_);
    return *this;
  }
  ~NodePtr();

  const Node* get() const { return node_; }
  explicit operator bool() const { return node_ != nullptr; }

 private:
  const Node* node_ = nullptr;
};

// A subtree as its parent sees it. count() == 0: the empty tree.
class Ref {
 public:
  Ref() = default;
  Ref(const Hash& hash, std::uint64_t count, std::uint16_t bitlen, NodePtr node)
      : node_(std::move(node)), shape_(count << 16 | bitlen), hash_(hash) {
    BFTMETA_ASSERT(count < kMaxLeaves);
  }

  const Hash& hash() const { return hash_; }
  std::uint64_t count() const { return shape_ >> 16; }
  std::uint16_t bitlen() const { return static_cast<std::uint16_t>(shape_); }
  bool empty() const { return count() == 0; }
  bool is_leaf() const { return bitlen() == kLeafBits; }
  const NodePtr& node() const { return node_; }
  Ref unloaded() const { return {hash_, count(), bitlen(), NodePtr()}; }

 private:
  NodePtr node_;
  std::uint64_t shape_ = 0;  // leaf count in the upper 48 bits, bitlen below
  Hash hash_{};
};

class Node {
 public:
  // Epoch of the tree (version.hpp) in which the node was made; 0: it came from the store.
  std::uint32_t stamp() const { return stamp_; }
  bool is_leaf() const { return bitlen_ == kLeafBits; }

  // Leaves.
  ByteView key() const { return {tail(sizeof(Node)), key_size_}; }
  ByteView value() const { return {tail(sizeof(Node)) + key_size_, value_size_}; }

  // Internal nodes.
  std::uint16_t bitlen() const { return bitlen_; }
  ByteView prefix() const { return {tail(sizeof(Node)), key_size_}; }
  const Ref& child(bool side) const {
    return reinterpret_cast<const Ref*>(tail(children_at(key_size_)))[side ? 1 : 0];
  }
  std::uint64_t count() const { return child(false).count() + child(true).count(); }

  // The bits that all keys below have in common, and how many these are.
  ByteView path() const { return {tail(sizeof(Node)), key_size_}; }
  std::size_t path_bits() const { return is_leaf() ? 8U * key_size_ : bitlen_; }

  static NodePtr make_leaf(std::uint32_t stamp, ByteView key, ByteView value);
  // `prefix` begins with the node's bits.
  static NodePtr make_inner(std::uint32_t stamp, std::uint16_t bitlen, ByteView prefix, Ref left,
                            Ref right);

 private:
  friend class NodePtr;
  // The prefix comes first: a walk down looks at it and at one pointer, mostly in one cache line.
  static constexpr std::size_t children_at(std::size_t prefix_size) {
    return sizeof(Node) + (prefix_size + alignof(Ref) - 1) / alignof(Ref) * alignof(Ref);
  }

  Node() = default;
  static Node* allocate(std::size_t size);
  const std::uint8_t* tail(std::size_t offset) const {
    return reinterpret_cast<const std::uint8_t*>(this) + offset;
  }
  std::uint8_t* tail(std::size_t offset) { return reinterpret_cast<std::uint8_t*>(this) + offset; }
  static void destroy(const Node* node);

  mutable std::atomic<std::uint32_t> owners_{1};
  std::uint32_t stamp_ = 0;
  std::uint32_t value_size_ = 0;
  std::uint16_t bitlen_ = 0;
  std::uint8_t key_size_ = 0;  // bytes of the key or of the prefix
};
static_assert(sizeof(Node) == 16);

inline NodePtr::NodePtr(const NodePtr& other) : node_(other.node_) {
  if (node_ != nullptr) node_->owners_.fetch_add(1, std::memory_order_relaxed);
}
inline NodePtr::~NodePtr() {
  if (node_ != nullptr && node_->owners_.fetch_sub(1, std::memory_order_acq_rel) == 1)
    Node::destroy(node_);
}

// A new leaf or internal node with its hash.
Ref make_leaf_ref(std::uint32_t stamp, ByteView key, ByteView value);
Ref make_inner_ref(std::uint32_t stamp, std::uint16_t bitlen, ByteView prefix, Ref left, Ref right);

}  // namespace bftmeta::tree
