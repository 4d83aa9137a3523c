// From a data directory to a running replica: lock, check, open the ports, recover (protocol §3.5).
#include "replica/log.hpp"
#include "replica/replica.hpp"
#include "replica/state_store.hpp"

namespace bftmeta::replica {

namespace {

// Signatures remembered as valid: a few seconds of full load, some 10 MB.
constexpr std::size_t kVerifiedSignatures = 65536;

// What a flush of this store says. nullopt: nothing was ever flushed, or a state transfer was under
// way.
Result<std::optional<execution::Checkpoint>> stored_checkpoint(const tree::Snapshot& snapshot,
                                                               const crypto::Verifier& verifier,
                                                               const Hash& cluster_id,
                                                               const Membership& membership) {
  if (snapshot.generation() == 0 || transfer::is_mixture(snapshot.meta())) return std::nullopt;
  auto decoded = execution::decode_checkpoint(snapshot.meta());
  if (!decoded) return fail("state store", Error{Errc::corrupt, decoded.error().message});
  execution::Checkpoint& checkpoint = *decoded;
  if (!checkpoint.cert || checkpoint.cert->body != checkpoint.body)
    return fail(Errc::corrupt, "state store: its newest generation has no certificate of its own");
  const config::Config* config = membership.config_of(checkpoint.body.epoch);
  if (config == nullptr)
    return fail(Errc::corrupt, "state store: it is of epoch " +
                                   std::to_string(checkpoint.body.epoch) +
                                   ", and the chain of epochs beside it ends at " +
                                   std::to_string(membership.epoch()));
  if (const auto holds = messages::verify_cert(verifier, cluster_id, *config, *checkpoint.cert);
      !holds)
    return fail("state store", Error{Errc::corrupt, holds.error().message});
  return std::optional(std::move(checkpoint));
}

}  // namespace

Replica::Replica(Setup& setup, const storage::DataDirectory& directory, Membership& membership)
    : setup_(setup),
      directory_(directory),
      membership_(membership),
      self_(membership.position().value()),
      cluster_id_(setup.genesis.cluster_id()),
      started_us_(net::steady_us()),
      verifier_(std::make_unique<crypto::CachingVerifier>(ed25519_, kVerifiedSignatures)),
      flush_started_us_(started_us_) {}

Replica::~Replica() = default;

Result<std::unique_ptr<Replica>> Replica::open(Setup& setup,
                                               const storage::DataDirectory& directory,
                                               Membership& membership) {
  while (true) {
    std::unique_ptr<Replica> replica(new Replica(setup, directory, membership));
    BFTMETA_TRY(replica->open_storage());
    BFTMETA_TRY(replica->open_network());
    replica->recover();
    if (!replica->failure_) return replica;
    if (!replica->reopens_) return tl::make_unexpected(std::move(*replica->failure_));
    log_line(LogLevel::error, replica->failure_->message);
  }
}

Status Replica::open_storage() {
  const config::ReplicaSettings& s = setup_.settings;
  marks_.emplace(storage::posix_file_system(), directory_.path());
  BFTMETA_TRY(open_state_store(*marks_, directory_, [this] {
    Status status = read_store();
    if (!status) store_.reset();
    return status;
  }));

  BFTMETA_ASSIGN(
      auto opened,
      storage::Log::open(storage::posix_file_system(), directory_.log_path(),
                         {.segment_bytes = s.log_segment_bytes, .retain_bytes = s.log_retain_bytes},
                         directory_.identity().log_secret, flushed_seq_));
  log_ = std::move(opened.log);
  if (!opened.recovered.damage.empty()) log_line(LogLevel::warn, opened.recovered.damage);
  recovered_.votes_lost = opened.recovered.control_lost;
  recovered_.incarnation = directory_.identity().incarnation;
  crypto::random_bytes(recovered_.nonce);
  BFTMETA_ASSIGN(auto evidence,
                 EvidenceFiles::open(storage::posix_file_system(), directory_.evidence_path(),
                                     membership_, *verifier_, recovered_.evidence));
  evidence_files_.emplace(std::move(evidence));
  for (storage::Record& record : opened.recovered.records) {
    BFTMETA_ASSIGN(auto converted, storage::from_log(std::move(record)));
    recovered_.records.push_back(std::move(converted));
  }
  return {};
}

// The state machine as of the newest flush, or at genesis where there is none or a state has to be
// fetched. Errors: corrupt (the store is of no use); identity, config, permission, io, disk_full.
Status Replica::read_store() {
  BFTMETA_ASSIGN(store_,
                 storage::LmdbPageStore::open(directory_.state_path(),
                                              {.map_bytes = setup_.settings.lmdb_map_bytes}));
  BFTMETA_ASSIGN(auto snapshot, store_->snapshot());
  BFTMETA_ASSIGN(auto checkpoint,
                 stored_checkpoint(*snapshot, *verifier_, cluster_id_, membership_));
  recovered_.transferring = transfer::is_mixture(snapshot->meta());
  if (checkpoint) {
    const messages::Seq seq = checkpoint->seq;
    const auto cert = checkpoint->cert;
    BFTMETA_ASSIGN(const auto version, tree::Version::open(std::move(snapshot)));
    auto engine = execution::Engine::from_checkpoint(cluster_id_, *verifier_,
                                                     std::move(*checkpoint), version);
    if (const auto broken = store_->broken()) return tl::make_unexpected(*broken);
    if (engine) {
      flushed_seq_ = flush_from_ = recovered_.flushed = seq;
      // A certificate of the last epoch is none of this one's, which begins behind it.
      (cert->body.epoch == membership_.epoch() ? recovered_.flushed_cert : last_cert_) = cert;
      machine_ = std::make_unique<Machine>(std::move(*engine));
      return {};
    }
    damaged_ = version.take_rotten();
    if (damaged_.empty()) return tl::make_unexpected(engine.error());
    recovered_.transferring = true;
  }
  BFTMETA_ASSIGN(auto engine, execution::Engine::from_genesis(setup_.genesis, *verifier_));
  machine_ = std::make_unique<Machine>(std::move(engine));
  return {};
}

Status Replica::open_network() {
  const config::ReplicaSettings& s = setup_.settings;
  const config::Replica& self = membership_.config().replicas[self_];
  const std::string& host = s.listen_host.empty() ? self.host : s.listen_host;
  authenticator_ = std::make_unique<net::Authenticator>(net_context_);
  BFTMETA_ASSIGN(mesh_,
                 net::PeerMesh::open(net_context_, *authenticator_, membership_.config(), self_,
                                     setup_.link_key, s.listen_host, poller_.waker()));
  net::ServerOptions clients = net::client_port_options();
  client_domain_ = authenticator_->domain("clients", net::Domain::kPerClient);
  clients.domain = client_domain_;
  clients.host = host;
  clients.port = self.client_port();
  BFTMETA_ASSIGN(client_port_,
                 net::Server::bind(net_context_, setup_.link_key, clients, poller_.waker()));

  BFTMETA_ASSIGN(block_directory_,
                 blocks::BlockDirectory::open(
                     storage::posix_file_system(), directory_.blocks_path(),
                     [](const std::string& line) { log_line(LogLevel::error, line); }));
  net::ServerOptions block_options = net::block_port_options();
  block_domain_ = authenticator_->domain("blocks", net::Domain::kPerClient);
  block_options.domain = block_domain_;
  block_options.host = host;
  block_options.port = self.block_port();
  BFTMETA_TRY(open_block_port(std::move(block_options)));
  poller_.add(*mesh_);
  poller_.add(*client_port_);
  reads_ = std::make_unique<ReadService>(cluster_id_, poller_.waker());
  flusher_ = std::make_unique<Flusher>(*store_, *log_, poller_.waker());
  scrubber_ = std::make_unique<Scrubber>(
      *store_,
      storage::LogCheck(storage::posix_file_system(), directory_.log_path(),
                        directory_.identity().log_secret),
      s.scrub_bytes_per_s, poller_.waker());
  return {};
}

Status Replica::open_block_port(net::ServerOptions port) {
  BlockKeeperOptions keeper = block_keeper_options(setup_, directory_, membership_.config(), self_);
  keeper.rest = std::exchange(setup_.block_rest, std::nullopt);
  if (!last_cert_ || last_cert_->body.seq != membership_.start()) keeper.rest.reset();
  BFTMETA_ASSIGN(block_keeper_,
                 BlockKeeper::open(net_context_, setup_.link_key, storage::posix_file_system(),
                                   *block_directory_, std::move(keeper)));
  blocks::BlockServerContext around;
  around.cluster = block_context(cluster_id_);
  around.bend = setup_.bend_block;
  around.missed = [keeper = block_keeper_.get()](const Hash& digest) { keeper->missed(digest); };
  BFTMETA_ASSIGN(block_server_,
                 blocks::BlockServer::start(net_context_, setup_.link_key, std::move(port),
                                            std::move(around), *block_directory_));
  return {};
}

void Replica::recover() {
  archive_ = std::make_unique<storage::LogArchive>(*log_);
  consensus::Options options;
  options.self = self_;
  options.cluster_id = cluster_id_;
  options.config = membership_.config();
  options.epoch_start = membership_.start();
  options.transfers = true;
  options.max_prepared_bytes = log_->state_limit() / 2;
  core_ = std::make_unique<consensus::Core>(std::move(options), *setup_.signer, *verifier_,
                                            *machine_, *archive_);
  answers_ = std::make_unique<Answers>(*machine_);
  machine_->set_audience([this](const auto& results) { return answers_->awaited(results); });
  log_->set_state_provider([this] { return storage::to_state_group(core_->control_state()); });
  refresh_members();
  consensus::Actions actions;
  core_->start(std::move(recovered_), now(), actions);
  if (core_->out_of_service()) log_line(LogLevel::error, core_->standing_text());
  answers_->skip_to(machine_->executed_seq());
  keep(perform(actions));
  // Reads go on at the last root of the epoch before, until this one has its first.
  if (last_cert_ && machine_->executed_seq() == last_cert_->body.seq)
    publish(*last_cert_, machine_->engine().version());
  if (!failure_) keep(sync_log());
}

}  // namespace bftmeta::replica
