// Writes a partial tree (docs/formats/tree.md), part by part in pre-order; PartialTree::parse is
// the reader. What is shown is the caller's decision: proofs (prove.cpp), fragments (fragment.cpp).
// Thread-safety: plain value.
#pragma once

#include "base/codec.hpp"
#include "tree/hashing.hpp"
#include "tree/node.hpp"
#include "tree/proof.hpp"

namespace bftmeta::tree {

class PartialTreeWriter {
 public:
  PartialTreeWriter() : encoder_(out_) { encoder_.put(kPartialTreeVersion); }
  PartialTreeWriter(const PartialTreeWriter&) = delete;
  PartialTreeWriter& operator=(const PartialTreeWriter&) = delete;

  std::size_t size() const { return out_.size(); }
  Bytes take() { return std::move(out_); }

  void empty() { put_token(Token::empty); }
  // Its two children follow.
  void node(const Node& node) {
    put_token(Token::node);
    encoder_.put(node.bitlen());
    encoder_.put(node.count());
  }
  void leaf(const Node& leaf) {
    put_key(Token::leaf, leaf);
    encoder_.put(static_cast<std::uint32_t>(leaf.value().size()));
    put_bytes(leaf.value());
  }
  void redacted(const Node& leaf) {
    put_key(Token::redacted, leaf);
    encoder_.put(value_hash(leaf.value()));
  }
  void stub(const Node& node) {
    put_token(Token::stub);
    encoder_.put(node.bitlen());
    put_bytes(node.prefix());
    encoder_.put(node.count());
    encoder_.put(node.child(false).hash());
    encoder_.put(node.child(true).hash());
  }
  void pruned(const Hash& hash) {
    put_token(Token::pruned);
    encoder_.put(hash);
  }

 private:
  void put_key(Token token, const Node& leaf) {
    put_token(token);
    encoder_.put(static_cast<std::uint8_t>(leaf.key().size()));
    put_bytes(leaf.key());
  }
  void put_token(Token token) { encoder_.put(static_cast<std::uint8_t>(token)); }
  void put_bytes(ByteView bytes) { out_.insert(out_.end(), bytes.begin(), bytes.end()); }

  Bytes out_;
  codec::Encoder encoder_;
};

}  // namespace bftmeta::tree
