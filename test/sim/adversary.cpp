#include "sim/adversary.hpp"

namespace bftmeta::sim {

using adversary::HostileClient;
using adversary::Identity;
using messages::ReplicaId;

namespace {

// A key that nobody has registered, for plots without a client.
PublicKey stranger() {
  return crypto::Ed25519Signer(crypto::sha256(view("a stranger"))).public_key();
}

}  // namespace

Adversary::Adversary(Plan& plan, MachineFactory machine, const Attack& attack)
    : machine_(std::move(machine)), seed_(attack.seed) {
  if (attack.strategy != nullptr && attack.strategy->client != nullptr)
    clients_.push_back(adversary::find_hostile_client(attack.strategy->client));
  if (attack.client != nullptr) clients_.push_back(attack.client);
  clients_.insert(clients_.end(), attack.crowd.begin(), attack.crowd.end());
  plan.other_clients = static_cast<std::uint32_t>(clients_.size());
  account_->signer = std::make_shared<IdealSigner>(stranger());
  if (attack.strategy == nullptr) return;
  for (const ReplicaId r : attack.members) {
    if (attack.strategy->epochs) plan.lingering |= 1U << r;
    plan.byzantine[r] = [this, strategy = attack.strategy](
                            const config::Genesis& genesis, const consensus::Options& epoch,
                            const crypto::Signer& signer,
                            Random& random) -> std::unique_ptr<consensus::Interceptor> {
      keys_[epoch.self] = &signer;
      if (epoch.self >= epoch.config.n() && !strategy->epochs) return nullptr;  // not yet a member
      Identity id;
      id.self = epoch.self;
      id.cluster_id = epoch.cluster_id;
      id.config = epoch.config;
      id.epoch_start = epoch.epoch_start;
      id.signer = &signer;
      id.seed = random.next();
      id.verifier = &verifier_;
      id.fresh_machine = [this, genesis] { return machine_(genesis, verifier_); };
      id.conspiracy = plot_of(epoch);
      id.lies = lies_;
      return strategy->make(std::move(id));
    };
  }
}

std::shared_ptr<adversary::Conspiracy> Adversary::plot_of(const consensus::Options& epoch) {
  auto& plot = plots_[epoch.config.epoch];
  if (!plot) {
    plot = std::make_shared<adversary::Conspiracy>();
    plot->witness = adversary::Witness(epoch.epoch_start);
    plot->client = account_;
    plot->powers = powers_;
    if (const auto last = plots_.find(epoch.config.epoch - 1); last != plots_.end())
      plot->before = last->second;
  }
  for (const auto& [epoch_no, any] : plots_) any->members = keys_;
  return plot;
}

void Adversary::attach(Cluster& cluster) {
  powers_.cut_power = [&cluster] { return cluster.cut_power_of_correct(); };
  powers_.next_timer = [&cluster](ReplicaId r) { return cluster.host(r).next_timer(); };
  powers_.unconfirmed = [&cluster](const PublicKey& key) { return cluster.unconfirmed(key); };
  powers_.newest = [&cluster]() -> const config::Config& { return cluster.newest_config(); };
  powers_.say_in = [&cluster](std::uint64_t epoch, ReplicaId from, ReplicaId to,
                              const messages::PeerMessage& m) {
    cluster.inject(from, to, m, epoch);
  };
  for (const auto& [epoch, plot] : plots_) plot->powers = powers_;
  for (std::uint32_t c = 0; c < clients_.size(); ++c) make_client(cluster, c);
  if (hostile_.empty()) return;
  cluster.on_outcome([this](const Outcome& outcome) { learn(outcome); });
  let_act(cluster);
}

void Adversary::make_client(Cluster& cluster, std::uint32_t index) {
  adversary::ClientIdentity id;
  id.cluster_id = cluster.genesis().cluster_id();
  id.n = cluster.genesis().config.n();
  id.signer = cluster.other_client(index);
  id.sign_otherwise = [key = id.signer->public_key()](ByteView preimage, std::uint8_t variant) {
    return ideal_signature(key, preimage, variant);
  };
  id.seed = seed_ + index;
  id.conspiracy = std::make_shared<adversary::Conspiracy>();
  id.conspiracy->client = account_;
  account_->signer = id.signer;
  hostile_.push_back(clients_[index]->make(std::move(id)));
}

// As long as honest clients have something to do: they must get it done in spite of this.
void Adversary::let_act(Cluster& cluster) {
  if (cluster.clients_done()) return;
  const consensus::Now now = cluster.now();
  for (std::uint32_t c = 0; c < hostile_.size(); ++c)
    for (const HostileClient::Submission& s : hostile_[c]->act(now, cluster.likely_primary()))
      cluster.submit(c, s.to, s.item);
  cluster.scheduler().after(HostileClient::kPeriodUs, [this, &cluster] { let_act(cluster); });
}

void Adversary::learn(const Outcome& outcome) {
  for (const auto& client : hostile_)
    client->learn({outcome.request_digest, outcome.session_id, outcome.bundle_no});
}

std::uint64_t Adversary::client_lies() const {
  std::uint64_t all = 0;
  for (const auto& client : hostile_) all += client->lies();
  return all;
}

}  // namespace bftmeta::sim
