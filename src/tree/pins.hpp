// Which nodes stay in memory: those with more leaves than a threshold, which follows the size of
// the tree in powers of two, so that it rarely moves. Thread-safety: pure functions.
#pragma once

#include "tree/loader.hpp"

namespace bftmeta::tree {

// Nodes with more leaves than this are about `pinned_nodes` or fewer (in a balanced tree of n
// leaves about 2n/t nodes have more than t).
std::uint64_t pin_threshold(std::uint64_t leaf_count, std::uint64_t pinned_nodes);

// `root` with all its pinned nodes loaded, and the rest as it was; so is what is rotten.
Result<Ref> load_pinned(const Loader& loader, const Ref& root, std::uint64_t pin_above);

// `root` without the nodes that are in the store and not pinned. Nodes with stamp <= `clean` are in
// the store; those with stamp <= `trimmed` (none without it) were trimmed before with the same
// threshold. Nodes under a parent that is not in the store stay: the region of an unloaded
// reference must be exact.
Ref trim(const Ref& root, std::uint32_t clean, std::optional<std::uint32_t> trimmed,
         std::uint64_t pin_above);

}  // namespace bftmeta::tree
