// From a run that broke an oracle to the smallest one that still breaks it: the shortest failing
// prefix of the fault schedule, then without single faults, in a shorter window, on a better
// network, with less load. Greedy, deterministic, a few dozen runs. Thread-safety: pure function of
// its arguments.
#pragma once

#include "sim/cluster.hpp"

namespace bftmeta::sim {

using RunPlan = std::function<Report(const Plan&)>;

struct Minimized {
  Plan plan;
  Report report;           // of that plan
  std::uint32_t runs = 0;  // that it took
};

// The oracle of a violation: its first word ("S4").
std::string oracle_of(const std::string& violation);

// Precondition: `failed` is what `run` reports of `plan`, and has a violation.
Minimized minimize(Plan plan, Report failed, const RunPlan& run);

// For people: what fired, the schedule, what the network did.
std::string describe(const Minimized& minimized);

}  // namespace bftmeta::sim
