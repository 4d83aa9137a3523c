// The new-view computation of PBFT with self-contained prepared certificates (protocol §5.2, §5.3):
// pure functions of Q valid VIEW-CHANGEs. Thread-safety: pure.
#pragma once

#include <map>

#include "messages/agreement.hpp"

namespace bftmeta::consensus {

struct ReproposalPlan {
  messages::Seq base_seq = 0;
  std::optional<messages::RootCert> base;  // nullopt: the start of the epoch
  std::map<messages::Seq, Hash> digests;   // O: exactly (base_seq, max seq of any entry]
};

// base = highest certificate; O[s] = digest of the entry with the highest view, or the null batch.
// Precondition: every VIEW-CHANGE passed messages::verify_view_change. Error (Errc::internal): two
// valid entries of one (seq, view) differ, which takes more than f faults; the replica halts.
Result<ReproposalPlan> plan_reproposals(const messages::EpochContext& context,
                                        const std::vector<const messages::ViewChange*>& votes);

}  // namespace bftmeta::consensus
