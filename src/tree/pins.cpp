#include "tree/pins.hpp"

namespace bftmeta::tree {

namespace {

Result<Ref> load_below(const Loader& loader, const Ref& ref, const Region& region,
                       std::uint64_t pin_above) {
  if (ref.count() <= pin_above) return ref;
  const auto held = loader.load(ref, region, nullptr);
  if (!held && held.error().code == Errc::corrupt) return ref;
  if (!held) return tl::make_unexpected(held.error());
  const Node& node = *held->get();
  BFTMETA_ASSIGN(Ref left,
                 load_below(loader, node.child(false), Region::below(node, false), pin_above));
  BFTMETA_ASSIGN(Ref right,
                 load_below(loader, node.child(true), Region::below(node, true), pin_above));
  return Ref(ref.hash(), ref.count(), ref.bitlen(),
             Node::make_inner(0, node.bitlen(), node.prefix(), std::move(left), std::move(right)));
}

class Trimmer {
 public:
  Trimmer(std::uint32_t clean, std::optional<std::uint32_t> trimmed, std::uint64_t pin_above)
      : clean_(clean), trimmed_(trimmed), pin_above_(pin_above) {}

  Ref trim(const Ref& ref, bool parent_clean) const {
    if (!ref.node()) return ref;
    const Node& node = *ref.node().get();
    const bool clean = node.stamp() <= clean_;
    if (clean && parent_clean && ref.count() <= pin_above_) return ref.unloaded();
    if (node.is_leaf() || (trimmed_ && node.stamp() <= *trimmed_)) return ref;
    Ref left = trim(node.child(false), clean);
    Ref right = trim(node.child(true), clean);
    if (left.node().get() == node.child(false).node().get() &&
        right.node().get() == node.child(true).node().get())
      return ref;
    return {ref.hash(), ref.count(), ref.bitlen(),
            Node::make_inner(node.stamp(), node.bitlen(), node.prefix(), std::move(left),
                             std::move(right))};
  }

 private:
  std::uint32_t clean_;
  std::optional<std::uint32_t> trimmed_;
  std::uint64_t pin_above_;
};

}  // namespace

std::uint64_t pin_threshold(std::uint64_t leaf_count, std::uint64_t pinned_nodes) {
  std::uint64_t threshold = kSmallSubtree;
  while (2 * leaf_count / threshold > pinned_nodes) threshold *= 2;
  return threshold;
}

Result<Ref> load_pinned(const Loader& loader, const Ref& root, std::uint64_t pin_above) {
  return load_below(loader, root, Region{}, pin_above);
}

Ref trim(const Ref& root, std::uint32_t clean, std::optional<std::uint32_t> trimmed,
         std::uint64_t pin_above) {
  // Above the root the store and the version agree only if nothing is newer than the store.
  const bool root_clean = root.node() && root.node().get()->stamp() <= clean;
  return Trimmer(clean, trimmed, pin_above).trim(root, root_clean);
}

}  // namespace bftmeta::tree
