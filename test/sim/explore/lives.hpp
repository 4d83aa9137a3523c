// The production core as a graph: a node is everything about one correct replica (explore::Local),
// an edge is what the core made of one move. Each edge is computed once, by running the core, and
// kept: the search (search.hpp) then goes through combinations of nodes at the price of a look-up.
//
// Two histories of a replica lead to the same node if Seat::digest() cannot tell their ends apart.
// That such ends behave alike is not assumed: with `check_merging` a second history is kept for
// each node, gets every move that the first one gets, and has to arrive at the same node.
// Thread-safety: one thread.
#pragma once

#include <deque>

#include "sim/explore/moves.hpp"

namespace bftmeta::sim::explore {

class Lives {
 public:
  Lives(World& world, Moves& moves, bool check_merging);

  struct Edge {
    std::uint32_t to = 0;  // the node itself: the core did nothing
    // Something new was said before the sync: a power cut in between is a move of its own.
    bool leaks = false;
  };

  std::uint32_t first(ReplicaId r) const { return first_.at(r); }
  const Local& node(std::uint32_t number) const { return *nodes_.at(number).local; }
  std::size_t nodes() const { return nodes_.size(); }
  std::uint64_t runs() const { return runs_; }  // of the core, one per edge
  // Second histories that got a move, and those of them that arrived somewhere else.
  std::uint64_t compared() const { return compared_; }
  std::uint64_t different() const { return different_; }

  Edge edge(std::uint32_t node, std::uint32_t move);
  // What this replica answers when `asker` starts for the `incarnation`-th time after its first:
  // number of the HELLO-REPLY. Answering changes nothing but a hint for operators.
  std::uint32_t hello(std::uint32_t node, ReplicaId asker, std::uint64_t incarnation);
  // Its history from `executed` on: number of the HISTORY; nullopt: it gives none.
  std::optional<std::uint32_t> history(std::uint32_t node, Seq executed);
  // The VIEW-CHANGE for `view` that it gives after a power cut, when it was told of nothing; its
  // number. nullopt: none.
  std::optional<std::uint32_t> last_view_change(std::uint32_t node, View view);

 private:
  struct Node {
    ReplicaId self = 0;
    std::unique_ptr<const Local> local;
    std::unique_ptr<const Local> twin;  // of another history
    std::optional<std::optional<std::uint32_t>> last_view_change;
  };
  struct Run {
    Local end;
    bool affected = false;
    bool leaks = false;
  };

  Run run(ReplicaId self, const Local& from, const Key& key);
  void perform(Seat& seat, const Key& key);
  void invent(Seat& seat, BatchNo d);
  std::uint32_t number_of(ReplicaId self, Local local);
  // What the replica of `node` sends back when it gets `question`.
  std::vector<Seat::Mail> ask(std::uint32_t node, ReplicaId from, PeerMessage question);

  World& world_;
  Moves& moves_;
  const bool check_merging_;
  std::vector<std::unique_ptr<Seat>> seats_;
  std::deque<Node> nodes_;
  std::vector<std::uint32_t> first_;
  std::map<std::pair<ReplicaId, Hash>, std::uint32_t> numbers_;
  std::unordered_map<std::uint64_t, Edge> edges_;
  std::unordered_map<std::uint64_t, std::uint32_t> hellos_;
  std::unordered_map<std::uint64_t, std::optional<std::uint32_t>> histories_;
  std::uint64_t runs_ = 0;
  std::uint64_t compared_ = 0;
  std::uint64_t different_ = 0;
};

}  // namespace bftmeta::sim::explore
