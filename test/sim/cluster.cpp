#include "sim/cluster.hpp"

namespace bftmeta::sim {

using messages::Bundle;
using messages::Item;
using messages::ReplicaId;
using messages::Seq;
using messages::SessionOpen;

namespace {

constexpr std::uint64_t kClientRetryUs = 250'000;
constexpr std::uint64_t kForeverUs = 4'000'000'000'000'000;  // valid_until far beyond any run

// Real Ed25519 public keys, because registration checks that they are points; IdealSigner signs in
// their name.
PublicKey key_of(const char* role, std::uint64_t id) {
  const Hash seed =
      crypto::Hasher(tags::Domain::key_fingerprint).update(view(role)).update_u64(id).finish();
  return crypto::Ed25519Signer(seed).public_key();
}

}  // namespace

Cluster::Cluster(Plan plan, const MachineFactory& machine, const LogFactory& log, Workload workload)
    : plan_(std::move(plan)), random_(plan_.seed), workload_(std::move(workload)) {
  make_genesis();
  make_hosts(machine, log);
  make_clients();
}

void Cluster::make_genesis() {
  genesis_.name = "simulated";
  genesis_.time_us = 1;
  for (ReplicaId r = 0; r < plan_.n; ++r) {
    signers_.push_back(std::make_unique<IdealSigner>(key_of("replica", r)));
    genesis_.config.replicas.push_back({r, signers_[r]->public_key(), key_of("link", r), "sim",
                                        static_cast<std::uint16_t>(1000 + 4 * r)});
  }
  genesis_.config.admins.push_back({"admin", key_of("admin", 0)});
  for (std::uint64_t c = 0; c < plan_.clients + plan_.other_clients; ++c) {
    config::ClientRules rules;
    rules.gateway = true;
    rules.root_squash = false;
    rules.uid_last = 0xffffffff;
    genesis_.clients.push_back({"client", key_of("client", c), key_of("client-link", c), rules});
  }
  cluster_id_ = genesis_.cluster_id();
}

void Cluster::make_hosts(const MachineFactory& machine, const LogFactory& log) {
  for (ReplicaId r = 0; r < plan_.n; ++r) {
    HostSetup setup;
    setup.options.self = r;
    setup.options.cluster_id = cluster_id_;
    setup.options.config = genesis_.config;
    setup.signer = signers_[r].get();
    setup.verifier = &verifier_;
    setup.fresh_machine = [this, machine] { return machine(genesis_, verifier_); };
    setup.log = log(random_.fork());
    setup.clock_offset_us = static_cast<std::int64_t>(random_.below(200'000)) - 100'000;
    if (const auto it = plan_.byzantine.find(r); it != plan_.byzantine.end())
      setup.interceptor = it->second(genesis_, *signers_[r], random_.fork());
    HostCallbacks callbacks;
    callbacks.send = [this](ReplicaId from, ReplicaId to, messages::PeerMessage m) {
      transmit(from, to, std::move(m));
    };
    callbacks.executed = [this](ReplicaId id, const consensus::Outcome& o) { on_executed(id, o); };
    callbacks.certified = [this](ReplicaId id, const Outcome& o, Seq seq) {
      on_certified(id, o, seq);
    };
    callbacks.halted = [this](ReplicaId id, const Error& error) {
      if (hosts_[id]->correct())
        violation("replica " + std::to_string(id) + " halts: " + error.message);
    };
    callbacks.fenced = [this](ReplicaId id, const std::string& why) {
      if (hosts_[id]->correct())
        violation("replica " + std::to_string(id) + " fences, with all its votes on disk: " + why);
    };
    hosts_.push_back(
        std::make_unique<Host>(std::move(setup), scheduler_, random_.fork(), callbacks));
  }
}

void Cluster::make_clients() {
  clients_.resize(plan_.clients);
  for (std::uint64_t c = 0; c < plan_.clients; ++c) {
    clients_[c].id = c;
    clients_[c].signer = std::make_unique<IdealSigner>(key_of("client", c));
  }
}

// ---- network

// Real bytes: what does not survive encoding and strict decoding would not arrive in production.
void Cluster::transmit(ReplicaId from, ReplicaId to, messages::PeerMessage message) {
  const crypto::Context context{cluster_id_, 0};
  const Bytes frame = messages::encode_frame(context, message);
  if (frame.size() > limits::kMaxFrame && hosts_[from]->correct())
    violation(std::string(messages::message_name(message)) + " exceeds the frame limit");
  const NetworkFaults& f = plan_.network;
  const auto once = [&] {
    if (cut_.contains({from, to}) || (faults_on_ && random_.chance(f.loss))) {
      ++report_.dropped;
      return;
    }
    std::uint64_t delay = random_.between(f.delay_min_us, f.delay_max_us);
    if (faults_on_ && random_.chance(f.slow)) delay = f.slow_us;
    scheduler_.after(delay, [this, from, to, frame, context] {
      auto decoded = messages::decode_peer_frame(context, frame);
      if (!decoded) {
        if (hosts_[from]->correct()) violation("undecodable frame: " + decoded.error().message);
        return;
      }
      ++report_.delivered;
      hosts_[to]->deliver(from, std::move(*decoded));
    });
  };
  once();
  if (faults_on_ && random_.chance(f.duplicate)) once();
}

void Cluster::cut(ReplicaId a, ReplicaId b, bool both) {
  cut_.insert({a, b});
  if (both) cut_.insert({b, a});
}

void Cluster::heal() { cut_.clear(); }

// ---- oracles

void Cluster::violation(std::string what) {
  if (report_.violations.size() < 10)
    report_.violations.push_back("t=" + std::to_string(scheduler_.now()) +
                                 " us: " + std::move(what));
}

void Cluster::on_executed(ReplicaId replica, const consensus::Outcome& outcome) {
  if (!hosts_[replica]->correct()) return;
  const auto [it, first] = agreed_.try_emplace(outcome.header.seq, outcome.body);
  if (first)
    ++report_.batches;
  else if (it->second != outcome.body)
    violation("agreement: replica " + std::to_string(replica) + " executes another batch at " +
              std::to_string(outcome.header.seq) + ": " + print(outcome.body) + " and " +
              print(it->second));
}

void Cluster::on_certified(ReplicaId replica, const Outcome& outcome, Seq seq) {
  if (!outcome.final || !hosts_[replica]->correct()) return;
  if (observe_) observe_(outcome);
  last_acknowledged_ = std::max(last_acknowledged_, seq);
  const auto [it, first] =
      acknowledged_.try_emplace(outcome.request_digest, std::pair{seq, outcome.results_digest});
  if (!first && it->second.second != outcome.results_digest)
    violation("exactly-once: two outcomes for one request at " + std::to_string(seq));
  for (Client& client : clients_) {
    const std::uint64_t key = client.open ? outcome.bundle_no : 0;
    const auto sent = client.in_flight.find(key);
    if (sent == client.in_flight.end() || sent->second.digest() != outcome.request_digest) continue;
    client.in_flight.erase(sent);
    ++report_.acknowledged;
    if (client.open) {
      ++client.done;
    } else {
      client.open = true;
      client.session = outcome.session_id;
    }
    scheduler_.after(random_.between(20, plan_.think_max_us),
                     [this, &client] { client_send(client); });
  }
}

// ---- clients

// A client does not know the primary for sure: it asks whom most replicas think it is.
ReplicaId Cluster::likely_primary() const {
  ReplicaId primary = 0;
  for (const auto& host : hosts_)
    if (host->up() && host->core().active()) primary = host->core().primary(host->core().view());
  return primary;
}

consensus::Now Cluster::now() const { return {scheduler_.now(), kWallStartUs + scheduler_.now()}; }

std::shared_ptr<const IdealSigner> Cluster::other_client(std::uint32_t index) const {
  return std::make_shared<IdealSigner>(key_of("client", plan_.clients + index));
}

void Cluster::submit(ReplicaId to, const Item& item) {
  if (faults_on_ && random_.chance(plan_.network.loss)) return;
  scheduler_.after(random_.between(50, 500), [this, to, item] { hosts_[to]->submit(item); });
}

void Cluster::client_submit(Client&, const Item& item, bool to_all) {
  const ReplicaId primary = likely_primary();
  for (ReplicaId r = 0; r < plan_.n; ++r)
    if (to_all || r == primary) submit(r, item);
}

void Cluster::client_send(Client& client) {
  while (client.in_flight.size() < 2) {
    if (!client.open) {
      if (!client.in_flight.empty()) return;
      SessionOpen open{client.signer->public_key(), {}, kForeverUs / 2};
      open.valid_until_us = 1'700'000'000'000'000 + 3'000'000'000;
      client.in_flight[0] = messages::sign_session_open(*client.signer, cluster_id_, open);
      return client_submit(client, client.in_flight[0], false);
    }
    if (client.next_bundle > plan_.bundles_per_client) return;
    Bundle bundle;
    bundle.session_id = client.session;
    bundle.client = client.signer->public_key();
    bundle.bundle_no = client.next_bundle++;
    bundle.ack_upto =
        client.in_flight.empty() ? bundle.bundle_no - 1 : client.in_flight.begin()->first - 1;
    bundle.valid_until_us = kForeverUs;
    bundle.operations = workload_(random_);
    const std::uint64_t no = bundle.bundle_no;
    client.in_flight[no] = messages::sign_bundle(*client.signer, cluster_id_, bundle);
    client_submit(client, client.in_flight[no], false);
  }
}

// What is not answered in time goes to everybody, always as the same bytes.
void Cluster::client_timer(Client& client) {
  for (const auto& [no, item] : client.in_flight) client_submit(client, item, true);
  scheduler_.after(kClientRetryUs, [this, &client] { client_timer(client); });
}

bool Cluster::clients_done() const {
  for (const Client& client : clients_)
    if (client.done < plan_.bundles_per_client) return false;
  return true;
}

// ---- faults

void Cluster::power_cut() {
  ++report_.crashes;
  for (ReplicaId r = 0; r < plan_.n; ++r) {
    const bool hit = plan_.crash_all ? random_.chance(600) : r == random_.below(plan_.n);
    if (hit && hosts_[r]->up()) cut_power(*hosts_[r]);
  }
}

void Cluster::cut_power(Host& host) {
  host.crash();
  scheduler_.after(random_.between(1'000, 800'000), [&host] {
    if (!host.up()) host.start();
  });
}

bool Cluster::cut_power_of_correct() {
  constexpr std::uint32_t kMostCuts = 8;  // so that a run gets somewhere in between
  if (!faults_on_ || cuts_ == kMostCuts) return false;
  ++cuts_;
  ++report_.crashes;
  for (const auto& host : hosts_)
    if (host->correct() && host->up()) cut_power(*host);
  return true;
}

void Cluster::schedule_faults() {
  faults_on_ = true;
  for (std::uint32_t i = 0; i < plan_.crashes; ++i)
    scheduler_.after(random_.below(plan_.fault_us), [this] { power_cut(); });
  for (std::uint32_t i = 0; i < plan_.partitions; ++i)
    scheduler_.after(random_.below(plan_.fault_us), [this] {
      const std::uint64_t side = random_.next();
      for (ReplicaId a = 0; a < plan_.n; ++a)
        for (ReplicaId b = 0; b < plan_.n; ++b)
          if ((side >> a & 1) != (side >> b & 1)) cut(a, b, false);
      scheduler_.after(random_.between(50'000, 2'000'000), [this] { heal(); });
    });
  scheduler_.after(plan_.fault_us, [this] {
    faults_on_ = false;
    heal();
  });
}

// ---- run

void Cluster::start_all() {
  for (auto& host : hosts_) host->start();
  for (Client& client : clients_) {
    scheduler_.after(random_.between(10, 5'000), [this, &client] { client_send(client); });
    scheduler_.after(kClientRetryUs, [this, &client] { client_timer(client); });
  }
}

void Cluster::run_for(std::uint64_t us) {
  scheduler_.run_until(scheduler_.now() + us, [] { return false; });
}

bool Cluster::caught_up() const {
  Seq highest = 0;
  for (const auto& host : hosts_)
    if (host->correct() && host->up()) highest = std::max(highest, host->machine().executed_seq());
  if (highest < last_acknowledged_)
    return false;  // prepared everywhere, to be finished after a power cut
  for (const auto& host : hosts_) {
    if (!host->correct()) continue;
    if (!host->up() || host->machine().executed_seq() != highest ||
        host->core().certified_seq() != highest)
      return false;
  }
  return true;
}

Report Cluster::run() {
  start_all();
  schedule_faults();
  const std::uint64_t begin = scheduler_.now();
  const std::uint64_t end = begin + plan_.fault_us + plan_.heal_us;
  scheduler_.run_until(end, [&] {
    return !report_.violations.empty() || (!faults_on_ && clients_done() && caught_up());
  });
  report_.virtual_us = scheduler_.now() - begin;
  final_checks();
  return report_;
}

void Cluster::final_checks() {
  report_.completed = clients_done() && caught_up();
  if (!report_.completed && report_.violations.empty()) {
    std::string state = "progress: not everything was done within the bound after healing:";
    for (const Client& c : clients_) state += " client " + std::to_string(c.done);
    for (const auto& host : hosts_)
      if (host->up())
        state += " | r" + std::to_string(host->id()) + (host->correct() ? "" : "(byz)") + " view " +
                 std::to_string(host->core().view()) + (host->core().active() ? "" : "?") +
                 " exec " + std::to_string(host->core().executed_seq()) + " cert " +
                 std::to_string(host->core().certified_seq()) + " pending " +
                 std::to_string(host->core().pending());
    violation(std::move(state));
  }
  crypto::Hasher all(tags::Domain::history_chain);
  for (const auto& [seq, body] : agreed_) all.update(body.digest());
  report_.digest = all.finish();
  for (const auto& host : hosts_)
    if (host->up()) report_.view_changes += host->core().view_changes();
  // Every acknowledged request lies in the history that the correct replicas share now.
  Seq highest = 0;
  for (const auto& host : hosts_)
    if (host->correct() && host->up()) highest = std::max(highest, host->machine().executed_seq());
  for (const auto& [request, where] : acknowledged_)
    if (where.first > highest)
      violation("an acknowledged operation is lost at " + std::to_string(where.first));
}

}  // namespace bftmeta::sim
