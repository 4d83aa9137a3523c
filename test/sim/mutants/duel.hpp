// One run of a strategy against a defect, in a process of its own, because a defect may end it or
// make it endless. Thread-safety: one thread.
#pragma once

#include <string>

#include "base/mutant.hpp"

namespace bftmeta::mutants {

// Of `seed` in the calm swarm. `strategy`: of replicas or a client, or "none".
struct Duel {
  std::string strategy;
  Mutant mutant = Mutant::none;
  std::uint64_t seed = 1;
  bool reconfigure = false;  // members change, as they do for strategies of epochs
};

// What an oracle says, or how the process ended; empty: nothing is noticed.
std::string fight(const Duel& duel);

// A kill is the strategy's own only if the same seed is quiet without the defect and without the
// strategy. Empty: it is none.
std::string kill(const Duel& duel);

}  // namespace bftmeta::mutants
