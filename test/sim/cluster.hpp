// A whole simulated cluster from one seed: replicas, network, clients, a schedule of faults, and
// the oracles that watch all of it. run() is one run of the swarm; the rest lets a test drive a
// schedule by hand.
#pragma once

#include <map>
#include <string>

#include "sim/host.hpp"
#include "sim/ideal_crypto.hpp"
#include "sim/network.hpp"
#include "sim/oracles.hpp"

namespace bftmeta::sim {

class FaultInjector;

// Of a Byzantine replica in the epoch of these options; nullptr: it behaves in that one.
using MakeInterceptor = std::function<std::unique_ptr<consensus::Interceptor>(
    const config::Genesis&, const consensus::Options&, const crypto::Signer&, Random&)>;

struct Plan : FaultCounts {
  std::uint64_t seed = 1;
  std::uint32_t clients = 3;
  std::uint32_t other_clients = 0;  // registered, but driven from outside
  std::uint32_t learners = 0;       // replicas beside the n of the genesis, with the next ids
  // Sizes of memberships that the admins want one after another, each until it is in force.
  std::vector<std::uint32_t> memberships;
  std::uint32_t bundles_per_client = 40;
  std::uint64_t load_us = 0;  // clients stop then, with what they have sent; 0: when all is sent
  std::uint64_t think_max_us = 200'000;  // of a client between an answer and its next bundle
  std::uint32_t reads = 0;               // per mille of the bundles that a verified read follows
  NetworkFaults network;
  // What really goes wrong; nullopt: make_schedule() of the counts and the seed.
  std::optional<std::vector<FaultEvent>> schedule;
  std::uint64_t heal_us = 120'000'000;  // L1: bound for everything to be done after the faults
  bool final_power_cut = false;         // all at once in the end, before the state is looked at
  bool reference = false;               // S7
  // Byzantine replicas by id; at most f of each membership together with those of `rotten` and
  // `corrupting`. An empty function: a correct core that the oracles expect nothing of.
  std::map<messages::ReplicaId, MakeInterceptor> byzantine;
  std::uint32_t lingering = 0;   // bitmap, of these: go on in their epoch when they are removed
  std::uint32_t corrupting = 0;  // bitmap: whose frames may be bent after authentication
};

using MachineFactory =
    std::function<std::unique_ptr<Machine>(const config::Genesis&, const crypto::Verifier&)>;
using LogFactory = std::function<std::unique_ptr<LogDevice>(Random)>;

struct Report {
  std::vector<std::string> violations;  // empty: all oracles hold
  bool completed = false;  // every client is done and every correct replica has caught up
  std::uint64_t batches = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t reads = 0;
  std::uint64_t fresh_reads = 0;  // of these, after a FRESH round
  std::uint64_t refuted = 0;      // answers that clients did not believe
  std::uint64_t modelled = 0;     // batches that the naive model executed too
  std::uint64_t view_changes = 0;
  std::uint64_t restarts = 0;
  std::uint64_t transfers = 0;  // states that correct replicas have fetched
  std::uint64_t delivered = 0;
  std::uint64_t dropped = 0;
  std::uint64_t virtual_us = 0;
  std::uint64_t healing_us = 0;  // from the end of the faults until everything was done
  std::map<std::string, std::uint64_t> faults;  // by kind, those that really happened
  std::vector<FaultEvent> schedule;
  Hash digest{};  // of everything that was executed: equal for equal seeds
};

class Cluster {
 public:
  Cluster(Plan plan, const MachineFactory& machine, const LogFactory& log, Workload workload);
  ~Cluster();
  Report run();

  // ---- driven by hand
  Scheduler& scheduler() { return scheduler_; }
  Network& network() { return *network_; }
  const Network& network() const { return *network_; }
  Trace& trace() { return trace_; }
  Oracles& oracles() { return *oracles_; }
  const Oracles& oracles() const { return *oracles_; }
  Host& host(messages::ReplicaId id) { return *hosts_.at(id); }
  const Host& host(messages::ReplicaId id) const { return *hosts_.at(id); }
  Client& client(std::uint32_t id) { return *clients_.at(id); }
  const Client& client(std::uint32_t id) const { return *clients_.at(id); }
  std::uint32_t n() const { return plan_.n; }  // of the genesis
  std::uint32_t replicas() const { return static_cast<std::uint32_t>(hosts_.size()); }
  std::uint32_t clients() const { return plan_.clients; }
  const config::Genesis& genesis() const { return genesis_; }
  const crypto::Signer& signer(messages::ReplicaId id) const { return *signers_.at(id); }

  // ---- for adversaries
  consensus::Now now() const;  // of a clock that is right
  // The power of all correct replicas goes off at once, some times and only while faults happen.
  bool cut_power_of_correct();
  // The key of client `index` of other_clients, and an item of it.
  std::shared_ptr<const IdealSigner> other_client(std::uint32_t index) const;
  void submit(std::uint32_t index, messages::ReplicaId to, const messages::Item& item);
  messages::ReplicaId likely_primary() const;  // whom clients take for it
  // Who is told of every final outcome that a certificate covers.
  void on_outcome(std::function<void(const Outcome&)> observe) { observe_ = std::move(observe); }

  std::uint64_t now_us() const { return scheduler_.now(); }
  std::uint64_t age_us() const { return scheduler_.now() - began_us_; }
  void start_all();
  void run_for(std::uint64_t us);
  // False: it did not come true within `us`.
  bool run_until(const std::function<bool()>& condition, std::uint64_t us);
  // The admins propose a configuration of the first `n` replicas, through a client, whatever
  // becomes of it.
  void reconfigure(std::uint32_t n);
  void take_back();  // what they have proposed, unless it is scheduled
  // Somebody else, the last client, carries the first statement of theirs again. False: there is
  // none.
  bool replay_statement();
  // The change that waits for READY of this key in the state of a correct replica.
  std::optional<Hash> unconfirmed(const PublicKey& vote_key) const;
  // A message that a Byzantine replica makes up, in the epoch that it is in or in another one.
  void inject(messages::ReplicaId from, messages::ReplicaId to, const messages::PeerMessage& m);
  void inject(messages::ReplicaId from, messages::ReplicaId to, const messages::PeerMessage& m,
              std::uint64_t epoch);
  void start(messages::ReplicaId id);
  void wipe(messages::ReplicaId id);  // one that is down gets a new disk
  bool clients_done() const;
  bool caught_up() const;
  const config::Config& newest_config() const;  // of a correct replica
  messages::View highest_view() const;
  // The oracles that look back.
  void finish();
  Report report() const;

 private:
  config::Replica member(messages::ReplicaId id) const;
  void make_genesis();
  void make_oracles();
  void make_hosts(const MachineFactory& machine, const LogFactory& log);
  HostCallbacks host_callbacks();
  void make_clients(const MachineFactory& machine, Workload workload);
  void transmit(messages::ReplicaId from, const std::vector<messages::ReplicaId>& to,
                const messages::PeerMessage& message, std::uint64_t epoch);
  void arrive(Endpoint from, Endpoint to, const Bytes& frame);
  bool honest(Endpoint endpoint) const;
  // Of an epoch that is over: shown the way, and nothing else. False: not to be read here.
  bool of_this_epoch(const Host& host, Endpoint from, const Bytes& frame);
  crypto::Context context_of(std::uint64_t epoch) const { return {cluster_id_, epoch}; }
  std::uint64_t client_epoch(std::uint32_t client) const;
  void send_to_replica(std::uint32_t client, messages::ReplicaId to,
                       const messages::ClientMessage& message);
  void sample();
  // Of the admins, that `next` is to follow what is in force.
  void submit_statement(const config::Config& next);
  void want_memberships();
  void begin_faults();
  bool first_primaries_correct() const;
  void end_faults();
  std::string standstill() const;
  void cut_all_power();

  Plan plan_;
  Random random_;
  Scheduler scheduler_;
  Trace trace_;
  IdealVerifier verifier_;
  config::Genesis genesis_;
  Hash cluster_id_{};
  bool proofs_ = true;  // the machine is the production engine
  std::vector<std::unique_ptr<IdealSigner>> signers_;
  std::vector<std::shared_ptr<const IdealSigner>> client_signers_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<Oracles> oracles_;
  std::vector<std::unique_ptr<Host>> hosts_;
  test::History history_;
  std::vector<std::unique_ptr<Client>> clients_;
  std::unique_ptr<FaultInjector> injector_;
  bool faults_on_ = false;
  std::uint64_t began_us_ = 0;
  std::uint64_t healed_us_ = 0;
  std::uint64_t done_us_ = 0;
  std::uint64_t restarts_ = 0;
  std::uint64_t cuts_ = 0;                        // by adversaries
  std::size_t memberships_ = 0;                   // of the plan's, in force or past
  std::vector<schema::ChangeConfig> statements_;  // of the admins, in order
  std::function<void(const Outcome&)> observe_;
};

}  // namespace bftmeta::sim
