// What a Byzantine replica makes up in a scenario (`inject`): signed with its own key, and a lie.
#pragma once

#include "sim/cluster.hpp"

namespace bftmeta::sim::scenario {

struct Forgery {
  std::string type;
  messages::ReplicaId from = 0;
  messages::View view = 0;
  messages::Seq seq = 0;
  std::uint64_t salt = 0;  // tells several apart
  std::uint64_t body = 0;  // of a proposal: beside the digest lies the batch of another salt
};

bool forgeable(const std::string& type);
// In the order of sending. Fails if the run has not come far enough to make it up.
Result<std::vector<messages::PeerMessage>> forge(const Cluster& cluster, const Forgery& what);

}  // namespace bftmeta::sim::scenario
