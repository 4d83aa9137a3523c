// One seed, one plan: a random subset of faults with random intensities (swarm testing, Groce et
// al., ISSTA'12), the production engine and log, file-system operations as load.
#pragma once

#include "sim/cluster.hpp"

namespace bftmeta::sim {

struct SwarmOptions {
  std::uint32_t n = 0;   // 0: 4 or 7 by the seed
  std::string strategy;  // empty: by the seed, often none; "a+b": two replicas, where f allows
};

struct SwarmRun {
  Plan plan;
  Report report;
  std::string strategy;  // "none" for a run without a Byzantine replica
  std::uint64_t lies = 0;
  std::string diagram;  // Mermaid: the last messages before an oracle fired
};

// The first name in "a+b" that is neither a strategy nor "none"; empty: all are known.
std::string unknown_strategy(const std::string& names);

SwarmRun run_swarm(std::uint64_t seed, const SwarmOptions& options = {});

// Of a run that broke an oracle: what fired, the smallest run that still does it, and its last
// messages. Runs the plan some dozens of times.
std::string explain(std::uint64_t seed, const SwarmRun& run);

}  // namespace bftmeta::sim
