// Which moves there are in a state: what the correct replicas have said so far is delivered or not,
// in any order, and the Byzantine replica adds everything that it can sign alone or put together
// from what was said: two batches in each number, votes for anything, VIEW-CHANGEs with every base
// and every combination of P-entries that can be proven, NEW-VIEWs from any quorum of VIEW-CHANGEs.
// Thread-safety: one thread.
#pragma once

#include <array>

#include "sim/explore/lives.hpp"

namespace bftmeta::sim::explore {

constexpr std::size_t kCorrect = kReplicas - 1;
using Nodes = std::array<std::uint32_t, kCorrect>;  // of the correct replicas, in their order

// What all correct replicas together have said.
struct Facts {
  std::array<const Local*, kReplicas> of{};  // nullptr: the Byzantine one
  std::uint64_t proposals = 0;
  std::uint64_t provable = 0;   // bit(view, seq, batch): a prepared certificate can be put together
  std::uint64_t certified = 0;  // bodies with a certificate, if the Byzantine replica signs too
};

class Menu {
 public:
  Menu(World& world, Moves& moves, Lives& lives) : world_(world), moves_(moves), lives_(lives) {}

  ReplicaId replica(std::size_t i) const {  // the i-th correct one
    return static_cast<ReplicaId>(i < world_.scope().byzantine ? i : i + 1);
  }
  Facts facts(const Nodes& nodes) const;
  // Numbers of moves of the i-th correct replica, without those that only a power cut makes.
  void list(const Nodes& nodes, const Facts& facts, std::size_t i, std::vector<std::uint32_t>& out);
  // Power cuts of it: between two moves, or (`cut` is a move) before the sync of that one.
  void restarts(const Nodes& nodes, std::size_t i, std::optional<std::uint32_t> cut,
                std::vector<std::uint32_t>& out);
  // Every VIEW-CHANGE for `view` that the Byzantine replica can sign.
  const std::vector<std::uint32_t>& own_view_changes(const Facts& facts, View view);

 private:
  struct Turn {
    const Nodes& nodes;
    const Facts& facts;
    ReplicaId self = 0;
    const Local& local;
    std::vector<std::uint32_t>& out;
  };

  void add(const Turn& t, const Key& key) { t.out.push_back(moves_.number_of(key)); }
  void items(const Turn& t);
  void proposals(const Turn& t);
  void votes(const Turn& t);
  void shares(const Turn& t);
  void view_changes(const Turn& t);
  void lead(const Turn& t, View view, std::uint32_t own);
  void new_views(const Turn& t, View view);
  void histories(const Turn& t);
  // The first `size` of the others that have said it, the Byzantine one first; 0: not so many.
  template <class Has>
  std::uint32_t senders(const Turn& t, std::size_t size, bool with_byzantine, Has has) const;
  std::vector<std::uint32_t> said_view_changes(const Facts& facts, View view) const;
  const std::vector<std::uint32_t>& own_new_views(const Facts& facts, View view);
  struct Plan {          // what follows from a quorum of VIEW-CHANGEs
    bool proven = true;  // each of them is valid
    bool stops = false;  // whoever looks at them stops
    Seq base = 0;
    std::map<Seq, Hash> digests;  // O
    friend bool operator==(const Plan&, const Plan&) = default;
  };
  bool add_plan(const std::vector<std::uint32_t>& votes, std::vector<Plan>& plans) const;
  std::vector<Plan> wrong_plans(const Plan& right) const;
  messages::PreparedCert proof(const Facts& facts, View v, Seq n, BatchNo d) const;
  messages::PreparedCert forged(View v, Seq n, BatchNo d) const;
  std::vector<ReplicaId> signers(const Facts& facts, std::uint32_t body) const;

  World& world_;
  Moves& moves_;
  Lives& lives_;
  std::map<std::vector<std::uint64_t>, std::vector<std::uint32_t>> own_view_changes_;
  std::map<std::vector<std::uint64_t>, std::vector<std::uint32_t>> own_new_views_;
  std::map<std::vector<std::uint64_t>, std::vector<std::uint32_t>> leads_;
};

}  // namespace bftmeta::sim::explore
