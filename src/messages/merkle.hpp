// The two hash trees of agreement, both in the shape of RFC 6962 section 2.1 (the left subtree of n
// leaves holds the largest power of two below n): replies of one batch under reply_root, headers of
// all batches under history_root. Leaves and nodes are hashed by the domain functions of
// certificate.hpp, so that a leaf is never a node and one tree's node is never the other's.
// Thread-safety: pure functions.
#pragma once

#include <span>

#include "messages/certificate.hpp"
#include "schema/records.hpp"

namespace bftmeta::messages {

using NodeHash = Hash (*)(const Hash& left, const Hash& right);  // reply_node or history_node

// Root over leaf hashes. No leaves: 32 zero bytes (a count of 0 stands beside every root).
Hash merkle_root(std::span<const Hash> leaves, NodeHash node);
// Sibling hashes from leaf `index` upwards. Precondition: index < leaves.size().
std::vector<Hash> merkle_path(std::span<const Hash> leaves, std::size_t index, NodeHash node);
// Whether `path` leads from `leaf` at `index` to `root` in a tree of `count` leaves (RFC 9162
// section 2.1.3.2). Any input is allowed; a path of another length than the tree has is refused.
bool verify_merkle_path(const Hash& leaf, std::uint64_t index, std::uint64_t count,
                        std::span<const Hash> path, const Hash& root, NodeHash node);

// The history tree grows by one header per batch; its frontier is what is kept of it in the state.
// False when the frontier is not one (peaks do not match the count), as in a hostile record.
bool valid_frontier(const schema::HistoryFrontier& frontier);
// Preconditions: valid_frontier(frontier).
void append_history(schema::HistoryFrontier& frontier, const BatchHeader& header);
Hash history_root(const schema::HistoryFrontier& frontier);

}  // namespace bftmeta::messages
