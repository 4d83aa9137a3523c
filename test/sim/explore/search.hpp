// Exhaustive search of the small case over the production core: breadth first, so the first
// violation is a shortest one, counted in moves. A state is the three correct replicas (nodes of
// lives.hpp) and how many power cuts there were; messages need no place in it, because what a
// replica ever said is part of its node and may be delivered at any time or never, and the
// Byzantine replica has no state: what it can sign is always there.
//
// What is left out, and why it loses nothing:
// * Loss, delay, reordering and duplication: using what was said is optional, and stays possible.
// * Moves of two replicas that do not see each other commute: their order is not part of a state.
// * What is delivered and changes neither log nor statements is as good as not delivered yet, since
//   it can be delivered together with what makes the difference. So PREPAREs, COMMITs and shares
//   come in sets, the smallest first, and a set without an effect leaves the node alone.
// * Which of several signers prove one thing, and the reason in a VIEW-CHANGE: nobody looks at
// them.
// * Time: any two peers may suspect a primary at any time, which is more than timers can do.
// * A power cut between two moves takes what was not synced, and everything was; one before a sync
//   is a move of its own where something was said before that sync.
//
// What is left out and may lose something, on purpose or for the sake of size:
// * A message without an effect when it comes that changes what a later one does (a correct core
//   has none: it counts by view and digest; some defects are of this kind).
// * Evidence makes a correct replica leave a view; here it may leave at any time, but is seldom
// made
//   to. Answers to HELLO after the second. A second batch in flight at a correct primary.
// * A primary gets no item for a number that it has proposed for in this view, unless a power cut
//   has taken the proposal from its log (a correct one has left the view by then).
// * That ends of two histories behave alike where Seat::digest() cannot tell them apart: compared
// on
//   demand, with one other history of each node (lives.hpp).
// Thread-safety: one thread.
#pragma once

#include "sim/explore/menu.hpp"

namespace bftmeta::sim::explore {

struct Options {
  Scope scope;
  double seconds = 60;                    // then it is cut off
  std::uint64_t max_states = 60'000'000;  // likewise; 32 bytes each
  std::size_t max_nodes = 150'000;        // likewise; about 20 KB each
  bool only_agreement = false;            // other defects of a correct replica are passed over
  bool check_merging = false;             // see lives.hpp
};

struct Findings {
  std::uint64_t states = 0;
  std::uint64_t transitions = 0;
  std::uint64_t merged = 0;  // transitions to a state that was known
  std::uint64_t nodes = 0;   // of lives.hpp
  std::uint64_t runs = 0;    // of the core
  std::uint64_t compared = 0;
  std::uint64_t different = 0;
  std::uint32_t depth = 0;  // in moves; of the violation, if there is one
  bool exhausted = false;
  double seconds = 0;
  std::string violation;           // empty: none
  std::vector<std::string> trace;  // the moves that lead to it
};

Findings explore(const Options& options);

// Makes the moves of a trace, in words as explore() gives them. Error: which one cannot be made,
// and what could be made instead. The violation that they end in is in the findings.
Result<Findings> replay(const Options& options, const std::vector<std::string>& trace);

}  // namespace bftmeta::sim::explore
