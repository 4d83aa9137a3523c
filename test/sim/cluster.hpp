// A whole simulated cluster from one seed: replicas, a lossy network, crashes, clients, and the
// oracles that watch all of it (protocol §11.3): agreement, one certified body per sequence number,
// no acknowledged operation lost, progress after healing, no correct replica halts.
#pragma once

#include <map>
#include <set>
#include <string>

#include "sim/host.hpp"
#include "sim/ideal_crypto.hpp"

namespace bftmeta::sim {

struct NetworkFaults {
  std::uint32_t loss = 0;       // per mille
  std::uint32_t duplicate = 0;  // per mille
  std::uint64_t delay_min_us = 50;
  std::uint64_t delay_max_us = 500;
  std::uint32_t slow = 0;  // per mille of messages that take slow_us
  std::uint64_t slow_us = 60'000;
};

struct Plan {
  std::uint64_t seed = 1;
  std::uint32_t n = 4;
  std::uint32_t clients = 3;
  std::uint32_t other_clients = 0;  // registered, but driven from outside
  std::uint32_t bundles_per_client = 40;
  std::uint64_t think_max_us = 200'000;  // of a client between an answer and its next bundle
  NetworkFaults network;
  std::uint32_t crashes = 0;     // power cuts of a random set of replicas during the fault phase
  bool crash_all = false;        // sets may be all replicas at once
  std::uint32_t partitions = 0;  // episodes in which the replicas are split in two
  std::uint64_t fault_us = 5'000'000;   // length of the fault phase
  std::uint64_t heal_us = 120'000'000;  // bound for everything to be done after it
  // Byzantine replicas by id; at most f.
  std::map<messages::ReplicaId, std::function<std::unique_ptr<consensus::Interceptor>(
                                    const config::Genesis&, const crypto::Signer&, Random)>>
      byzantine;
};

using MachineFactory =
    std::function<std::unique_ptr<Machine>(const config::Genesis&, const crypto::Verifier&)>;
using LogFactory = std::function<std::unique_ptr<LogDevice>(Random)>;
// The operations of a client's next bundle.
using Workload = std::function<std::vector<schema::Operation>(Random&)>;

struct Report {
  std::vector<std::string> violations;  // empty: all oracles hold
  bool completed = false;  // every client is done and every correct replica has caught up
  std::uint64_t batches = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t view_changes = 0;
  std::uint64_t crashes = 0;
  std::uint64_t delivered = 0;
  std::uint64_t dropped = 0;
  std::uint64_t virtual_us = 0;
  Hash digest{};  // of everything that was executed: equal for equal seeds
};

class Cluster {
 public:
  Cluster(Plan plan, const MachineFactory& machine, const LogFactory& log, Workload workload);
  Report run();

  // For scenario tests that drive a schedule by hand.
  Scheduler& scheduler() { return scheduler_; }
  consensus::Now now() const;  // of a clock that is right
  Host& host(messages::ReplicaId id) { return *hosts_[id]; }
  void start_all();
  void run_for(std::uint64_t us);
  void cut(messages::ReplicaId a, messages::ReplicaId b, bool both = true);  // the link drops all
  void heal();
  // For adversaries: the power of all correct replicas goes off at once, some times and only while
  // faults happen; the key of client `index` of other_clients; an item of it; whom clients take for
  // the primary; who is told of every certified outcome.
  bool cut_power_of_correct();
  std::shared_ptr<const IdealSigner> other_client(std::uint32_t index) const;
  void submit(messages::ReplicaId to, const messages::Item& item);
  messages::ReplicaId likely_primary() const;
  void on_outcome(std::function<void(const Outcome&)> observe) { observe_ = std::move(observe); }
  const config::Genesis& genesis() const { return genesis_; }
  const Report& report() const { return report_; }
  bool clients_done() const;

 private:
  struct Client {
    std::unique_ptr<IdealSigner> signer;
    std::uint64_t id = 0;
    Id16 session{};
    bool open = false;
    std::uint64_t next_bundle = 1;
    std::map<std::uint64_t, messages::Item> in_flight;  // by bundle number; 0: the open
    std::uint64_t done = 0;
    std::uint32_t timeouts = 0;
  };

  void make_genesis();
  void make_hosts(const MachineFactory& machine, const LogFactory& log);
  void make_clients();
  void transmit(messages::ReplicaId from, messages::ReplicaId to, messages::PeerMessage message);
  void on_executed(messages::ReplicaId replica, const consensus::Outcome& outcome);
  void on_certified(messages::ReplicaId replica, const Outcome& outcome, messages::Seq seq);
  void client_send(Client& client);
  void client_submit(Client& client, const messages::Item& item, bool to_all);
  void client_timer(Client& client);
  void schedule_faults();
  void power_cut();
  void cut_power(Host& host);
  bool caught_up() const;
  void final_checks();
  void violation(std::string what);

  Plan plan_;
  Random random_;
  Scheduler scheduler_;
  Workload workload_;
  IdealVerifier verifier_;
  config::Genesis genesis_;
  Hash cluster_id_{};
  std::vector<std::unique_ptr<IdealSigner>> signers_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::vector<Client> clients_;
  std::set<std::pair<messages::ReplicaId, messages::ReplicaId>> cut_;
  bool faults_on_ = false;
  std::uint32_t cuts_ = 0;  // by adversaries
  std::function<void(const Outcome&)> observe_;

  Report report_;
  std::map<messages::Seq, messages::CertBody> agreed_;  // first execution of a correct replica
  messages::Seq last_acknowledged_ = 0;
  std::map<Hash, std::pair<messages::Seq, Hash>> acknowledged_;  // request -> seq, results
};

}  // namespace bftmeta::sim
