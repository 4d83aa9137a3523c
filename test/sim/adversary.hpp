// Puts a strategy, colluding replicas and hostile clients into a plan, and hands them what only a
// simulator can give: power cuts, timers of others, further instances. Thread-safety: one thread.
#pragma once

#include "adversary/clients.hpp"
#include "adversary/strategies.hpp"
#include "sim/cluster.hpp"

namespace bftmeta::sim {

// Who misbehaves, and how: replicas `members` (at most f), a client or a crowd of them, all or
// none.
struct Attack {
  const adversary::Named* strategy = nullptr;  // of the members
  std::vector<messages::ReplicaId> members;
  const adversary::NamedClient* client = nullptr;
  std::uint64_t seed = 1;
  std::vector<const adversary::NamedClient*> crowd = {};  // further clients
};

class Adversary {
 public:
  // Changes the plan. What the strategy needs by its side is added.
  Adversary(Plan& plan, MachineFactory machine, const Attack& attack);
  Adversary(const Adversary&) = delete;
  Adversary& operator=(const Adversary&) = delete;

  // Before the cluster runs; this must outlive it.
  void attach(Cluster& cluster);

  // Really told: by the replicas, by the clients.
  std::uint64_t lies() const { return *lies_; }
  std::uint64_t client_lies() const;

 private:
  // Views begin anew in each epoch; what was told and seen in the last one is nothing there.
  std::shared_ptr<adversary::Conspiracy> plot_of(const consensus::Options& epoch);
  void make_client(Cluster& cluster, std::uint32_t index);
  void let_act(Cluster& cluster);
  void learn(const Outcome& outcome);

  const MachineFactory machine_;
  std::vector<const adversary::NamedClient*> clients_;
  std::uint64_t seed_;
  IdealVerifier verifier_;
  std::map<std::uint64_t, std::shared_ptr<adversary::Conspiracy>> plots_;  // by epoch
  std::map<messages::ReplicaId, const crypto::Signer*> keys_;
  std::shared_ptr<adversary::ClientAccount> account_ = std::make_shared<adversary::ClientAccount>();
  adversary::Powers powers_;
  std::shared_ptr<std::atomic<std::uint64_t>> lies_ =
      std::make_shared<std::atomic<std::uint64_t>>(0);
  std::vector<std::unique_ptr<adversary::HostileClient>> hostile_;
};

}  // namespace bftmeta::sim
