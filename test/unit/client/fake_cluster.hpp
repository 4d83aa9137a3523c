// Replicas as a client sees them, in one process and in virtual time: the real execution engine
// orders at once what the primary gets, certificates have real signatures, answers are built as a
// replica builds them. Each replica can be told to lie, to be slow or to be silent. Replicas are
// called by their keys: those of the genesis are 0 to 3, wherever they stand in later epochs.
#pragma once

#include <map>
#include <set>

#include "client/engine.hpp"
#include "execution/engine.hpp"
#include "support/cluster.hpp"
#include "tree/recorder.hpp"

namespace bftmeta::client::testing {

using messages::Seq;

constexpr auto kLinearizable = ReadMode::linearizable;

struct Behaviour {
  bool connected = true;
  bool silent = false;         // takes everything, answers nothing
  bool deaf_to_items = false;  // neither orders nor forwards
  bool busy = false;           // refuses items
  bool mute_replies = false;   // executes, but never sends a REPLY
  bool forgetful = false;      // has no result of what was executed, as after a state transfer
  Micros delay = 500;          // of each answer
  std::uint32_t copies = 1;    // of each REPLY and FRESH-REPLY
  std::function<void(messages::Reply&)> reply_lie;
  std::function<void(messages::ReadReply&)> read_lie;
  std::optional<Seq> reads_at;  // answers reads from this root, whatever was asked for
  bool oldest_root = false;     // answers reads from the oldest root that the question allows
  std::function<void(messages::Read&)> read_twist;  // changes the question that it answers
  bool deaf_to_fresh = false;                       // as one that holds its answer back
  std::optional<Seq> fresh_at;                      // names this certificate as its newest
  std::function<void(messages::FreshReply&)> fresh_lie;
  std::optional<std::uint64_t> epoch;  // stands still in this one
  std::function<void(messages::Epochs&)> epochs_lie;
};

class FakeCluster final : public Port {
 public:
  explicit FakeCluster(std::uint32_t clients = 2);

  // ---- Port
  void send(ReplicaId to, ByteView message) override;
  ReplicaSet connected() const override;
  ReplicaSet refused() const override { return refused_by; }
  void follow(const config::Config& config) override;

  // ---- the world
  Now now{1'000'000, 1'700'000'000'000'000};
  // Delivers what is due at now.mono.
  void deliver(const std::function<void(ReplicaId, ByteView)>& sink);
  Micros next_delivery() const { return mail_.empty() ? kNever : mail_.begin()->first; }

  Behaviour& replica(ReplicaId r) { return behaviours_[r]; }
  messages::View view = 0;
  ReplicaSet refused_by = 0;     // these do not know the client's link key
  bool admit_strangers = false;  // orders a SESSION-OPEN of whoever signed it
  bool order = true;             // false: items are taken but not executed before order_held()
  void order_held();

  // A batch of these items now (of other clients too); empty: time passes.
  Seq execute(std::vector<messages::Item> items);
  // Agreed and lease time pass in steps that leases count in full.
  void pass_time(std::uint64_t microseconds);
  // An operation of another client, in a session of its own.
  schema::BundleResult other_client(schema::OperationBody body);

  // ---- epochs
  static constexpr std::uint32_t kPool = 10;
  // The next configuration: these replicas, in this order.
  config::Config next_config(const std::vector<ReplicaId>& members) const;
  // Proposes it and makes its members say READY: the end of the epoch is scheduled.
  void schedule(const config::Config& next);
  // Fills up to the end; from here on the next members answer.
  void finish_epoch();
  void move_to(const std::vector<ReplicaId>& members) {
    schedule(next_config(members));
    finish_epoch();
  }
  std::uint64_t epoch() const { return eras_.size() - 1; }
  const std::vector<messages::EpochStep>& steps() const { return steps_; }
  // Signed by these, under the configuration of the body's epoch.
  messages::RootCert certify(const messages::CertBody& body,
                             const std::vector<ReplicaId>& signers) const;

  Seq seq() const { return engine_.executed_seq(); }
  messages::RootCert cert(Seq seq) const;
  const tree::Version& version(Seq seq) const { return versions_[seq]; }
  messages::Reply reply_to(const Hash& digest) const { return reply_to(digest, seq()); }

  test::Cluster keys;
  test::Cluster pool{kPool, 0};  // keys of the replicas, members or not

  // ---- what the client sent
  struct Sent {
    ReplicaId to = 0;
    messages::Item item;
    std::size_t operations = 0;  // 0: SESSION-OPEN
  };
  std::vector<Sent> items;
  std::vector<std::pair<ReplicaId, messages::Read>> reads;
  std::vector<std::pair<ReplicaId, messages::Fresh>> fresh;
  std::size_t epochs_sent = 0;

 private:
  struct Era {
    config::Config config;
    std::vector<ReplicaId> members;  // by position
  };

  std::vector<ReplicaId> members_of(const config::Config& config) const;
  std::uint64_t epoch_of(ReplicaId r) const { return behaviours_[r].epoch.value_or(epoch()); }
  // What a replica knows of: up to the end of the epoch in which it stands still.
  Seq newest_of(ReplicaId r) const {
    return epoch_of(r) < epoch() ? steps_[epoch_of(r)].cert.body.seq : seq();
  }
  crypto::Context context(std::uint64_t epoch) const { return {keys.context.cluster_id, epoch}; }
  void on(ReplicaId r, const messages::Submit& m);
  void on(ReplicaId r, const messages::Subscribe& m);
  void on(ReplicaId r, messages::Read m);
  void on(ReplicaId r, const messages::StatusQuery& m);
  void on(ReplicaId r, const messages::Fresh& m);
  void on(ReplicaId r, const messages::EvidenceQuery& m);
  void answer(ReplicaId from, const messages::ReplicaMessage& message, std::uint32_t copies = 1);
  void post(ReplicaId from, std::uint64_t epoch, const messages::ReplicaMessage& message,
            std::uint32_t copies);
  void answer_epochs(ReplicaId from, std::uint64_t asked);
  void answer_item(ReplicaId from, const Hash& digest);
  messages::Reply reply_to(const Hash& digest, Seq certified) const;

  std::vector<Behaviour> behaviours_;
  execution::Engine engine_;
  std::vector<Era> eras_;  // by epoch
  std::vector<messages::EpochStep> steps_;
  std::vector<ReplicaId> seats_;                      // whom the client's links lead to
  std::vector<tree::Version> versions_;               // by seq
  std::vector<execution::Executed> executed_;         // [seq - 1]
  std::map<Hash, std::pair<Seq, std::size_t>> done_;  // request -> batch and index, first time
  std::map<Id16, std::set<ReplicaId>> subscribers_;
  std::map<Hash, std::set<ReplicaId>> opens_;
  std::vector<messages::Item> held_;
  std::set<Hash> taken_;
  std::multimap<Micros, std::pair<ReplicaId, Bytes>> mail_;
  Id16 other_session_{};
  std::uint64_t other_number_ = 0;
};

// A client engine over the fake cluster, and the loop that drives both.
struct Harness {
  explicit Harness(std::function<void(Options&)> change = {});

  // Runs until `done` or until `limit` of virtual time is over; whether it is done.
  bool run(const std::function<bool()>& done, Micros limit = 60'000'000);
  void run_for(Micros time);

  Result<schema::OpResult> execute(schema::OperationBody body);
  Result<ReadResult> read(std::vector<schema::QueryBody> queries,
                          ReadMode mode = ReadMode::verified);
  // One query whose answer comes later; `result` outlives it.
  void begin_read(schema::QueryBody query, ReadMode mode,
                  std::optional<Result<ReadResult>>& result);
  void all(const std::function<void(Behaviour&)>& change);

  FakeCluster cluster;
  Options options;
  std::vector<Fault> faults;
  std::unique_ptr<Engine> engine;

 private:
  void turn();
  ReplicaSet connected_ = 0;
  std::uint64_t epoch_ = 0;  // of the positions in connected_
};

schema::MakeNode make_file(const std::string& name);
schema::GetInode path(const std::string& name);  // below the root directory; "" the root itself
schema::Caller root_user();
const ns::InodeAnswer* inode(const Result<ReadResult>& r, std::size_t i = 0);  // nullptr: none

}  // namespace bftmeta::client::testing
