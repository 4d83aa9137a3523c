// Leaves out a part of the tree whose records cannot be believed any more (protocol §7.8).
#include "tree/hashing.hpp"
#include "tree/version.hpp"

namespace bftmeta::tree {

namespace {

// Depth of the recursion: every level consumes at least one key bit, so at most kMaxBits.
class Excision {
 public:
  Excision(const Loader& loader, std::uint32_t stamp, const Region& region, Erased& erased,
           std::vector<Subtree>& cut)
      : loader_(loader), stamp_(stamp), region_(region), erased_(erased), cut_(cut) {}

  // `at` is where `ref` lies.
  Result<Ref> cut(const Ref& ref, const Region& at) {
    if (ref.empty()) return ref;
    if (region_.covers(at.prefix, at.bits)) return gone(ref, at);
    if (!at.covers(region_.prefix, region_.bits)) return ref;
    const auto held = loader_.load(ref, at, nullptr);
    if (!held) return lost(ref, at, held.error());
    const Node& node = *held->get();
    if (region_.covers(node.path(), node.path_bits())) return gone(ref, at);
    if (node.is_leaf() || common_bits(node.path(), region_.prefix) < node.path_bits()) return ref;
    return cut_below(ref, node);
  }

 private:
  Result<Ref> cut_below(const Ref& ref, const Node& node) {
    const bool side = region_.prefix.bit(node.bitlen());
    const Region below = Region::below(node, side);
    const Region beside = Region::below(node, !side);
    BFTMETA_ASSIGN(Ref rest, cut(node.child(side), below));
    if (rest.hash() == node.child(side).hash()) return ref;
    const Ref& other = node.child(!side);
    if (ref.count() > kSmallSubtree) erased_.nodes.push_back(node_id(node));
    if (rest.empty()) {
      // It takes its parent's place, in a region of the store that it does not fill: it must not
      // be left there.
      auto sibling = loader_.load(other, beside, nullptr);
      if (!sibling) return lost(other, beside, sibling.error());
      return Ref(other.hash(), other.count(), other.bitlen(), std::move(*sibling));
    }
    Ref kept = ref.node() ? other : other.unloaded();
    return side ? make_inner_ref(stamp_, node.bitlen(), node.prefix(), std::move(kept),
                                 std::move(rest))
                : make_inner_ref(stamp_, node.bitlen(), node.prefix(), std::move(rest),
                                 std::move(kept));
  }

  Ref gone(const Ref& ref, const Region& at) {
    erased_.regions.push_back(at);
    cut_.push_back({at, ref.hash()});
    return {};
  }

  // Damaged itself, so it goes as well. Without a place that is rotten, the store is.
  Result<Ref> lost(const Ref& ref, const Region& at, const Error& error) {
    if (error.code != Errc::corrupt) return tl::make_unexpected(error);
    return gone(ref, at);
  }

  const Loader& loader_;
  const std::uint32_t stamp_;
  const Region& region_;
  Erased& erased_;
  std::vector<Subtree>& cut_;
};

}  // namespace

Result<Version> Version::without(const Region& region, std::vector<Subtree>& cut) const {
  NodeCache cache;
  const Loader loader = this->loader(&cache);
  auto erased = std::make_shared<Erased>();
  BFTMETA_ASSIGN(Ref root, Excision(loader, epoch_, region, *erased, cut).cut(root_, Region{}));
  return with(std::move(root), std::move(erased));
}

}  // namespace bftmeta::tree
