// From a data directory to a running replica: lock, check, open the ports, recover (protocol §3.5).
#include <chrono>

#include "replica/log.hpp"
#include "replica/replica.hpp"

namespace bftmeta::replica {

namespace {

// Signatures remembered as valid: a few seconds of full load, some 10 MB.
constexpr std::size_t kVerifiedSignatures = 65536;

// What a flush of this store says. nullopt: nothing was ever flushed, or a state transfer was under
// way.
Result<std::optional<execution::Checkpoint>> stored_checkpoint(const tree::Snapshot& snapshot,
                                                               const crypto::Verifier& verifier,
                                                               const config::Genesis& genesis) {
  if (snapshot.generation() == 0 || transfer::is_mixture(snapshot.meta())) return std::nullopt;
  auto decoded = execution::decode_checkpoint(snapshot.meta());
  if (!decoded) return fail("state store", Error{Errc::corrupt, decoded.error().message});
  execution::Checkpoint& checkpoint = *decoded;
  if (!checkpoint.cert || checkpoint.cert->body != checkpoint.body)
    return fail(Errc::corrupt, "state store: its newest generation has no certificate of its own");
  if (const auto holds =
          messages::verify_cert(verifier, genesis.cluster_id(), genesis.config, *checkpoint.cert);
      !holds)
    return fail("state store", Error{Errc::corrupt, holds.error().message});
  return std::optional(std::move(checkpoint));
}

}  // namespace

Replica::Replica(std::shared_ptr<Setup> setup)
    : shared_setup_(std::move(setup)),
      setup_(*shared_setup_),
      cluster_id_(setup_.genesis.cluster_id()),
      started_us_(net::steady_us()),
      verifier_(std::make_unique<crypto::CachingVerifier>(ed25519_, kVerifiedSignatures)),
      flush_started_us_(started_us_) {}

Replica::~Replica() = default;

Result<std::unique_ptr<Replica>> Replica::open(std::shared_ptr<Setup> setup) {
  const auto& config = setup->genesis.config;
  if (setup->settings.id >= config.n())
    return fail(Errc::config, "replica id " + std::to_string(setup->settings.id) +
                                  ": the genesis has replicas 0.." +
                                  std::to_string(config.n() - 1));
  const config::Replica& self = config.replicas[setup->settings.id];
  if (setup->signer->public_key() != self.vote_key)
    return fail(Errc::identity, "vote key " + setup->settings.vote_key +
                                    ": the genesis gives replica " + std::to_string(self.id) +
                                    " another key; is this the key, or the genesis, of another "
                                    "replica or cluster?");
  while (true) {
    std::unique_ptr<Replica> replica(new Replica(setup));
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
  BFTMETA_ASSIGN(auto directory, storage::DataDirectory::open(
                                     s.data_dir, setup_.signer->public_key(), cluster_id_, s.id));
  directory_.emplace(std::move(directory));
  BFTMETA_TRY(open_store());

  BFTMETA_ASSIGN(
      auto opened,
      storage::Log::open(storage::posix_file_system(), directory_->log_path(),
                         {.segment_bytes = s.log_segment_bytes, .retain_bytes = s.log_retain_bytes},
                         directory_->identity().log_secret, flushed_seq_));
  log_ = std::move(opened.log);
  if (!opened.recovered.damage.empty()) log_line(LogLevel::warn, opened.recovered.damage);
  recovered_.votes_lost = opened.recovered.control_lost;
  recovered_.incarnation = directory_->identity().incarnation;
  crypto::random_bytes(recovered_.nonce);
  BFTMETA_ASSIGN(auto evidence,
                 EvidenceFiles::open(storage::posix_file_system(), directory_->evidence_path(),
                                     context(), recovered_.evidence));
  evidence_files_.emplace(std::move(evidence));
  for (storage::Record& record : opened.recovered.records) {
    BFTMETA_ASSIGN(auto converted, storage::from_log(std::move(record)));
    recovered_.records.push_back(std::move(converted));
  }
  return {};
}

// Whatever is wrong with the state store, this replica starts; unless that happens twice in a row.
Status Replica::open_store() {
  marks_.emplace(storage::posix_file_system(), directory_->path());
  const std::int64_t now_s = std::chrono::duration_cast<std::chrono::seconds>(
                                 std::chrono::system_clock::now().time_since_epoch())
                                 .count();
  const auto without = [&](const std::string& why) -> Status {
    store_.reset();
    BFTMETA_TRY(marks_->set_aside(why, now_s));
    log_line(LogLevel::error,
             why + "; it is in " + directory_->state_path() +
                 ".damaged now, and the state comes from the log and the other replicas");
    return {};
  };
  BFTMETA_ASSIGN(const std::string suspicion, marks_->suspicion());
  if (!suspicion.empty()) BFTMETA_TRY(without(suspicion));
  BFTMETA_TRY(marks_->arm());
  Status status = read_store();
  if (!status && status.error().code == Errc::corrupt) {
    BFTMETA_TRY(without(status.error().message));
    BFTMETA_TRY(marks_->arm());
    status = read_store();
  }
  return status;
}

// The state machine as of the newest flush, or at genesis where there is none or a state has to be
// fetched. Errors: corrupt (the store is of no use); identity, config, permission, io, disk_full.
Status Replica::read_store() {
  BFTMETA_ASSIGN(store_,
                 storage::LmdbPageStore::open(directory_->state_path(),
                                              {.map_bytes = setup_.settings.lmdb_map_bytes}));
  BFTMETA_ASSIGN(auto snapshot, store_->snapshot());
  BFTMETA_ASSIGN(auto checkpoint, stored_checkpoint(*snapshot, *verifier_, setup_.genesis));
  recovered_.transferring = transfer::is_mixture(snapshot->meta());
  if (checkpoint) {
    const messages::Seq seq = checkpoint->seq;
    const auto cert = checkpoint->cert;
    BFTMETA_ASSIGN(const auto version, tree::Version::open(std::move(snapshot)));
    auto engine = execution::Engine::from_checkpoint(setup_.genesis, *verifier_,
                                                     std::move(*checkpoint), version);
    if (const auto broken = store_->broken()) return tl::make_unexpected(*broken);
    if (engine) {
      flushed_seq_ = flush_from_ = recovered_.flushed = seq;
      recovered_.flushed_cert = cert;
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
  const config::Replica& self = setup_.genesis.config.replicas[s.id];
  const std::string& host = s.listen_host.empty() ? self.host : s.listen_host;
  authenticator_ = std::make_unique<net::Authenticator>(net_context_);
  BFTMETA_ASSIGN(mesh_, net::PeerMesh::open(net_context_, *authenticator_, setup_.genesis.config,
                                            s.id, setup_.link_key, s.listen_host, poller_.waker()));
  net::ServerOptions clients = net::client_port_options();
  client_domain_ = authenticator_->domain("clients", net::Domain::kMaxSlots);
  clients.domain = client_domain_;
  clients.host = host;
  clients.port = self.client_port();
  BFTMETA_ASSIGN(client_port_,
                 net::Server::bind(net_context_, setup_.link_key, clients, poller_.waker()));

  BFTMETA_ASSIGN(block_directory_,
                 blocks::BlockDirectory::open(
                     storage::posix_file_system(), directory_->blocks_path(),
                     [](const std::string& line) { log_line(LogLevel::error, line); }));
  net::ServerOptions block_options = net::block_port_options();
  block_domain_ = authenticator_->domain("blocks", net::Domain::kMaxSlots);
  block_options.domain = block_domain_;
  block_options.host = host;
  block_options.port = self.block_port();
  BFTMETA_ASSIGN(block_server_,
                 blocks::BlockServer::start(net_context_, setup_.link_key, block_options, context(),
                                            *block_directory_));
  poller_.add(*mesh_);
  poller_.add(*client_port_);
  reads_ = std::make_unique<ReadService>(cluster_id_, poller_.waker());
  flusher_ = std::make_unique<Flusher>(*store_, *log_, poller_.waker());
  scrubber_ = std::make_unique<Scrubber>(*store_, s.scrub_bytes_per_s, poller_.waker());
  return {};
}

void Replica::recover() {
  archive_ = std::make_unique<storage::LogArchive>(*log_);
  consensus::Options options;
  options.self = setup_.settings.id;
  options.cluster_id = cluster_id_;
  options.config = setup_.genesis.config;
  options.transfers = true;
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
  if (!failure_) keep(sync_log());
}

}  // namespace bftmeta::replica
