// A replica that is no member yet (protocol §9.2): it fetches the newest certified state again and
// again (src/transfer), and the blocks that it names (src/refill). It says READY once the state
// that it has names it as a member to be, and the blocks are here; signs the last batch of the
// epoch, and ends when the chain of epochs says that another one has begun. It votes on nothing and
// serves nobody. Thread-safety: one thread; stop() from any thread or a signal handler.
#pragma once

#include <atomic>

#include "execution/epochs.hpp"
#include "net/peer_mesh.hpp"
#include "replica/block_keeper.hpp"
#include "replica/membership.hpp"
#include "replica/setup.hpp"
#include "replica/store_marks.hpp"
#include "replica/transfer_meter.hpp"
#include "storage/data_dir.hpp"
#include "storage/lmdb_store.hpp"

namespace bftmeta::replica {

class Learner {
 public:
  // Opens the state store and the peer port of its card. Everything passed outlives it. Errors: as
  // Replica::open.
  static Result<std::unique_ptr<Learner>> open(const Setup& setup,
                                               const storage::DataDirectory& directory,
                                               Membership& membership);

  // Until stop() (false), or until it is to be opened again (true): in the next epoch, or because
  // its state store cannot be read. Errors: why it cannot go on.
  Result<bool> run();
  void stop();

 private:
  Learner(const Setup& setup, const storage::DataDirectory& directory, Membership& membership)
      : setup_(setup),
        membership_(membership),
        marks_(storage::posix_file_system(), directory.path()) {}

  Status open_blocks(const storage::DataDirectory& directory);
  Status begin_transfer();
  Status turn();
  void receive(messages::ReplicaId from, ByteView frame);
  Status perform(transfer::Actions& actions);
  Status write(transfer::action::Write write, transfer::Actions& more);
  Status arrived();
  void announce();
  void tell_progress();
  void say_progress();
  std::string waits_for_blocks() const;
  void send_all(const messages::PeerMessage& message);
  std::uint64_t now_us() const;
  crypto::Context context() const { return {cluster_id_, membership_.epoch()}; }

  const Setup& setup_;
  Membership& membership_;
  StoreMarks marks_;
  Hash cluster_id_{};
  crypto::Ed25519Verifier verifier_;
  std::unique_ptr<storage::LmdbPageStore> store_;
  std::unique_ptr<transfer::Receiver> receiver_;
  TransferMeter meter_;
  std::uint64_t next_progress_us_ = 0;             // in the log
  std::uint64_t next_tell_us_ = 0;                 // to members
  std::optional<messages::CertifiedState> state_;  // that the store holds
  std::optional<tree::Version> version_;           // its tree
  execution::Joining joining_;                     // what it asks of this replica
  std::optional<Hash> proposal_;                   // that blocks were looked for since
  std::uint64_t next_round_us_ = 0;                // the next transfer, and what is said again
  std::optional<Error> failure_;
  bool next_epoch_ = false;
  std::atomic<bool> stopping_{false};
  std::string said_;  // the last line about what it waits for
  bool ready_ = false;
  std::map<messages::ReplicaId, std::uint64_t> unbelieved_until_us_;

  net::Context net_context_;
  net::Poller poller_;
  std::unique_ptr<net::Authenticator> authenticator_;
  std::unique_ptr<net::PeerMesh> mesh_;
  std::unique_ptr<blocks::BlockDirectory> block_directory_;
  std::unique_ptr<BlockKeeper> block_keeper_;
};

}  // namespace bftmeta::replica
