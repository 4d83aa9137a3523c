// bftmetad without its command line: one main thread drives the consensus core with sockets and the
// write-ahead log; reads, flushes and blocks have a thread each (architecture §5). A turn: wait;
// drain all sockets into the core; send what needs no disk; sync the log once if a message waits
// for it; send the rest. Thread-safety: one thread; stop() from any thread or a signal handler.
#pragma once

#include <atomic>

#include "blocks/block_server.hpp"
#include "consensus/core.hpp"
#include "crypto/caching_verifier.hpp"
#include "net/peer_mesh.hpp"
#include "replica/answers.hpp"
#include "replica/block_keeper.hpp"
#include "replica/evidence_files.hpp"
#include "replica/flusher.hpp"
#include "replica/links.hpp"
#include "replica/membership.hpp"
#include "replica/read_service.hpp"
#include "replica/repairs.hpp"
#include "replica/scrubber.hpp"
#include "replica/setup.hpp"
#include "replica/store_marks.hpp"
#include "replica/transfer_meter.hpp"
#include "storage/consensus_log.hpp"
#include "storage/data_dir.hpp"
#include "transfer/receiver.hpp"

namespace bftmeta::replica {

class Replica {
 public:
  // A member of the epoch: binds the ports, recovers. Everything passed outlives it. Errors:
  // identity, busy, permission, corrupt, io, disk_full; each names the object and what to do. A
  // state store that cannot be read is none of them: it is set aside.
  static Result<std::unique_ptr<Replica>> open(Setup& setup,
                                               const storage::DataDirectory& directory,
                                               Membership& membership);
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  enum class Ended {
    stopped,     // by stop()
    next_epoch,  // what `membership` says has changed: open it anew
  };
  // Until one of these, or until the replica must stop (the reason).
  Result<Ended> run();
  void stop();
  // run() ended because the state store cannot be read: open() goes on without it.
  bool reopens() const { return reopens_; }

  // What is wrong with it, in one line; "ok".
  std::string condition() const;
  messages::Seq executed_seq() const { return core_->executed_seq(); }

 private:
  static constexpr std::uint32_t kRetryMs = 20;             // what a refused client is told to wait
  static constexpr std::int64_t kSweepUs = 1'000'000;       // between looks for dead client links
  static constexpr std::int64_t kSpaceRetryUs = 1'000'000;  // between looks at a full disk
  static constexpr std::int64_t kRepairUs = 10'000'000;     // then a newer state is fetched
  // Numbers of those whom a step has left out; those of who joins follow the members'.
  static constexpr messages::ReplicaId kFirstLeftOut = 2 * limits::kMaxReplicas;

  Replica(Setup& setup, const storage::DataDirectory& directory, Membership& membership);
  Status open_storage();
  Status read_store();
  Status open_network();
  Status open_block_port(net::ServerOptions port);
  void recover();

  Status turn();
  void receive();
  void receive_peer(messages::ReplicaId from, ByteView bytes);
  void receive_client(const net::Route& from, ByteView bytes);
  void on(const net::Route& from, messages::Submit m);
  void on(const net::Route& from, messages::Subscribe m);
  void on(const net::Route& from, messages::Read m);
  void on(const net::Route& from, const messages::StatusQuery& m);
  void on(const net::Route& from, messages::Fresh m);
  void on(const net::Route& from, const messages::EvidenceQuery& m);
  Status background();
  Status step(consensus::Event event);
  Status perform(consensus::Actions& actions);
  void release(const consensus::action::Send& send);
  void release_bent(messages::ReplicaId to, const messages::PeerMessage& message);
  Status sync_log();
  Status note_space(const Result<storage::Lsn>& committed);
  messages::TransferProgress transfer_progress() const;
  void take_out_of_service(const consensus::action::Diverged& diverged);
  void certified(const messages::RootCert& cert);
  Status maybe_flush();
  void publish(const messages::RootCert& cert, tree::Version version);
  Status flushed(FlushDone done);
  bool take_nodes(messages::ReplicaId from, messages::PeerMessage& message);
  Status try_transfer();
  Status perform(transfer::Actions& actions);
  Status transfer_failed(const Error& error);
  void republish();
  bool restoring() const { return receiver_ && !restored_.empty(); }
  void scrub(std::uint64_t bytes_per_s);
  Status try_repair();
  Status try_repair_log();
  Result<std::vector<tree::Subtree>> still_damaged(const tree::Version& own);
  Status begin_repair(std::vector<tree::Subtree> damaged, tree::Version own, Bytes meta);
  Status repaired();
  Status fetch_instead(const std::string& why);
  Status note_unreadable(const Error& error);
  Status note_damaged(const std::vector<tree::Subtree>& places);
  Status check_repaired(const tree::Subtree& place);
  tl::unexpected<Error> give_up_store(const Error& error);
  void write(transfer::action::Write write);
  Status transferred();
  Status drop_dead_links();
  void refresh_members();  // who may connect
  void answer(const net::Route& to, messages::ReplicaMessage message);
  void answer_again(const net::Route& to, const messages::ParsedItem& item);
  void answer_fresh(const consensus::action::AnswerFresh& action);
  void keep(Status status);
  consensus::Now now() const;
  using ShowEpochs = std::function<void(const crypto::Context& theirs)>;
  bool of_this_epoch(ByteView frame, const ShowEpochs& show);
  void follow(messages::ReplicaId from, const messages::Epochs& epochs);
  Status enter_epoch();
  void leave_epoch();
  void show_epochs(messages::ReplicaId to, const crypto::Context& theirs);
  void expect_joining();
  void let_in_left_out();
  void note_doors();
  void note_learning(messages::ReplicaId from, const messages::Learning& learning);
  std::vector<messages::Joining> heard_of_joining() const;
  bool flush_due(const messages::RootCert& cert) const;
  crypto::Context context() const { return {cluster_id_, membership_.epoch()}; }

  Setup& setup_;
  const storage::DataDirectory& directory_;
  Membership& membership_;
  const messages::ReplicaId self_;  // position in this epoch
  const Hash cluster_id_;
  const std::int64_t started_us_;
  std::atomic<bool> stopping_{false};

  // ---- storage
  std::optional<EvidenceFiles> evidence_files_;
  std::optional<StoreMarks> marks_;
  std::unique_ptr<storage::LmdbPageStore> store_;
  std::unique_ptr<storage::Log> log_;
  consensus::Recovered recovered_;

  // ---- agreement
  crypto::Ed25519Verifier ed25519_;
  std::unique_ptr<crypto::CachingVerifier> verifier_;
  std::unique_ptr<Machine> machine_;
  std::unique_ptr<storage::LogArchive> archive_;
  std::unique_ptr<consensus::Core> core_;
  std::unique_ptr<Answers> answers_;
  std::vector<consensus::action::Send> waiting_;  // for their records
  consensus::Lsn appended_ = consensus::kRecoveredLsn;
  consensus::Lsn durable_ = consensus::kRecoveredLsn;
  Links links_;  // of clients
  std::int64_t swept_us_ = 0;
  std::optional<Error> failure_;                 // why this replica must stop
  std::vector<messages::EpochStep> next_steps_;  // shown by a peer, or of the own core
  std::map<messages::ReplicaId, std::int64_t> unbelieved_until_us_;  // peers that showed wrong ones
  bool epoch_ended_ = false;                                         // the core is done with it
  std::int64_t enters_us_ = 0;              // not before, the disk was full
  bool next_epoch_ = false;                 // it has begun
  std::int64_t leaves_us_ = 0;              // it has, without this replica: when it stops; 0: not
  std::map<PublicKey, PublicKey> members_;  // registered clients: link key -> sign key
  net::PeerMesh::Peers joining_;            // the next configuration names them, this one does not
  struct Heard {
    messages::Learning learning;
    std::int64_t at_us = 0;
  };
  std::map<messages::ReplicaId, Heard> heard_of_joining_;  // of those in joining_ at most
  std::int64_t lets_left_in_until_us_ = 0;  // peers that a step has left out; 0: no more
  std::map<messages::ReplicaId, std::int64_t> shown_again_us_;  // the chain, not before
  std::int64_t refused_since_us_ = 0;                           // by so many that it is out; 0: not
  bool refusal_said_ = false;
  messages::Seq flushed_seq_ = 0;
  std::optional<messages::RootCert> last_cert_;  // of the last batch of the epoch before
  messages::Seq flush_from_ = 0;                 // executed seq when the last flush began
  std::int64_t flush_started_us_ = 0;
  // ---- state transfer; one writer of the store at a time
  std::optional<messages::Seq> transfer_floor_;  // wanted, and not begun
  std::unique_ptr<transfer::Receiver> receiver_;
  TransferMeter transfer_meter_;
  std::vector<tree::Subtree> damaged_;   // of the store, for the next transfer to fetch anew
  std::vector<tree::Subtree> replaced_;  // ... and those that the one under way does
  // ---- repair; the receiver's, too
  Repairs repairs_;
  std::vector<tree::Subtree> restored_;  // what is repaired now
  Bytes restored_meta_;                  // of the generation that is repaired
  std::int64_t repair_deadline_us_ = 0;
  std::uint64_t log_damage_found_ = 0;  // segments
  bool reopens_ = false;
  bool published_ = false;  // a certified version, to the read service
  messages::Seq published_seq_ = 0;
  bool space_ = true;  // for the log, outside its reserve
  std::int64_t space_retry_us_ = 0;
  std::string space_fault_;  // what is wrong in one line each; empty: nothing
  std::string read_fault_;
  std::string flush_fault_;

  // ---- network and threads; declared last, destroyed first
  net::Context net_context_;
  net::Poller poller_;
  std::unique_ptr<net::Authenticator> authenticator_;
  std::shared_ptr<net::Domain> client_domain_;
  std::shared_ptr<net::Domain> block_domain_;
  std::unique_ptr<net::PeerMesh> mesh_;
  std::unique_ptr<net::Server> client_port_;
  std::unique_ptr<blocks::BlockDirectory> block_directory_;
  std::unique_ptr<BlockKeeper> block_keeper_;
  std::unique_ptr<blocks::BlockServer> block_server_;
  std::unique_ptr<ReadService> reads_;
  std::unique_ptr<Flusher> flusher_;
  std::unique_ptr<Scrubber> scrubber_;
};

}  // namespace bftmeta::replica
