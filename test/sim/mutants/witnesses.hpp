// For each strategy of test/adversary a defect that it finds and few others do: the check that is
// its opponent. Kept as data, so that the whole map can be verified in minutes (scripts/mutants
// --witnesses) and the "few others" counted when there is time (--strategies). Thread-safety:
// constants; the functions print, one thread.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "base/mutant.hpp"

namespace bftmeta::mutants {

struct Witness {
  const char* strategy;  // of replicas, or a hostile client
  Mutant mutant;
  std::uint64_t seed;  // of the calm swarm, with which it dies
};
std::span<const Witness> witnesses();

// With its seed no more strategies than this may be killers, the witness's own one included.
constexpr std::size_t kMostKillers = 4;

struct MapOptions {
  std::uint64_t seeds = 10;  // for each strategy and defect; 0: those of the witnesses
  std::uint64_t start = 1;
  std::vector<std::uint32_t> defects;   // by number; empty: those of witnesses()
  std::vector<std::string> strategies;  // empty: all
};

// Each witness again: its defect dies under its strategy, and is quiet without the one and without
// the other. False: not so. Strategies that have none are named (docs/known-limitations.md).
bool verify_witnesses();

// Strategies against defects: prints each kill with its seed, then who kills what. False: with one
// of the seeds a defect has more killers than kMostKillers, without those that wrap another.
bool print_map(const MapOptions& options);

}  // namespace bftmeta::mutants
