#include "tree/build.hpp"

#include <algorithm>

#include "tree/hashing.hpp"

namespace bftmeta::tree {

Ref build(std::uint32_t stamp, std::span<Ref> leaves) {
  if (leaves.empty()) return {};
  if (leaves.size() == 1) return std::move(leaves.front());
  const ByteView first = leaves.front().node().get()->key();
  const ByteView last = leaves.back().node().get()->key();
  const std::size_t branch = common_bits(first, last);
  BFTMETA_ASSERT(branch < 8 * first.size() && branch < 8 * last.size());
  const auto split = std::ranges::partition_point(
      leaves, [&](const Ref& leaf) { return !bit_at(leaf.node().get()->key(), branch); });
  const auto left_size = static_cast<std::size_t>(split - leaves.begin());
  const Key prefix = truncate(first, branch);
  Ref left = build(stamp, leaves.first(left_size));
  Ref right = build(stamp, leaves.subspan(left_size));
  return make_inner_ref(stamp, static_cast<std::uint16_t>(branch), prefix, std::move(left),
                        std::move(right));
}

}  // namespace bftmeta::tree
