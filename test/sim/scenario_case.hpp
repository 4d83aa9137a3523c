// Runs one scenario file as a doctest case, for every number of replicas that it names.
#pragma once

namespace bftmeta::sim {

void run_file(const char* name);  // in test/sim/scenarios

}  // namespace bftmeta::sim
