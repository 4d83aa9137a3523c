// One seed, one plan: a random subset of faults with random intensities (swarm testing, Groce et
// al., ISSTA'12), the production engine and log, file-system operations as load.
#pragma once

#include "sim/cluster.hpp"

namespace bftmeta::sim {

struct SwarmOptions {
  std::uint32_t n = 0;   // 0: 4 or 7 by the seed
  std::string strategy;  // of replicas, or a hostile client; empty: by the seed, often "none"
};

struct SwarmRun {
  Report report;
  std::string strategy;  // "none" for a run without a Byzantine replica
  std::string client;    // hostile; empty: none
  std::uint64_t lies = 0;
};

SwarmRun run_swarm(std::uint64_t seed, const SwarmOptions& options = {});

}  // namespace bftmeta::sim
