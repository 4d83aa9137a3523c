#include "sim/cluster.hpp"

#include "base/assert.hpp"
#include "sim/injector.hpp"

namespace bftmeta::sim {

using messages::ReplicaId;
using messages::Seq;

namespace {

constexpr std::uint64_t kSampleUs = 20'000;
constexpr std::uint64_t kWantUs = 700'000;             // between proposals of a membership
constexpr std::uint64_t kStatementUs = 1'000'000'000;  // of admins; within the hour that counts
constexpr std::int64_t kMaxOffsetUs = 100'000;         // of a clock that NTP keeps, either way

// Real Ed25519 public keys, because registration checks that they are points; IdealSigner signs in
// their name.
PublicKey key_of(const char* role, std::uint64_t id) {
  const Hash seed =
      crypto::Hasher(tags::Domain::key_fingerprint).update(view(role)).update_u64(id).finish();
  return crypto::Ed25519Signer(seed).public_key();
}

Standing standing_of(const Plan& plan, ReplicaId r) {
  if (plan.byzantine.contains(r) || (plan.corrupting >> r & 1) != 0) return Standing::byzantine;
  return (plan.rotten >> r & 1) != 0 ? Standing::damaged : Standing::correct;
}

}  // namespace

Cluster::Cluster(Plan plan, const MachineFactory& machine, const LogFactory& log, Workload workload)
    : plan_(std::move(plan)), random_(plan_.seed) {
  // Forked in any case: a run with an explicit schedule differs in nothing else.
  const Random of_schedule = random_.fork();
  if (!plan_.schedule) {
    FaultCounts counts = plan_;
    counts.n += plan_.learners;
    plan_.schedule = make_schedule(counts, of_schedule);
  }
  make_genesis();
  network_ = std::make_unique<Network>(
      scheduler_, random_.fork(), plan_.network, trace_,
      [this](Endpoint from, Endpoint to, const Bytes& frame) { arrive(from, to, frame); });
  for (ReplicaId r = 0; r < plan_.n; ++r)
    if ((plan_.corrupting >> r & 1) != 0) network_->corrupt_sender(r);
  make_oracles();
  make_hosts(machine, log);
  make_clients(machine, std::move(workload));
  injector_ = std::make_unique<FaultInjector>(*this);
}

Cluster::~Cluster() = default;

void Cluster::make_genesis() {
  genesis_.name = "simulated";
  genesis_.time_us = 1;
  for (ReplicaId r = 0; r < plan_.n + plan_.learners; ++r)
    signers_.push_back(std::make_unique<IdealSigner>(key_of("replica", r)));
  for (ReplicaId r = 0; r < plan_.n; ++r) genesis_.config.replicas.push_back(member(r));
  genesis_.config.admins.push_back({"admin", key_of("admin", 0)});
  for (std::uint64_t c = 0; c < plan_.clients + plan_.other_clients; ++c) {
    config::ClientRules rules;
    rules.gateway = true;
    rules.root_squash = false;
    rules.uid_last = 0xffffffff;
    client_signers_.push_back(std::make_shared<const IdealSigner>(key_of("client", c)));
    genesis_.clients.push_back(
        {"client", client_signers_[c]->public_key(), key_of("client-link", c), rules});
  }
  cluster_id_ = genesis_.cluster_id();
}

config::Replica Cluster::member(ReplicaId r) const {
  return {r, signers_.at(r)->public_key(), key_of("link", r), "sim",
          static_cast<std::uint16_t>(1000 + 4 * r)};
}

void Cluster::reconfigure(std::uint32_t n) {
  config::Config next = newest_config();
  next.epoch += 1;
  next.replicas.clear();
  for (ReplicaId r = 0; r < n; ++r) next.replicas.push_back(member(r));
  submit_statement(next);
}

void Cluster::take_back() { submit_statement(newest_config()); }

void Cluster::submit_statement(const config::Config& next) {
  schema::ChangeConfig op;
  op.body = {newest_config().hash(), next, kWallEpochUs + scheduler_.now() + kStatementUs};
  const IdealSigner admin(key_of("admin", 0));
  op.signatures.push_back({0, admin.sign(tags::kConfig, {cluster_id_, 0}, encode(op.body))});
  statements_.push_back(op);
  clients_.front()->submit({schema::Operation{{}, std::move(op)}});
}

bool Cluster::replay_statement() {
  if (statements_.empty()) return false;
  clients_.back()->submit({schema::Operation{{}, statements_.front()}});
  return true;
}

std::optional<Hash> Cluster::unconfirmed(const PublicKey& vote_key) const {
  for (const auto& host : hosts_)
    if (host->correct() && host->running())
      if (const auto proposal = host->machine().unconfirmed(vote_key)) return proposal;
  return std::nullopt;
}

const config::Config& Cluster::newest_config() const {
  const config::Config* newest = &genesis_.config;
  for (const auto& host : hosts_)
    if (host->correct() && host->epoch() > newest->epoch) newest = &host->config();
  return *newest;
}

// Said again until it is so: what was proposed may be lost with a session, or dropped.
void Cluster::want_memberships() {
  if (memberships_ == plan_.memberships.size()) return;
  const std::uint32_t n = plan_.memberships[memberships_];
  if (newest_config().n() == n)
    ++memberships_;
  else
    reconfigure(n);
  scheduler_.after(kWantUs, [this] { want_memberships(); });
}

void Cluster::make_oracles() {
  Known known;
  known.context = crypto::Context{cluster_id_, genesis_.config.epoch};
  known.config = genesis_.config;
  known.verifier = &verifier_;
  for (ReplicaId r = 0; r < plan_.n + plan_.learners; ++r)
    known.standing.push_back(standing_of(plan_, r));
  oracles_ = std::make_unique<Oracles>(std::move(known), genesis_, scheduler_, plan_.reference);
}

HostCallbacks Cluster::host_callbacks() {
  HostCallbacks callbacks;
  callbacks.send = [this](ReplicaId from, const std::vector<ReplicaId>& to,
                          const messages::PeerMessage& m) {
    transmit(from, to, m, hosts_[from]->epoch());
  };
  callbacks.answer = [this](ReplicaId from, std::uint32_t client, messages::ReplicaMessage m) {
    // A toy proves nothing: its clients believe correct replicas only.
    if (!proofs_ && !hosts_[from]->correct()) return;
    network_->send(
        from, kFirstClient + client,
        std::make_shared<const Bytes>(messages::encode_frame(hosts_[from]->context(), m)),
        summarize(m));
  };
  callbacks.epoch = [this](ReplicaId id, const messages::EpochStep& step) {
    trace_.note(scheduler_.now(), id, "is in epoch " + std::to_string(step.next.epoch));
    oracles_->epoch_began(step);  // whoever it is: the step proves itself
  };
  callbacks.executed = [this](ReplicaId id, const messages::ParsedBatch& batch,
                              const consensus::Outcome& o) {
    trace_.note(scheduler_.now(), id, "executes " + std::to_string(o.header.seq));
    const Machine& machine = hosts_[id]->machine();
    oracles_->executed(id, batch, o, machine.outcomes(o.header.seq), machine.version(o.header.seq));
  };
  callbacks.started = [this](ReplicaId id) { oracles_->started(id); };
  callbacks.logged = [this](ReplicaId id, const consensus::Record& record, std::uint64_t wall_us) {
    oracles_->logged(id, record, wall_us, hosts_[id]->epoch());
  };
  callbacks.certified = [this](ReplicaId id, const Outcome& outcome) {
    if (observe_ && outcome.final && hosts_[id]->correct()) observe_(outcome);
  };
  callbacks.fenced = [this](ReplicaId id, const std::string& why) {
    trace_.note(scheduler_.now(), id, "fences");
    oracles_->fenced(id, why);
  };
  callbacks.accused = [this](ReplicaId id, const messages::Accusation& accusation) {
    trace_.note(scheduler_.now(), id, "holds evidence: " + messages::to_string(accusation));
    oracles_->accused(id, accusation);
  };
  callbacks.halted = [this](ReplicaId id, const Error& error) {
    trace_.note(scheduler_.now(), id, "halts: " + error.message);
    if (hosts_[id]->correct())
      oracles_->violation("S13", "replica " + std::to_string(id) + " halts: " + error.message);
  };
  callbacks.diverged = [this](ReplicaId id) {
    trace_.note(scheduler_.now(), id, "has diverged");
    if (hosts_[id]->correct())
      oracles_->violation("S13", "replica " + std::to_string(id) + " has diverged");
  };
  callbacks.transfer_began = [this](ReplicaId id, Seq floor, bool resumed) {
    trace_.note(scheduler_.now(), id, "fetches a state from " + std::to_string(floor) + " on");
    oracles_->transfers().began(id, hosts_[id]->machine().executed_seq(), floor, resumed);
  };
  callbacks.transfer_ended = [this](ReplicaId id, const messages::CertifiedState& state,
                                    const tree::Version& fetched) {
    trace_.note(scheduler_.now(), id, "has fetched " + std::to_string(state.cert.body.seq));
    oracles_->transfer_ended(id, state, fetched);
  };
  callbacks.refused = [this](ReplicaId id, const Error& error) {
    trace_.note(scheduler_.now(), id, "does not start: " + error.message);
    if (hosts_[id]->correct())
      oracles_->violation("S13", "replica " + std::to_string(id) +
                                     " lost nothing and does not start: " + error.message);
  };
  return callbacks;
}

void Cluster::make_hosts(const MachineFactory& machine, const LogFactory& log) {
  for (ReplicaId r = 0; r < plan_.n + plan_.learners; ++r) {
    HostSetup setup;
    setup.options.self = r;
    setup.options.cluster_id = cluster_id_;
    setup.options.config = genesis_.config;
    setup.signer = signers_[r].get();
    setup.verifier = &verifier_;
    setup.fresh_machine = [this, machine] { return machine(genesis_, verifier_); };
    setup.log = log(random_.fork());
    setup.clock = Clock(static_cast<std::int64_t>(random_.below(2 * kMaxOffsetUs)) - kMaxOffsetUs);
    setup.standing = oracles_->known().standing[r];
    for (const auto& signer : client_signers_) setup.clients.push_back(signer->public_key());
    Random own = random_.fork();
    setup.lingers = (plan_.lingering >> r & 1) != 0;
    if (const auto it = plan_.byzantine.find(r); it != plan_.byzantine.end() && it->second)
      setup.strategy = [this, make = it->second, r,
                        chance = own.fork()](const consensus::Options& options) mutable {
        return make(genesis_, options, *signers_[r], chance);
      };
    hosts_.push_back(std::make_unique<Host>(std::move(setup), scheduler_, own, host_callbacks()));
  }
}

void Cluster::make_clients(const MachineFactory& machine, Workload workload) {
  proofs_ = machine(genesis_, verifier_)->version(0) != nullptr;
  for (std::uint32_t c = 0; c < plan_.clients; ++c) {
    ClientSetup setup;
    setup.id = c;
    setup.signer = client_signers_[c].get();
    setup.verifier = &verifier_;
    setup.genesis = &genesis_;
    setup.proofs = proofs_;
    setup.bundles = plan_.bundles_per_client;
    setup.think_max_us = plan_.think_max_us;
    setup.reads = proofs_ ? plan_.reads : 0;
    setup.workload = workload;
    ClientCallbacks callbacks;
    callbacks.send = [this](std::uint32_t id, ReplicaId to, const messages::ClientMessage& m) {
      send_to_replica(id, to, m);
    };
    callbacks.primary = [this] { return likely_primary(); };
    callbacks.acknowledged = [this](const Acknowledged& a) { oracles_->acknowledged(a); };
    callbacks.read = [this](std::uint32_t id, const schema::Query& query, Seq seq,
                            const ns::QueryResult& result) {
      oracles_->read(client_signers_[id]->public_key(), query, seq, result);
    };
    clients_.push_back(std::make_unique<Client>(std::move(setup), scheduler_, random_.fork(),
                                                std::move(callbacks), history_));
  }
}

consensus::Now Cluster::now() const { return {scheduler_.now(), kWallEpochUs + scheduler_.now()}; }

// ---- network

// Real bytes: what does not survive encoding and strict decoding would not arrive in production.
void Cluster::transmit(ReplicaId from, const std::vector<ReplicaId>& to,
                       const messages::PeerMessage& message, std::uint64_t epoch) {
  oracles_->sent(from, message, to, epoch);
  const auto frame =
      std::make_shared<const Bytes>(messages::encode_frame(context_of(epoch), message));
  if (frame->size() > limits::kMaxFrame && hosts_[from]->correct())
    oracles_->violation("S13",
                        std::string(messages::message_name(message)) + " exceeds the frame limit");
  const MessageSummary what = summarize(message);
  for (const ReplicaId r : to) network_->send(from, r, frame, what);
}

void Cluster::inject(ReplicaId from, ReplicaId to, const messages::PeerMessage& message) {
  inject(from, to, message, hosts_.at(from)->epoch());
}

void Cluster::inject(ReplicaId from, ReplicaId to, const messages::PeerMessage& message,
                     std::uint64_t epoch) {
  BFTMETA_ASSERT(hosts_.at(from)->standing() == Standing::byzantine);
  transmit(from, {to}, message, epoch);
}

bool Cluster::honest(Endpoint endpoint) const {
  return endpoint < kFirstClient ? hosts_[endpoint]->correct()
                                 : endpoint - kFirstClient < clients_.size();
}

bool Cluster::of_this_epoch(const Host& host, Endpoint from, const Bytes& frame) {
  const auto epoch = messages::frame_epoch(cluster_id_, frame);
  if (!epoch || *epoch == host.epoch()) return true;
  if (!host.up() || !messages::epoch_to_show(cluster_id_, host.epoch(), frame)) return false;
  const messages::Epochs steps = host.steps_from(*epoch);
  const crypto::Context theirs = context_of(*epoch);
  const auto answer = [&](const auto& message) {
    network_->send(host.id(), from,
                   std::make_shared<const Bytes>(messages::encode_frame(theirs, message)),
                   summarize(message));
  };
  if (from >= kFirstClient)
    answer(messages::ReplicaMessage(steps));
  else
    answer(messages::PeerMessage(steps));
  return false;
}

void Cluster::arrive(Endpoint from, Endpoint to, const Bytes& frame) {
  const auto judge = [&](const Error& error) {
    if (honest(from)) oracles_->violation("S13", "undecodable frame: " + error.message);
  };
  if (to >= kFirstClient) {
    const Endpoint client = to - kFirstClient;
    const std::uint64_t epoch = client_epoch(client);
    if (messages::frame_epoch(cluster_id_, frame).value_or(epoch) != epoch) return;
    auto message = messages::decode_replica_frame(context_of(epoch), frame);
    if (!message) return judge(message.error());
    if (client < clients_.size()) clients_[client]->deliver(from, std::move(*message));
    return;
  }
  Host& host = *hosts_.at(to);
  if (!of_this_epoch(host, from, frame)) return;
  if (from >= kFirstClient) {
    auto message = messages::decode_client_frame(host.context(), frame);
    if (!message) return judge(message.error());
    host.deliver_client(from - kFirstClient, std::move(*message));
  } else {
    auto message = messages::decode_peer_frame(host.context(), frame);
    if (!message) return judge(message.error());
    host.deliver(from, std::move(*message));
  }
}

// Those that are driven from outside know of the first epoch only.
std::uint64_t Cluster::client_epoch(std::uint32_t client) const {
  return client < clients_.size() ? clients_[client]->epoch() : genesis_.config.epoch;
}

// A client does not know the primary for sure: it asks somebody who thinks that he knows.
ReplicaId Cluster::likely_primary() const {
  ReplicaId primary = 0;
  const std::uint64_t epoch = newest_config().epoch;
  for (const auto& host : hosts_)
    if (host->up() && host->epoch() == epoch && host->core().active())
      primary = host->core().primary(host->core().view());
  return primary;
}

std::shared_ptr<const IdealSigner> Cluster::other_client(std::uint32_t index) const {
  return client_signers_.at(plan_.clients + index);
}

void Cluster::submit(std::uint32_t index, ReplicaId to, const messages::Item& item) {
  send_to_replica(plan_.clients + index, to, messages::Submit{item});
}

void Cluster::send_to_replica(std::uint32_t client, ReplicaId to,
                              const messages::ClientMessage& message) {
  network_->send(kFirstClient + client, to,
                 std::make_shared<const Bytes>(
                     messages::encode_frame(context_of(client_epoch(client)), message)),
                 summarize(message));
}

// ---- run

void Cluster::start(ReplicaId id) {
  Host& host = *hosts_.at(id);
  if (host.running() || host.gone()) return;
  ++restarts_;
  trace_.note(scheduler_.now(), id, "starts");
  host.start();
}

void Cluster::wipe(ReplicaId id) {
  BFTMETA_ASSERT(!hosts_.at(id)->up() && !hosts_[id]->correct());
  hosts_[id]->wipe();
  oracles_->wiped(id);
}

void Cluster::start_all() {
  began_us_ = scheduler_.now();
  for (auto& host : hosts_) host->start();
  for (auto& client : clients_) client->start();
  sample();
}

void Cluster::sample() {
  std::uint32_t correct = 0;
  for (const auto& host : hosts_)
    if (host->correct()) correct |= 1U << host->id();
  for (const auto& host : hosts_)
    if (host->correct() && host->up()) oracles_->liveness().sample(*host, correct);
  scheduler_.after(kSampleUs, [this] { sample(); });
}

void Cluster::run_for(std::uint64_t us) {
  scheduler_.run_until(scheduler_.now() + us, [] { return false; });
}

bool Cluster::run_until(const std::function<bool()>& condition, std::uint64_t us) {
  bool met = condition();
  if (!met) scheduler_.run_until(scheduler_.now() + us, [&] { return met = condition(); });
  return met;
}

void Cluster::begin_faults() {
  const NetworkFaults& f = plan_.network;
  const bool calm = plan_.schedule->empty() && f.loss == 0 && f.duplicate == 0 && f.slow == 0 &&
                    f.bytes_per_s == 0 && plan_.corrupting == 0;
  const bool none = calm && oracles_->known().faulty() == 0 && plan_.other_clients == 0;
  if (none) oracles_->liveness().expect_no_fault();
  if (calm && first_primaries_correct()) oracles_->liveness().expect_one_view();
  faults_on_ = true;
  network_->set_faults(true);
  injector_->schedule(*plan_.schedule);
  scheduler_.after(plan_.window_us, [this] { end_faults(); });
}

// Of all epochs that are to come.
bool Cluster::first_primaries_correct() const {
  config::Config config = genesis_.config;
  bool correct = hosts_[config.primary(0)]->correct();
  for (const std::uint32_t n : plan_.memberships) {
    ++config.epoch;
    config.replicas.resize(n);
    correct = correct && hosts_[config.primary(0)]->correct();
  }
  return correct;
}

void Cluster::end_faults() {
  faults_on_ = false;
  healed_us_ = scheduler_.now();
  network_->set_faults(false);
  injector_->end_all();
  oracles_->liveness().healed(newest_config().epoch, highest_view());
}

messages::View Cluster::highest_view() const {
  messages::View highest = 0;
  const std::uint64_t epoch = newest_config().epoch;
  for (const auto& host : hosts_)
    if (host->correct() && host->up() && host->epoch() == epoch)
      highest = std::max(highest, host->core().view());
  return highest;
}

bool Cluster::clients_done() const {
  return std::ranges::all_of(clients_, [](const auto& c) { return c->done(); });
}

bool Cluster::caught_up() const {
  Seq highest = 0;
  for (const auto& host : hosts_)
    if (host->correct() && host->up()) highest = std::max(highest, host->machine().executed_seq());
  const config::Config& newest = newest_config();
  for (const auto& host : hosts_)
    if (host->correct() && host->id() < newest.n() && host->epoch() != newest.epoch) return false;
  // Prepared everywhere, to be finished after a power cut.
  if (highest < oracles_->last_acknowledged()) return false;
  for (const auto& host : hosts_) {
    if (!host->correct() || !host->member() || host->gone()) continue;
    if (!host->up() || host->machine().executed_seq() != highest ||
        host->core().certified_seq() != highest)
      return false;
  }
  return true;
}

Report Cluster::run() {
  start_all();
  begin_faults();
  scheduler_.after(kWantUs, [this] { want_memberships(); });
  if (plan_.load_us != 0)
    scheduler_.after(plan_.load_us, [this] {
      for (auto& client : clients_) client->stop();
    });
  const auto over = [this] {
    return !oracles_->violations().empty() ||
           (!faults_on_ && memberships_ == plan_.memberships.size() && clients_done() &&
            caught_up());
  };
  run_until(over, plan_.window_us + plan_.heal_us);
  done_us_ = scheduler_.now();
  oracles_->liveness().check_views(newest_config(), highest_view());
  if (plan_.final_power_cut && oracles_->violations().empty()) cut_all_power();
  if (oracles_->violations().empty() &&
      !(memberships_ == plan_.memberships.size() && clients_done() && caught_up()))
    oracles_->violation("L1", standstill());
  finish();
  return report();
}

// Nobody syncs for a client's sake: what was acknowledged must be there all the same.
void Cluster::cut_all_power() {
  oracles_->liveness().expect_no_fault(false);
  oracles_->liveness().expect_one_view(false);
  for (auto& host : hosts_) host->crash(Survival::none);
  run_for(1'000);
  for (ReplicaId r = 0; r < replicas(); ++r) start(r);
  run_until([this] { return !oracles_->violations().empty() || caught_up(); }, plan_.heal_us);
}

bool Cluster::cut_power_of_correct() {
  constexpr std::uint64_t kMostCuts = 8;  // so that a run gets somewhere in between
  constexpr std::uint64_t kMaxDownUs = 800'000;
  if (!faults_on_ || cuts_ == kMostCuts) return false;
  ++cuts_;
  oracles_->liveness().expect_one_view(false);
  for (auto& host : hosts_) {
    if (!host->correct() || !host->up()) continue;
    host->crash(Survival::some);
    scheduler_.after(random_.between(1'000, kMaxDownUs), [this, id = host->id()] { start(id); });
  }
  return true;
}

std::string Cluster::standstill() const {
  std::string state = "not everything was done within the bound after the faults:";
  for (const auto& c : clients_)
    state += " client " + std::to_string(c->acknowledged()) + (c->done() ? "" : " waits");
  for (const auto& host : hosts_) {
    state += " | r" + std::to_string(host->id());
    if (!host->correct()) state += "(faulty)";
    state += " epoch " + std::to_string(host->epoch());
    if (!host->up()) {
      state += host->member() ? " down" : " no member";
      continue;
    }
    const consensus::Core& core = host->core();
    if (!core.may_vote()) state += " does not vote";
    state += " view " + std::to_string(core.view()) + (core.active() ? "" : "?") + " exec " +
             std::to_string(core.executed_seq()) + " cert " + std::to_string(core.certified_seq()) +
             " pending " + std::to_string(core.pending());
  }
  return state;
}

void Cluster::finish() {
  std::vector<const Host*> up;
  for (const auto& host : hosts_)
    if (host->up()) up.push_back(host.get());
  oracles_->finish(history_.entries(), up);
}

Report Cluster::report() const {
  Report r;
  r.violations = oracles_->violations();
  r.completed = memberships_ == plan_.memberships.size() && clients_done() && caught_up();
  r.batches = oracles_->known().agreed->size();
  for (const auto& c : clients_) {
    r.acknowledged += c->acknowledged();
    r.reads += c->reads();
    r.fresh_reads += c->fresh_reads();
    r.refuted += c->refuted();
  }
  r.modelled = oracles_->batches_modelled();
  for (const auto& host : hosts_)
    if (host->up()) r.view_changes += host->core().view_changes();
  r.restarts = restarts_;
  r.transfers = oracles_->transfers().ended();
  r.delivered = network_->delivered();
  r.dropped = network_->dropped();
  r.virtual_us = scheduler_.now() - began_us_;
  r.healing_us = done_us_ > healed_us_ ? done_us_ - healed_us_ : 0;
  r.faults = injector_->counts();
  if (cuts_ != 0) r.faults["power-cut-of-correct"] = cuts_;
  if (network_->corrupted() != 0) r.faults["corrupted-frame"] = network_->corrupted();
  r.schedule = *plan_.schedule;
  r.digest = oracles_->digest();
  return r;
}

}  // namespace bftmeta::sim
