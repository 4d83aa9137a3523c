// A partial tree cut into its tokens, so that a lie can be told in the format's own words.
// Thread-safety: pure functions.
#pragma once

#include "sim/random.hpp"
#include "tree/proof.hpp"

namespace bftmeta::adversary {

enum class ProofLie : std::uint8_t {
  flip,        // one bit anywhere
  truncate,    // an entry is redacted: it hashes alike and shows nothing
  omit,        // an entry and the branch to it are gone
  transplant,  // two entries have changed places
  prefix,      // a branch says that it branches elsewhere
  absent,      // an entry goes by another key
};
constexpr std::size_t kProofLies = 6;

// The lie; nullopt: this proof has nothing to tell it with.
std::optional<Bytes> forge_proof(const Bytes& proof, ProofLie lie, sim::Random& random);

// The same tree but for a byte in the value of one leaf. nullopt: it shows none.
std::optional<Bytes> altered_leaf(const Bytes& proof, sim::Random& random);

// The same tree with nothing opened below its root: it hashes alike. nullopt: nothing is.
std::optional<Bytes> closed_partial_tree(const Bytes& proof);

}  // namespace bftmeta::adversary
