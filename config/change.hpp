// What one reconfiguration may change (protocol §9.2). A member is its vote key: the same key at
// another position or address is the same member, another key under an old id is another member.
// Thread-safety: pure functions.
#pragma once

#include "config/genesis.hpp"

namespace bftmeta::config {

struct Difference {
  std::vector<std::uint32_t> joining;  // positions in the next configuration
  std::vector<std::uint32_t> leaving;  // positions in the one before
};
Difference difference(const Config& from, const Config& to);

// Position of the member with this vote key.
std::optional<std::uint32_t> position_of(const Config& config, const PublicKey& vote_key);

// Ok if `to` may follow `from`: valid by itself, the next epoch and at most limits::kMaxEpochs, the
// same versions, and either as many members of which at most f are new, or three members more or
// three fewer and nobody replaced. Addresses, link keys and admins may change in any step. The
// error names both quorums.
Status check_step(const Config& from, const Config& to);

}  // namespace bftmeta::config
