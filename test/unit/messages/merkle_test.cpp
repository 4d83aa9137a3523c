#include "messages/merkle.hpp"

#include <doctest/doctest.h>

#include "samples.hpp"

using namespace bftmeta;
using namespace bftmeta::messages;

namespace {

std::vector<Hash> leaves_of(std::size_t n) {
  std::vector<Hash> leaves;
  for (std::size_t i = 0; i < n; ++i) leaves.push_back(history_leaf(test::sample_header(i + 1)));
  return leaves;
}

// RFC 6962 section 2.1 by levels instead of by splitting: an odd last node rises unchanged.
Hash root_by_levels(std::vector<Hash> level, NodeHash node) {
  if (level.empty()) return {};
  while (level.size() > 1) {
    std::vector<Hash> above;
    for (std::size_t i = 0; i + 1 < level.size(); i += 2)
      above.push_back(node(level[i], level[i + 1]));
    if (level.size() % 2 == 1) above.push_back(level.back());
    level = std::move(above);
  }
  return level[0];
}

}  // namespace

TEST_CASE("root, frontier and a second construction agree for all sizes") {
  schema::HistoryFrontier frontier;
  CHECK(history_root(frontier) == Hash{});
  for (std::size_t n = 1; n <= 130; ++n) {
    append_history(frontier, test::sample_header(n));
    CHECK(frontier.count == n);
    CHECK(valid_frontier(frontier));
    const auto leaves = leaves_of(n);
    CHECK(merkle_root(leaves, history_node) == history_root(frontier));
    CHECK(root_by_levels(leaves, history_node) == history_root(frontier));
  }
}

TEST_CASE("every path verifies at its own place and nowhere else") {
  for (std::size_t n = 1; n <= 33; ++n) {
    const auto leaves = leaves_of(n);
    const Hash root = merkle_root(leaves, reply_node);
    for (std::size_t i = 0; i < n; ++i) {
      const auto path = merkle_path(leaves, i, reply_node);
      CHECK(verify_merkle_path(leaves[i], i, n, path, root, reply_node));
      for (std::size_t k = 0; k < n + 2; ++k)
        if (k != i) CHECK_FALSE(verify_merkle_path(leaves[i], k, n, path, root, reply_node));
      if (n > 1) CHECK_FALSE(verify_merkle_path(leaves[i], i, n, path, root, history_node));
    }
  }
}

TEST_CASE("a defective path is refused") {
  const std::size_t n = 11;
  const auto leaves = leaves_of(n);
  const Hash root = merkle_root(leaves, reply_node);
  for (std::size_t i = 0; i < n; ++i) {
    const auto path = merkle_path(leaves, i, reply_node);
    for (std::size_t k = 0; k < path.size(); ++k) {
      auto bad = path;
      bad[k][31] ^= 1;
      CHECK_FALSE(verify_merkle_path(leaves[i], i, n, bad, root, reply_node));
    }
    auto longer = path;
    longer.push_back({});
    CHECK_FALSE(verify_merkle_path(leaves[i], i, n, longer, root, reply_node));
    auto shorter = path;
    shorter.pop_back();
    CHECK_FALSE(verify_merkle_path(leaves[i], i, n, shorter, root, reply_node));
    CHECK_FALSE(verify_merkle_path(root, 0, n, {}, root, reply_node));  // a node is no leaf
    CHECK_FALSE(verify_merkle_path(leaves[(i + 1) % n], i, n, path, root, reply_node));
  }
  CHECK_FALSE(verify_merkle_path(leaves[0], 0, 0, {}, {}, reply_node));
  CHECK_FALSE(verify_merkle_path(leaves[0], ~0ULL, ~0ULL, {}, leaves[0], reply_node));
}

TEST_CASE("a hostile frontier is noticed") {
  schema::HistoryFrontier f;
  f.count = 3;
  f.peaks = {Hash{}};
  CHECK_FALSE(valid_frontier(f));
  f.peaks.push_back({});
  CHECK(valid_frontier(f));
}
