#include <algorithm>

#include "base/limits.hpp"
#include "tree/partial_tree_writer.hpp"
#include "tree/recorder.hpp"

namespace bftmeta::tree {

namespace {

// What somebody wants to know about a subtree. Each list is sorted, ranges are disjoint.
struct Interest {
  std::span<const Key> keys;
  std::span<const KeyRange> ranges;
  std::vector<Key> counted;  // few: one per count()

  bool empty() const { return keys.empty() && ranges.empty() && counted.empty(); }
};

std::vector<KeyRange> merged(std::vector<KeyRange> ranges) {
  std::ranges::sort(ranges, {}, &KeyRange::from);
  std::vector<KeyRange> out;
  for (const KeyRange& range : ranges) {
    if (out.empty() || (out.back().to && *out.back().to < range.from)) {
      out.push_back(range);
    } else if (out.back().to && (!range.to || *range.to > *out.back().to)) {
      out.back().to = range.to;
    }
  }
  return out;
}

// The ranges that a subtree may have keys in.
std::span<const KeyRange> ranges_within(std::span<const KeyRange> ranges, ByteView prefix,
                                        std::size_t bits) {
  const auto outside = [&](const KeyRange& r) { return outside_range(prefix, bits, r.from, r.to); };
  const auto before = [&](const KeyRange& r) {  // it ends before the subtree begins
    return r.to && !std::ranges::lexicographical_compare(prefix, r.to->view());
  };
  auto first = std::ranges::partition_point(ranges, before);
  auto last =
      std::partition_point(first, ranges.end(), [&](const KeyRange& r) { return !outside(r); });
  return {first, last};
}

// Pre-order walk. Depth of the recursion: at most kMaxBits.
class Prover {
 public:
  explicit Prover(const Loader& loader) : loader_(loader) {}

  Result<Bytes> run(const Ref& root, const Interest& interest) {
    if (root.empty())
      out_.empty();
    else
      BFTMETA_TRY(emit(root, Region{}, interest));
    return out_.take();
  }

 private:
  // `ref` is shown at least as far as its prefix.
  Status emit(const Ref& ref, const Region& region, const Interest& interest) {
    if (out_.size() > limits::kMaxProof)
      return fail(Errc::limit, "proof: larger than the " + std::to_string(limits::kMaxProof) +
                                   " bytes that a partial tree may have; ask for less at a time");
    const Key* hint = interest.keys.empty() ? nullptr : &interest.keys.front();
    BFTMETA_ASSIGN(const NodePtr held, loader_.load(ref, region, hint));
    const Node& node = *held.get();
    if (node.is_leaf()) {
      emit_leaf(node, interest);
      return {};
    }
    const Interest left = below(node, false, interest);
    const Interest right = below(node, true, interest);
    if (left.empty() && right.empty()) {
      out_.stub(node);
      return {};
    }
    out_.node(node);
    BFTMETA_TRY(emit_child(node, false, left));
    return emit_child(node, true, right);
  }

  Status emit_child(const Node& node, bool side, const Interest& interest) {
    const Ref& child = node.child(side);
    if (!interest.empty()) return emit(child, Region::below(node, side), interest);
    out_.pruned(child.hash());
    return {};
  }

  void emit_leaf(const Node& leaf, const Interest& interest) {
    const Key key(leaf.key());
    const bool wanted = std::ranges::binary_search(interest.keys, key) ||
                        std::ranges::any_of(interest.ranges, [&](const KeyRange& r) {
                          return r.from <= key && (!r.to || key < *r.to);
                        });
    if (wanted)
      out_.leaf(leaf);
    else
      out_.redacted(leaf);
  }

  // What is left to be asked of a child once the node's own prefix and count are known.
  static Interest below(const Node& node, bool side, const Interest& interest) {
    const Region region = Region::below(node, side);
    Interest out;
    const auto first = std::ranges::partition_point(interest.keys, [&](const Key& key) {
      return compare_subtree(region.prefix, region.bits, key) > 0;
    });
    const auto last = std::partition_point(first, interest.keys.end(), [&](const Key& key) {
      return compare_subtree(region.prefix, region.bits, key) == 0;
    });
    out.keys = {first, last};
    if (!ranges_within(interest.ranges, node.prefix(), node.bitlen()).empty())
      out.ranges = ranges_within(interest.ranges, region.prefix, region.bits);
    for (const Key& prefix : interest.counted)
      if (8 * prefix.size() > node.bitlen() && common_bits(prefix, region.prefix) >= region.bits)
        out.counted.push_back(prefix);
    return out;
  }

  const Loader& loader_;
  PartialTreeWriter out_;
};

}  // namespace

Result<Bytes> prove(const Recorder& recorder) {
  if (recorder.fault()) {
    return fail(Errc::corrupt,
                "proof: something that the query touched could not be read from the tree store; "
                "ask another replica");
  }
  const std::vector<Key> keys(recorder.keys().begin(), recorder.keys().end());
  const std::vector<KeyRange> ranges = merged(recorder.ranges());
  const Interest interest{keys, ranges, {recorder.counted().begin(), recorder.counted().end()}};
  const Loader loader = recorder.version().loader();
  BFTMETA_ASSIGN(Bytes proof, Prover(loader).run(recorder.version().version().root(), interest));
  if (proof.size() > limits::kMaxProof)
    return fail(Errc::limit, "proof: " + std::to_string(proof.size()) + " bytes, more than the " +
                                 std::to_string(limits::kMaxProof) +
                                 " that a partial tree may have; ask for less at a time");
  return proof;
}

}  // namespace bftmeta::tree
