#include "tree/fragment.hpp"

#include <algorithm>

#include "base/mutant.hpp"
#include "tree/partial_tree_writer.hpp"

namespace bftmeta::tree {

namespace {

struct Located {
  Ref ref;  // empty: no leaf there
  Region at;
};

// The subtree of all leaves in `region`. Its node is loaded, unless it has the hash `wanted`.
Result<Located> locate(const Version& version, const Region& region, const Hash* wanted,
                       NodeCache& cache) {
  const Loader loader = version.loader(&cache);
  Located found{version.root(), Region{}};
  while (!found.ref.empty()) {
    if (wanted != nullptr && found.ref.hash() == *wanted) return found;
    BFTMETA_ASSIGN(NodePtr held, loader.load(found.ref, found.at, nullptr));
    const Node& node = *held.get();
    const std::size_t shared = std::min(region.bits, node.path_bits());
    if (common_bits(node.path(), region.prefix) < shared) return Located{};
    if (node.path_bits() >= region.bits) {
      found.ref = Ref(found.ref.hash(), found.ref.count(), found.ref.bitlen(), std::move(held));
      return found;
    }
    if (node.is_leaf()) return Located{};
    const bool side = region.prefix.bit(node.bitlen());
    found.at = Region::below(node, side);
    Ref next = node.child(side);
    found.ref = std::move(next);
  }
  return Located{};
}

// Pre-order. The left child of an opened node is always shown, hence never both are pruned. Depth
// of the recursion: at most kMaxBits.
class Cutter {
 public:
  Cutter(const Loader& loader, std::size_t max_bytes) : loader_(loader), max_bytes_(max_bytes) {}

  Result<Bytes> run(const Ref& ref, const Region& region, std::size_t levels) {
    if (ref.empty())
      out_.empty();
    else
      BFTMETA_TRY(emit(ref, region, levels));
    return out_.take();
  }

 private:
  Status emit(const Ref& ref, const Region& region, std::size_t levels) {
    BFTMETA_ASSIGN(const NodePtr held, loader_.load(ref, region, nullptr));
    const Node& node = *held.get();
    if (node.is_leaf()) {
      out_.leaf(node);
      return {};
    }
    if (levels == 0 || full()) {
      out_.stub(node);
      return {};
    }
    out_.node(node);
    BFTMETA_TRY(emit(node.child(false), Region::below(node, false), levels - 1));
    if (!full()) return emit(node.child(true), Region::below(node, true), levels - 1);
    out_.pruned(node.child(true).hash());
    return {};
  }

  bool full() const { return out_.size() >= max_bytes_; }

  const Loader& loader_;
  const std::size_t max_bytes_;
  PartialTreeWriter out_;
};

}  // namespace

Result<std::optional<Bytes>> fragment(const Version& version, const Subtree& subtree,
                                      const FragmentLimits& limits, NodeCache& cache) {
  BFTMETA_ASSIGN(const Located found, locate(version, subtree.region, &subtree.hash, cache));
  const bool same = found.ref.empty() ? subtree.hash == empty_hash() && subtree.region.bits == 0 &&
                                            version.leaf_count() == 0
                                      : found.ref.hash() == subtree.hash;
  if (!same) return std::optional<Bytes>();
  const Loader loader = version.loader(&cache);
  BFTMETA_ASSIGN(Bytes bytes,
                 Cutter(loader, limits.max_bytes).run(found.ref, found.at, limits.levels));
  return std::optional(std::move(bytes));
}

Result<bool> holds(const Version& own, const Subtree& subtree, NodeCache& cache) {
  BFTMETA_ASSIGN(const Located found, locate(own, subtree.region, &subtree.hash, cache));
  return !found.ref.empty() && found.ref.hash() == subtree.hash;
}

Result<bool> holds_any(const Version& own, const Region& region, NodeCache& cache) {
  BFTMETA_ASSIGN(const Located found, locate(own, region, nullptr, cache));
  return !found.ref.empty();
}

std::vector<Subtree> unreadable(const Version& own, const std::vector<Subtree>& places) {
  NodeCache cache;
  std::vector<Subtree> rotten;
  for (const Subtree& place : places) {
    if (holds_any(own, place.region, cache)) continue;
    std::vector<Subtree> met = own.take_rotten();
    if (met.empty()) met.push_back(place);  // the store gives nothing at all
    for (Subtree& here : met)
      if (std::ranges::find(rotten, here) == rotten.end()) rotten.push_back(std::move(here));
  }
  return rotten;
}

// Walks the parts of a partial tree in pre-order with an explicit stack.
class Comparison {
 public:
  Comparison(const Version& own, const PartialTree& theirs, NodeCache& cache)
      : own_(own), theirs_(theirs), cache_(cache) {}

  Result<Difference> run(const Region& region) {
    stack_.push_back({0, region, 0});
    while (!stack_.empty()) {
      const Step step = std::move(stack_.back());
      stack_.pop_back();
      BFTMETA_TRY(take(theirs_.items_[step.item], step));
    }
    return std::move(out_);
  }

 private:
  using Item = PartialTree::Item;
  struct Step {
    std::uint32_t item;
    Region region;
    std::uint64_t above;  // leaves of the node above
  };

  Status take(const Item& item, const Step& step) {
    const Region& region = step.region;
    switch (item.token) {
      case Token::empty: surplus(region.prefix, region.end()); return {};
      case Token::pruned: return not_shown(region, theirs_.hash_at(item.hash_at), step.above - 1);
      case Token::redacted:
        if (mutant(Mutant::leafless_accepted)) return {};
        return fail(Errc::unverified, "fragment: a leaf without its value; ask another replica");
      default: break;
    }
    const Key path = truncate(theirs_.key_of(item), PartialTree::path_bits(item));
    const std::size_t bits = PartialTree::path_bits(item);
    if (bits < region.bits || common_bits(path, region.prefix) < region.bits)
      return fail(Errc::unverified, "fragment: a path outside its region; ask another replica");
    BFTMETA_TRY(beside(region, path, bits));
    if (item.token == Token::leaf) return leaf(path, theirs_.value_of(item));
    const Region left{extend(path, item.bitlen, false), item.bitlen + std::size_t{1}};
    const Region right{extend(path, item.bitlen, true), item.bitlen + std::size_t{1}};
    if (item.token == Token::node) {
      stack_.push_back({item.right, right, item.count});
      stack_.push_back({item.left, left, item.count});
      return {};
    }
    BFTMETA_TRY(not_shown(left, theirs_.hash_at(item.hash_at), item.count - 1));
    return not_shown(right, theirs_.hash_at(item.hash_at + sizeof(Hash)), item.count - 1);
  }

  Status not_shown(const Region& region, const Hash& hash, std::uint64_t leaves) {
    BFTMETA_ASSIGN(const bool same, holds(own_, {region, hash}, cache_));
    if (!same) out_.not_shown.push_back({{region, hash}, leaves});
    return {};
  }

  Status leaf(const Key& key, ByteView value) {
    BFTMETA_ASSIGN(const std::optional<Bytes> held, own_.read(key, &cache_));
    if (!held || !equal(*held, value)) out_.missing.push_back({key, to_bytes(value)});
    return {};
  }

  // All their leaves in `region` begin with `path`: own ones that do not are too many.
  Status beside(const Region& region, const Key& path, std::size_t bits) {
    BFTMETA_ASSIGN(const Located own, locate(own_, region, nullptr, cache_));
    if (own.ref.empty()) return {};
    const Node& node = *own.ref.node().get();
    if (node.path_bits() >= bits && common_bits(node.path(), path) >= bits) return {};
    surplus(region.prefix, path);
    if (const auto behind = Region{path, bits}.end()) surplus(*behind, region.end());
    return {};
  }

  void surplus(const Key& from, const std::optional<Key>& to) {
    if (!to || from < *to) out_.surplus.push_back({from, to});
  }

  const Version& own_;
  const PartialTree& theirs_;
  NodeCache& cache_;
  std::vector<Step> stack_;
  Difference out_;
};

Result<Difference> compare(const Version& own, const PartialTree& theirs, const Region& region,
                           NodeCache& cache) {
  return Comparison(own, theirs, cache).run(region);
}

}  // namespace bftmeta::tree
