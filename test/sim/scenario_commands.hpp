// What the lines of a scenario do. Thread-safety: pure functions; the commands change the cluster
// that they are given.
#pragma once

#include "sim/scenario_words.hpp"

namespace bftmeta::sim::scenario {

using Run = std::function<Status(Cluster&)>;

Result<Run> parse_command(const Words& words, std::uint32_t n, std::uint32_t clients);

// One file in the root directory, by the next free name.
std::vector<schema::Operation> simple_bundle(Random& random);

}  // namespace bftmeta::sim::scenario
