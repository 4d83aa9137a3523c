#include "messages/merkle.hpp"

#include <bit>

#include "base/assert.hpp"

namespace bftmeta::messages {

namespace {
// Where RFC 6962 splits n >= 2 leaves: the largest power of two below n.
std::size_t split(std::size_t n) { return std::bit_floor(n - 1); }
}  // namespace

Hash merkle_root(std::span<const Hash> leaves, NodeHash node) {
  if (leaves.empty()) return {};
  if (leaves.size() == 1) return leaves[0];
  const std::size_t k = split(leaves.size());
  const Hash left = merkle_root(leaves.first(k), node);
  const Hash right = merkle_root(leaves.subspan(k), node);
  return node(left, right);
}

std::vector<Hash> merkle_path(std::span<const Hash> leaves, std::size_t index, NodeHash node) {
  BFTMETA_ASSERT(index < leaves.size());
  std::vector<Hash> path;
  while (leaves.size() > 1) {
    const std::size_t k = split(leaves.size());
    if (index < k) {
      path.push_back(merkle_root(leaves.subspan(k), node));
      leaves = leaves.first(k);
    } else {
      path.push_back(merkle_root(leaves.first(k), node));
      leaves = leaves.subspan(k);
      index -= k;
    }
  }
  std::ranges::reverse(path);
  return path;
}

bool verify_merkle_path(const Hash& leaf, std::uint64_t index, std::uint64_t count,
                        std::span<const Hash> path, const Hash& root, NodeHash node) {
  if (index >= count) return false;
  std::uint64_t at = index;
  std::uint64_t last = count - 1;
  Hash hash = leaf;
  for (const Hash& sibling : path) {
    if (last == 0) return false;
    if ((at & 1) != 0 || at == last) {
      hash = node(sibling, hash);
      // The right edge of an incomplete tree skips the levels at which it has no sibling.
      while ((at & 1) == 0 && at != 0) {
        at >>= 1;
        last >>= 1;
      }
    } else {
      hash = node(hash, sibling);
    }
    at >>= 1;
    last >>= 1;
  }
  return last == 0 && hash == root;
}

bool valid_frontier(const schema::HistoryFrontier& frontier) {
  return frontier.peaks.size() == static_cast<std::size_t>(std::popcount(frontier.count));
}

void append_history(schema::HistoryFrontier& frontier, const BatchHeader& header) {
  BFTMETA_ASSERT(valid_frontier(frontier));
  Hash hash = history_leaf(header);
  for (std::uint64_t bits = frontier.count; (bits & 1) != 0; bits >>= 1) {
    hash = history_node(frontier.peaks.back(), hash);
    frontier.peaks.pop_back();
  }
  frontier.peaks.push_back(hash);
  ++frontier.count;
}

Hash history_root(const schema::HistoryFrontier& frontier) {
  BFTMETA_ASSERT(valid_frontier(frontier));
  if (frontier.peaks.empty()) return {};
  Hash root = frontier.peaks.back();
  for (std::size_t i = frontier.peaks.size() - 1; i-- > 0;)
    root = history_node(frontier.peaks[i], root);
  return root;
}

}  // namespace bftmeta::messages
