// One recursive pass over a sorted batch (protocol §7.5).
#include <algorithm>

#include "tree/build.hpp"
#include "tree/hashing.hpp"
#include "tree/version.hpp"

namespace bftmeta::tree {

namespace {

using Updates = std::span<const Update>;

// Depth of the recursion: every level consumes at least one key bit, so at most kMaxBits.
class Applier {
 public:
  Applier(const Loader& loader, std::uint32_t stamp, Erased& erased)
      : loader_(loader), stamp_(stamp), erased_(erased) {}

  // The subtree after its updates; `ref` itself if they change nothing.
  Result<Ref> merge(const Ref& ref, const Region& region, Updates updates) {
    if (updates.empty()) return ref;
    if (ref.empty()) return insert(updates);
    BFTMETA_ASSIGN(const NodePtr held, loader_.load(ref, region, &updates.front().key));
    return merge_loaded(ref, held, updates);
  }

 private:
  static std::size_t split(Updates updates, std::size_t bit) {
    const auto right =
        std::ranges::partition_point(updates, [bit](const Update& u) { return !u.key.bit(bit); });
    return static_cast<std::size_t>(right - updates.begin());
  }

  // New leaves where the tree has none.
  Ref insert(Updates updates) const {
    std::vector<Ref> leaves;
    for (const Update& u : updates)
      if (u.value) leaves.push_back(make_leaf_ref(stamp_, u.key, *u.value));
    return build(stamp_, leaves);
  }

  Result<Ref> merge_loaded(const Ref& ref, const NodePtr& held, Updates updates) {
    const Node& node = *held.get();
    const Key& first = updates.front().key;
    const Key& last = updates.back().key;
    const std::size_t common =
        std::min(common_bits(first, node.path()), common_bits(last, node.path()));
    if (common < node.path_bits()) {
      BFTMETA_ASSERT(common < 8 * first.size() && common < 8 * last.size());
      return beside(ref, held, common, updates);
    }
    if (node.is_leaf()) return replace(ref, node, updates);
    Result<Ref> merged = descend(ref, node, updates);
    if (merged) note_record(ref, *merged, node);
    return merged;
  }

  // Some updates lie beside the subtree: it and they part at bit `common`.
  Result<Ref> beside(const Ref& ref, const NodePtr& held, std::size_t common, Updates updates) {
    const Node& node = *held.get();
    const bool side = bit_at(node.path(), common);
    const std::size_t left_size = split(updates, common);
    const Updates left = updates.first(left_size);
    const Updates right = updates.subspan(left_size);
    const Updates inside = side ? right : left;
    Ref old = ref;
    if (!inside.empty()) {
      BFTMETA_ASSIGN(old, merge_loaded(ref, held, inside));
    }
    Ref added = insert(side ? left : right);
    if (added.empty()) return old;
    if (old.empty()) return added;
    const auto bitlen = static_cast<std::uint16_t>(common);
    return side ? make_inner_ref(stamp_, bitlen, node.path(), std::move(added), std::move(old))
                : make_inner_ref(stamp_, bitlen, node.path(), std::move(old), std::move(added));
  }

  Result<Ref> replace(const Ref& ref, const Node& leaf, Updates updates) {
    const Update& u = updates.front();
    BFTMETA_ASSERT(updates.size() == 1 && equal(u.key, leaf.key()));
    if (!u.value) {
      erased_.leaves.push_back(u.key);
      return Ref();
    }
    if (equal(*u.value, leaf.value())) return ref;
    return make_leaf_ref(stamp_, u.key, *u.value);
  }

  Result<Ref> descend(const Ref& ref, const Node& node, Updates updates) {
    const std::size_t left_size = split(updates, node.bitlen());
    const Ref& old_left = node.child(false);
    const Ref& old_right = node.child(true);
    BFTMETA_ASSIGN(Ref left, merge(old_left, Region::below(node, false), updates.first(left_size)));
    BFTMETA_ASSIGN(Ref right,
                   merge(old_right, Region::below(node, true), updates.subspan(left_size)));
    if (left.empty() && right.empty()) return Ref();
    if (left.empty()) return lifted(std::move(right), Region::below(node, true));
    if (right.empty()) return lifted(std::move(left), Region::below(node, false));
    const bool same_left = left.hash() == old_left.hash();
    const bool same_right = right.hash() == old_right.hash();
    if (same_left && same_right) return ref;
    // The node was loaded for this batch: what is not touched below it goes back to the store.
    if (!ref.node() && same_left) left = old_left.unloaded();
    if (!ref.node() && same_right) right = old_right.unloaded();
    return make_inner_ref(stamp_, node.bitlen(), node.prefix(), std::move(left), std::move(right));
  }

  // Remembers the record of a node that is no longer there or has become too small for one.
  void note_record(const Ref& before, const Ref& after, const Node& node) {
    const bool had = before.count() > kSmallSubtree;
    const bool has = after.count() > kSmallSubtree && after.bitlen() == before.bitlen();
    if (had && !has) erased_.nodes.push_back(node_id(node));
  }

  // A sibling takes its parent's place. The region that it lies in then also holds what was just
  // erased, so it can not be left in the store.
  Result<Ref> lifted(Ref ref, const Region& region) const {
    BFTMETA_ASSIGN(NodePtr node, loader_.load(ref, region, nullptr));
    return Ref(ref.hash(), ref.count(), ref.bitlen(), std::move(node));
  }

  const Loader& loader_;
  std::uint32_t stamp_;
  Erased& erased_;
};

void check_preconditions(Updates updates) {
  for (std::size_t i = 1; i < updates.size(); ++i) {
    const Key& before = updates[i - 1].key;
    BFTMETA_ASSERT(before < updates[i].key && !updates[i].key.starts_with(before));
  }
}

}  // namespace

Result<Version> Version::apply(std::span<const Update> sorted, NodeCache* cache) const {
  check_preconditions(sorted);
  const Loader loader = this->loader(cache);
  auto erased = std::make_shared<Erased>();
  BFTMETA_ASSIGN(Ref root, Applier(loader, epoch_, *erased).merge(root_, Region{}, sorted));
  return with(std::move(root), std::move(erased));
}

Version Version::with(Ref root, std::shared_ptr<Erased> erased) const {
  Version next = *this;
  next.root_ = std::move(root);
  if (erased->leaves.empty() && erased->nodes.empty() && erased->regions.empty()) return next;
  erased->epoch = epoch_;
  erased->before = erased_;
  next.erased_ = std::move(erased);
  return next;
}

}  // namespace bftmeta::tree
