#include "tree/proof.hpp"

#include "base/assert.hpp"
#include "base/codec.hpp"
#include "base/limits.hpp"
#include "tree/hashing.hpp"

namespace bftmeta::tree {

// Reads tokens from left to right. Nodes that wait for their children are on an explicit stack,
// which is at most kMaxBits deep because `bitlen` grows from parent to child.
class PartialTree::Parser {
 public:
  explicit Parser(PartialTree& tree) : tree_(tree), in_(tree.bytes_) {}

  Status run() {
    std::uint8_t version = 0;
    in_.get("version", version);
    if (in_.ok() && version != kPartialTreeVersion) return defect("unknown format version");
    do {
      if (const char* reason = next_part()) return defect(reason);
      if (!in_.ok()) return defect(in_.error_reason());
    } while (!open_.empty());
    if (!in_.rest().empty()) return defect("trailing bytes");
    tree_.root_hash_ = done_hash_;
    return {};
  }

 private:
  // A node whose children are still being read.
  struct Open {
    std::uint32_t item;
    bool left_done = false;
    Hash left_hash{};
  };

  tl::unexpected<Error> defect(const char* reason) const {
    return fail(Errc::unverified, "partial tree: " + std::string(reason) + " at byte " +
                                      std::to_string(tree_.bytes_.size() - in_.rest().size()) +
                                      "; the proof is forged or damaged, ask another replica");
  }

  // All helpers return what is wrong, or nullptr.
  const char* next_part() {
    std::uint8_t raw = 0;
    in_.get("token", raw);
    if (!in_.ok()) return nullptr;
    const auto token = static_cast<Token>(raw);
    const auto index = static_cast<std::uint32_t>(tree_.items_.size());
    Item& item = tree_.items_.emplace_back();
    item.token = token;
    Hash hash{};
    const char* wrong = nullptr;
    switch (token) {
      case Token::empty:
        if (!open_.empty()) return "an empty subtree";
        hash = empty_hash();
        break;
      case Token::node: return open_node(item, index);
      case Token::pruned:
        if (open_.empty()) return "a root that shows nothing";
        item.hash_at = offset();
        in_.get("hash", hash);
        break;
      case Token::stub: wrong = read_stub(item, hash); break;
      case Token::leaf:
      case Token::redacted: wrong = read_leaf(item, hash); break;
      default: return "an unknown token";
    }
    if (wrong != nullptr || !in_.ok()) return wrong;
    return finish(index, hash);
  }

  // Only a branch below its parent's can be a child; this also bounds the stack.
  const char* check_branch(const Item& item) const {
    if (!open_.empty() && item.bitlen <= tree_.items_[open_.back().item].bitlen)
      return "a node that does not branch behind its parent";
    if (item.bitlen >= kMaxBits) return "a node that branches behind the longest key";
    if (item.count >= kMaxLeaves) return "a leaf count above its limit";
    return item.count < 2 ? "a node with fewer than two leaves" : nullptr;
  }

  const char* open_node(Item& item, std::uint32_t index) {
    in_.get("bitlen", item.bitlen);
    in_.get("count", item.count);
    if (!in_.ok()) return nullptr;
    if (const char* wrong = check_branch(item)) return wrong;
    open_.push_back({index});
    return nullptr;
  }

  const char* read_key(Item& item, std::size_t size) {
    if (size > in_.rest().size()) return "truncated";
    item.key_at = offset();
    item.key_size = static_cast<std::uint8_t>(size);
    skip(size);
    return nullptr;
  }

  const char* read_stub(Item& item, Hash& hash) {
    in_.get("bitlen", item.bitlen);
    if (!in_.ok()) return nullptr;
    if (item.bitlen >= kMaxBits) return "a node that branches behind the longest key";
    if (const char* wrong = read_key(item, (item.bitlen + 7U) / 8)) return wrong;
    const ByteView prefix = tree_.key_of(item);
    if (item.bitlen % 8 != 0 && (prefix.back() & (0xffU >> (item.bitlen % 8))) != 0)
      return "a prefix that is not zero padded";
    Hash left{};
    Hash right{};
    in_.get("count", item.count);
    item.hash_at = offset();
    in_.get("left", left);
    in_.get("right", right);
    if (!in_.ok()) return nullptr;
    hash = node_hash(item.bitlen, prefix, item.count, left, right);
    return check_branch(item);
  }

  const char* read_leaf(Item& item, Hash& hash) {
    std::uint8_t key_size = 0;
    in_.get("klen", key_size);
    if (!in_.ok()) return nullptr;
    if (key_size > Key::kMaxSize) return "a key above the longest";
    if (const char* wrong = read_key(item, key_size)) return wrong;
    Hash value{};
    if (item.token == Token::leaf) {
      in_.get("vlen", item.value_size);
      if (!in_.ok()) return nullptr;
      if (item.value_size > in_.rest().size()) return "truncated";
      item.value_at = offset();
      skip(item.value_size);
      value = value_hash(tree_.value_of(item));
    } else {
      in_.get("value hash", value);
    }
    item.count = 1;
    hash = leaf_hash(tree_.key_of(item), value);
    return nullptr;
  }

  // A part is complete; so may be the nodes above it.
  const char* finish(std::uint32_t index, Hash hash) {
    while (!open_.empty()) {
      Open& open = open_.back();
      Item& parent = tree_.items_[open.item];
      if (!open.left_done) {
        open.left_done = true;
        open.left_hash = hash;
        parent.left = index;
        return nullptr;
      }
      parent.right = index;
      if (const char* wrong = check_children(parent)) return wrong;
      hash = node_hash(parent.bitlen, tree_.key_of(parent), parent.count, open.left_hash, hash);
      index = open.item;
      open_.pop_back();
    }
    done_hash_ = hash;
    return nullptr;
  }

  // Takes the parent's prefix from a child that shows it.
  const char* check_children(Item& parent) {
    const Item& left = tree_.items_[parent.left];
    const Item& right = tree_.items_[parent.right];
    const bool left_shown = left.token != Token::pruned;
    const bool right_shown = right.token != Token::pruned;
    if (!left_shown && !right_shown) return "a node of which both sides are pruned";
    for (const Item* child : {&left, &right}) {
      if (child->token == Token::pruned) continue;
      if (path_bits(*child) <= parent.bitlen) return "a key that ends before its node branches";
      if (bit_at(tree_.key_of(*child), parent.bitlen) != (child == &right))
        return "a child on the wrong side";
    }
    const Item& shown = left_shown ? left : right;
    if (left_shown && right_shown) {
      if (common_bits(tree_.key_of(left), tree_.key_of(right)) != parent.bitlen)
        return "children that do not share their parent's prefix";
      if (left.count + right.count != parent.count) return "a wrong leaf count";
    } else if (shown.count >= parent.count) {
      return "a wrong leaf count";
    }
    parent.key_at = shown.key_at;
    parent.key_size = shown.key_size;
    return nullptr;
  }

  std::uint32_t offset() const {
    return static_cast<std::uint32_t>(tree_.bytes_.size() - in_.rest().size());
  }
  void skip(std::size_t size) { in_ = codec::Decoder(in_.rest().subspan(size)); }

  PartialTree& tree_;
  codec::Decoder in_;
  std::vector<Open> open_;
  Hash done_hash_{};
};

Result<PartialTree> PartialTree::parse(ByteView bytes) {
  if (bytes.size() > limits::kMaxProof)
    return fail(Errc::limit, "partial tree: " + std::to_string(bytes.size()) +
                                 " bytes, more than the " + std::to_string(limits::kMaxProof) +
                                 " that a proof may have");
  PartialTree tree;
  tree.bytes_ = to_bytes(bytes);
  BFTMETA_TRY(Parser(tree).run());
  return tree;
}

Hash PartialTree::state_root(const Hash& cluster_id, std::uint32_t sm_version) const {
  return tree::state_root(cluster_id, sm_version, leaf_count(), root_hash_);
}

Found PartialTree::get(const Key& key, Bytes& value) const {
  const Item* item = &items_.front();
  while (true) {
    switch (item->token) {
      case Token::empty: return Found::absent;
      case Token::pruned: return Found::unknown;
      case Token::leaf:
      case Token::redacted:
        if (!equal(key_of(*item), key)) return Found::absent;
        if (item->token == Token::redacted) return Found::unknown;
        value = to_bytes(value_of(*item));
        return Found::value;
      case Token::node:
      case Token::stub:
        if (common_bits(key_of(*item), key) < item->bitlen || 8 * key.size() <= item->bitlen)
          return Found::absent;
        if (item->token == Token::stub) return Found::unknown;
        item = &items_[key.bit(item->bitlen) ? item->right : item->left];
    }
  }
}

bool PartialTree::scan(const Key& from, const std::optional<Key>& to, const Visit& visit) const {
  struct Part {
    const Item* item;
    const Item* parent;
    bool side;
  };
  std::vector<Part> stack{{&items_.front(), nullptr, false}};
  while (!stack.empty()) {
    const auto [item, parent, side] = stack.back();
    stack.pop_back();
    if (item->token == Token::empty) continue;
    if (item->token == Token::pruned) {
      const Key region = extend(key_of(*parent), parent->bitlen, side);
      if (outside_range(region, std::size_t{parent->bitlen} + 1, from, to)) continue;
      return false;
    }
    const Key path = truncate(key_of(*item), path_bits(*item));
    if (is_leaf(*item)) {
      if (path < from || (to && path >= *to)) continue;
      if (item->token == Token::redacted) return false;
      if (!visit(path, value_of(*item))) return true;
      continue;
    }
    if (outside_range(path, item->bitlen, from, to)) continue;
    if (item->token == Token::stub) return false;
    stack.push_back({&items_[item->right], item, true});
    stack.push_back({&items_[item->left], item, false});
  }
  return true;
}

std::optional<std::uint64_t> PartialTree::count(const Key& prefix) const {
  const std::size_t bits = 8 * prefix.size();
  const Item* item = &items_.front();
  while (true) {
    if (item->token == Token::empty) return 0;
    if (item->token == Token::pruned) return std::nullopt;
    const std::size_t shared = std::min(bits, path_bits(*item));
    if (common_bits(key_of(*item), prefix) < shared) return 0;
    if (path_bits(*item) >= bits) return item->count;
    if (is_leaf(*item)) return 0;
    if (item->token == Token::stub) return std::nullopt;
    item = &items_[prefix.bit(item->bitlen) ? item->right : item->left];
  }
}

}  // namespace bftmeta::tree
