// One seed, one plan: a random subset of faults with random intensities (swarm testing, Groce et
// al., ISSTA'12), the production engine and log, file-system operations as load.
#pragma once

#include "sim/adversary.hpp"

namespace bftmeta::sim {

struct SwarmOptions {
  std::uint32_t n = 0;   // 0: 4 or 7 by the seed
  std::string strategy;  // of replicas, or a hostile client; empty: by the seed, often "none"
};

struct SwarmRun {
  Plan plan;
  Attack attack;
  Report report;
  std::uint64_t lies = 0;

  std::string name() const;  // of the strategy, the hostile client, or both; "none"
};

SwarmRun run_swarm(std::uint64_t seed, const SwarmOptions& options = {});

// Of a run that broke an oracle: what fired, the smallest run that still does it, and its last
// messages. Runs the plan some dozens of times.
std::string explain(const SwarmRun& run);

}  // namespace bftmeta::sim
