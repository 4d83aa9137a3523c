// State transfer works on subtrees (protocol §7.7): a fragment is a partial tree whose root is a
// subtree, cut out of a version by who has it (fragment) and laid against the own version by who
// wants it (compare). A node's hash covers its full prefix and its leaf count, so two subtrees with
// equal hashes hold the same leaves, wherever they were found.
// Thread-safety: pure functions; a NodeCache belongs to one thread.
#pragma once

#include "tree/proof.hpp"
#include "tree/recorder.hpp"
#include "tree/version.hpp"

namespace bftmeta::tree {

struct FragmentLimits {
  std::size_t levels = 0;     // of nodes that are opened below the subtree's own prefix
  std::size_t max_bytes = 0;  // soft: exceeded by one leaf and by 33 bytes per level at most
};

// The subtree with this hash, opened from its root in key order as far as the limits allow; at
// least its prefix and the hashes of its children, or its leaf, are shown. nullopt: the version has
// no such subtree in this region. Errors: corrupt, io.
Result<std::optional<Bytes>> fragment(const Version& version, const Subtree& subtree,
                                      const FragmentLimits& limits, NodeCache& cache);

// What `own` lacks of, or has beside, the map that a fragment is of.
struct Difference {
  std::vector<Update> missing;    // leaves that are shown and are not in `own`, in key order
  std::vector<KeyRange> surplus;  // no key of the other map lies in these; some of `own` may
  struct Open {
    Subtree subtree;
    std::uint64_t leaves = 0;  // at most
  };
  std::vector<Open> not_shown;  // parts that differ and are not opened, in key order
};

// Precondition: the hash of `theirs` is the one that the other map's root commits to for `region`.
// Errors: unverified (a leaf without its value, or a path outside the region); corrupt, io (`own`).
Result<Difference> compare(const Version& own, const PartialTree& theirs, const Region& region,
                           NodeCache& cache);

// Whether `own` holds exactly this subtree. Errors: corrupt, io.
Result<bool> holds(const Version& own, const Subtree& subtree, NodeCache& cache);

// Whether `own` has any leaf in the region. Errors: corrupt, io.
Result<bool> holds_any(const Version& own, const Region& region, NodeCache& cache);

// What `own` meets itself where others met `places` (Version::take_rotten), none twice. What an
// older version met may have been repaired or replaced since; and one that has more nodes in memory
// meets a part of what `own` reads as a whole, which may be sound while another part is rotten.
std::vector<Subtree> unreadable(const Version& own, const std::vector<Subtree>& places);

}  // namespace bftmeta::tree
