// A simulated client: one session, bundles of operations, verified reads. It believes what
// verify::verify_reply and verify::verify_read accept and nothing else, sends again until it has an
// outcome, and records its history. In a toy cluster, whose state machine proves nothing, it
// believes what correct replicas say.
#pragma once

#include <functional>
#include <map>

#include "messages/frame.hpp"
#include "namespace/query.hpp"
#include "sim/random.hpp"
#include "sim/scheduler.hpp"
#include "support/linearizability.hpp"
#include "verify/trust.hpp"

namespace bftmeta::sim {

// The operations of a client's next bundle.
using Workload = std::function<std::vector<schema::Operation>(Random&)>;

// How new the root of a read must be.
enum class ReadMode : std::uint8_t {
  token,    // not older than anything this client has seen: session guarantees
  fresh,    // as a quorum says in a FRESH round (protocol §6.3): linearizable
  ordered,  // behind an empty operation that was ordered for it: linearizable
};

// What a client got: proven, and final.
struct Acknowledged {
  std::uint32_t client = 0;
  PublicKey key{};
  Hash request_digest{};
  Id16 session_id{};
  std::uint64_t bundle_no = 0;  // 0: the session was opened
  messages::Seq seq = 0;
  Hash results_digest{};
};

struct ClientSetup {
  std::uint32_t id = 0;
  const crypto::Signer* signer = nullptr;
  const crypto::Verifier* verifier = nullptr;
  const config::Genesis* genesis = nullptr;
  bool proofs = true;              // false: a toy cluster
  std::uint32_t bundles = 0;       // of its own accord
  std::uint64_t think_max_us = 0;  // between an answer and the next bundle
  std::uint32_t reads = 0;         // per mille of the bundles that a read follows
  Workload workload;
};

struct ClientCallbacks {
  std::function<void(std::uint32_t client, messages::ReplicaId to, messages::ClientMessage)> send;
  std::function<messages::ReplicaId()> primary;  // a guess
  std::function<void(const Acknowledged&)> acknowledged;
  std::function<void(std::uint32_t client, const schema::Query&, messages::Seq,
                     const ns::QueryResult&)>
      read;
};

class Client {
 public:
  Client(ClientSetup setup, Scheduler& scheduler, Random random, ClientCallbacks callbacks,
         test::History& history);

  void start();  // its own workload
  // On top of that, for tests. `to` empty: whoever seems to be the primary.
  void submit(std::vector<schema::Operation> operations, std::vector<messages::ReplicaId> to = {});
  void read(schema::Query query, ReadMode mode);
  void open_session();
  void add_bundles(std::uint32_t bundles);
  // Nothing of its own workload is sent any more.
  void stop() { left_ = 0; }
  // Whatever has no outcome yet, once more.
  void resend(const std::vector<messages::ReplicaId>& to);
  void set_retry(bool on) { retries_ = on; }

  void deliver(messages::ReplicaId from, messages::ReplicaMessage message);

  bool done() const;  // nothing is waited for, and all of its workload is acknowledged
  std::uint64_t acknowledged() const { return acknowledged_; }  // bundles
  std::uint64_t reads() const { return reads_done_; }
  std::uint64_t fresh_reads() const { return fresh_reads_; }  // those that ordered nothing
  std::uint64_t refuted() const { return refuted_; }          // answers that did not verify
  std::uint64_t lost() const { return lost_; }  // bundles whose session ended before them
  messages::Seq token() const { return token_; }
  std::uint64_t epoch() const { return certificates_.anchor().config.epoch; }

 private:
  static constexpr std::uint64_t kRetryUs = 250'000;
  static constexpr std::uint64_t kReadTimeoutUs = 150'000;
  static constexpr std::uint64_t kFreshTimeoutUs = 300'000;
  static constexpr std::uint32_t kMaxFailedRounds = 2;  // as the client library has it
  static constexpr std::size_t kInFlight = 2;           // bundles of its own workload

  struct Flight {
    messages::Item item;
    std::size_t operation = 0;                // in the history
    std::optional<std::size_t> ordered_read;  // the read that waits for it
  };
  struct FreshRound {
    messages::Fresh query;
    std::uint32_t heard = 0;  // bitmap: replicas with a valid answer
    messages::Seq newest = 0;
  };
  struct PendingRead {
    schema::Query query;
    ReadMode mode = ReadMode::token;
    std::size_t operation = 0;  // in the history; void for doubts
    bool ready = false;         // min_seq is known
    messages::Seq min_seq = 0;
    messages::ReplicaId to = 0;
    bool doubt = false;  // about what became of a bundle
    FreshRound round;
    std::uint32_t failed_rounds = 0;
  };

  void follow(const messages::Epochs& epochs);
  const config::Config& config() const { return certificates_.anchor().config; }
  void timer();
  void send_open();
  void send_more();
  void send_bundle(std::vector<schema::Operation> operations,
                   const std::vector<messages::ReplicaId>& to,
                   std::optional<std::size_t> ordered_read);
  void send_item(const messages::Item& item, const std::vector<messages::ReplicaId>& to);
  void on_reply(messages::ReplicaId from, const messages::Reply& reply);
  void on_refusal(const messages::Refusal& refusal);
  void on_read_reply(messages::ReplicaId from, const messages::ReadReply& reply);
  void on_fresh_reply(messages::ReplicaId from, const messages::FreshReply& reply);
  void opened(const Id16& session, messages::Seq seq, const messages::Reply& reply);
  void resolve(std::uint64_t bundle_no, messages::Seq seq, const Hash& results_digest);
  void order(std::uint64_t id);
  void start_round(std::uint64_t id);
  void end_round(std::uint64_t id, const Id16& nonce);
  std::optional<messages::Seq> fresh_seq(const messages::Fresh& query,
                                         const messages::FreshReply& reply);
  void send_read(std::uint64_t id);
  void finish_read(std::uint64_t id, messages::Seq seq, const ns::QueryResult& result);
  void doubt(std::uint64_t bundle_no);
  void judge(std::uint64_t bundle_no, const ns::SessionAnswer& evidence);
  void session_lost(std::uint64_t last_bundle);
  schema::Query random_query();
  bool may_send() const { return session_ && flights_.size() < kInFlight; }

  ClientSetup setup_;
  Scheduler& scheduler_;
  Random random_;
  ClientCallbacks callbacks_;
  test::History& history_;
  verify::Certificates certificates_;
  Hash cluster_id_{};
  std::vector<messages::ReplicaId> everybody_;

  std::optional<Id16> session_;
  std::optional<messages::Item> opening_;
  std::uint64_t opens_ = 0;
  std::uint64_t next_bundle_ = 1;
  std::uint32_t left_ = 0;  // bundles of its own workload that were not sent yet
  struct Waiting {
    std::vector<schema::Operation> operations;
    std::vector<messages::ReplicaId> to;
    std::optional<std::size_t> ordered_read;
  };
  std::vector<Waiting> waiting_;             // for the session
  std::map<std::uint64_t, Flight> flights_;  // by bundle number
  std::map<std::uint64_t, PendingRead> pending_reads_;
  std::uint64_t next_read_ = 1;
  bool retries_ = true;
  messages::Seq token_ = 0;
  std::uint64_t acknowledged_ = 0;
  std::uint64_t reads_done_ = 0;
  std::uint64_t fresh_reads_ = 0;
  std::uint64_t rounds_ = 0;
  std::uint64_t refuted_ = 0;
  std::uint64_t lost_ = 0;
};

}  // namespace bftmeta::sim
