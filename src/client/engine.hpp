// The client library without threads, clock or sockets: sessions, reads and status queries over a
// Port. The driver calls the inputs of a turn, then poll(), then runs take_ready(), and comes back
// at next_wake() or with the next input. Thread-safety: one thread.
#pragma once

#include "client/fresh_rounds.hpp"
#include "client/questions.hpp"
#include "client/reads.hpp"
#include "client/session.hpp"

namespace bftmeta::client {

using StatusDone = Questions<messages::StatusReply>::Done;
using EvidenceDone = Questions<messages::EvidenceReply>::Done;
using ProveDone = std::function<void(Result<Bytes>)>;
using RootDone = std::function<void(Result<messages::RootCert>)>;

class Engine {
 public:
  // `options`, `verifier` and `port` outlive this.
  Engine(const Options& options, const crypto::Verifier& verifier, Port& port, std::uint64_t seed);

  // ---- inputs
  void submit(schema::Operation operation, OperationDone done, std::uint32_t stream,
              const Now& now);
  void read(std::vector<schema::Query> queries, ReadMode mode, ReadDone done, const Now& now);
  void prove(schema::Caller caller, schema::Target target, ProveDone done, const Now& now);
  void root(ReadMode mode, RootDone done, const Now& now);
  void status(ReplicaId replica, std::uint64_t scrub_bytes_per_s, Micros timeout, StatusDone done,
              const Now& now);
  void evidence(ReplicaId replica, std::uint32_t index, Micros timeout, EvidenceDone done,
                const Now& now);
  void on_frame(ReplicaId from, ByteView frame, const Now& now);
  void on_connected(ReplicaId replica);
  void open_sessions();
  // Ends the sessions once nothing is outstanding.
  void close();

  void poll(const Now& now);
  Micros next_wake() const;
  // Callbacks that are due; to be run outside.
  std::vector<std::function<void()>> take_ready() { return std::exchange(core_.ready, {}); }

  bool ready() const;   // every session is open and a certificate is known
  bool closed() const;  // nothing is outstanding and no session is open
  // Why a session was not opened, if the cluster said so.
  std::optional<Error> refusal() const;
  void fail_all(const Error& error, const Now& now);
  const verify::Certificates& certificates() const { return core_.certificates; }
  // Of the epoch that this client has been led to.
  const config::Config& config() const { return core_.certificates.anchor().config; }
  // Before the first input.
  Status restore(ByteView saved, const Now& now);

 private:
  Result<std::vector<ns::QueryResult>> evaluate(const std::vector<schema::Query>& queries,
                                                const tree::Reader& tree) const;
  const messages::RootCert& certificate(messages::Seq seq) const;
  std::vector<messages::EpochStep> steps_to(messages::Seq seq) const;
  void ask_session(const Id16& session, std::uint64_t bundle_no, ReplicaSet avoid,
                   Session::Answer answer, const Now& now);
  void take_epochs(const Now& now);
  void go_on(const config::Config& before, const Now& now);
  // Adds the unit, in linearizable mode once it is known how new its root must be.
  void add_read(ReadUnit unit, ReadMode mode, const Now& now);

  Core core_;
  const config::ClientRules* rules_ = nullptr;  // of the genesis, if it has this client
  Reads reads_;
  FreshRounds fresh_;
  std::vector<std::unique_ptr<Session>> sessions_;
  Questions<messages::StatusReply> statuses_;
  Questions<messages::EvidenceReply> evidence_;
  std::map<ReplicaId, Bytes> epochs_;  // EPOCHS of this turn: the first frame of each replica
};

}  // namespace bftmeta::client
