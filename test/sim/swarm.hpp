// One seed, one plan: a random subset of faults with random intensities (swarm testing, Groce et
// al., ISSTA'12), the production engine and log, file-system operations as load.
#pragma once

#include "sim/adversary.hpp"

namespace bftmeta::sim {

struct SwarmOptions {
  std::uint32_t n = 0;   // 0: 4 or 7 by the seed
  std::string strategy;  // of replicas, or a hostile client; empty: by the seed, often "none"
  // Four replicas and little that goes wrong beside the strategy: a power cut or two, or a
  // partition, in two of three seeds. What happens then is the strategy's doing.
  bool calm = false;
  // Four replicas become seven, and four again, whatever else goes wrong: one of those that stay
  // may be faulty, and two of the seven. Strategies of epochs are always run so.
  bool reconfigure = false;
};

// Calm seeds from here on are long, with much load. The strategy is the first primary's (even) or
// the second one's, and the first loses power when its best is known (odd).
constexpr std::uint64_t kLoaded = 1000;
// And from here on busy from the first moment, on a network that loses and delays some messages;
// what else goes wrong is the strategy's doing.
constexpr std::uint64_t kBusy = 2000;

struct SwarmRun {
  Plan plan;
  Attack attack;
  Report report;
  std::uint64_t lies = 0;

  std::string name() const;  // of the strategy, the hostile client, or both; "none"
};

// Four replicas become seven, and four again.
void add_memberships(Plan& plan);
// This correct replica will miss so much that it has to fetch the state (protocol §7.7).
void add_outage(Plan& plan, messages::ReplicaId absent);
// The production log; where somebody is to miss something, it keeps nothing for him.
std::unique_ptr<LogDevice> make_log(const Plan& plan, Random random);

SwarmRun run_swarm(std::uint64_t seed, const SwarmOptions& options = {});

// Of a run that broke an oracle: what fired, the smallest run that still does it, and its last
// messages. Runs the plan some dozens of times.
std::string explain(const SwarmRun& run);

}  // namespace bftmeta::sim
