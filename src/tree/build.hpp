// A tree from sorted leaves, from scratch: new leaves of a batch, and small subtrees that have no
// node records in the store. Thread-safety: pure functions.
#pragma once

#include <span>

#include "tree/node.hpp"

namespace bftmeta::tree {

// Preconditions: sorted by key, no key twice, none a prefix of another.
Ref build(std::uint32_t stamp, std::span<Ref> leaves);

}  // namespace bftmeta::tree
