// The client library: operations on a bftmeta cluster, and reads of it, that are true or an error.
// Every result is verified against the genesis before a caller sees it (protocol §4.2, §6.1); no
// replica is believed. Sessions, retransmission, fail-over and freshness are the library's
// business. Thread-safety: all functions of Client may be called from any thread; callbacks run on
// the client's own thread, must not block, may submit, and must not destroy the client.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/settings.hpp"
#include "crypto/link_key.hpp"
#include "crypto/passphrase.hpp"
#include "crypto/signer.hpp"
#include "messages/client.hpp"
#include "messages/evidence.hpp"
#include "namespace/query.hpp"

namespace bftmeta::net {
class Context;
}

namespace bftmeta::client {

// A replica (or the way to it) was caught: what it sent does not verify. It is not asked again for
// ten minutes.
struct Fault {
  messages::ReplicaId replica = 0;
  messages::Seq seq = 0;  // that the answer claimed
  std::string why;        // one line
  Bytes evidence;         // the message as it came
};

struct Options {
  config::Genesis genesis;
  std::shared_ptr<const crypto::Signer> signer;  // Ed25519, registered with the cluster
  crypto::LinkKey link_key;                      // CURVE, registered likewise
  std::vector<config::EndpointOverride> endpoints;
  std::chrono::milliseconds timeout{30000};  // of one operation or read, with all retries
  // Independent FIFO streams of operations; see submit().
  std::uint32_t sessions = 1;
  // Where the newest certificate and the chain of epochs are kept, so that a restarted client does
  // not believe older ones. Empty: nowhere.
  std::string state_file;
  // Called on the client's thread for every fault. Default: one line on standard error.
  std::function<void(const Fault&)> on_fault;
  // Called on the client's thread when the state file could not be written; the next time after it
  // was. Default: one line on standard error.
  std::function<void(const Error&)> on_unsaved;
  // Shared with other users of ZeroMQ in this process; made by the client if absent.
  std::shared_ptr<net::Context> context;
};

// From a client.toml: genesis, keys, endpoints and timeout. Errors: as config::load_client,
// config::load_genesis and crypto::load_sign_key.
Result<Options> load_options(const std::string& client_toml, crypto::PassphraseSource& passphrase);
Result<Options> load_options(const config::ClientSettings& settings,
                             crypto::PassphraseSource& passphrase);

using config::ReadMode;

class Transport;

// One certified root and what it says.
struct ReadResult {
  messages::Seq seq = 0;
  std::uint64_t time_us = 0;             // agreed time of that root
  std::vector<ns::QueryResult> answers;  // one per query, in order
};

// Who runs the cluster, as far as the client has been led from the genesis (protocol §9.3).
struct Membership {
  config::Config config;
  std::vector<messages::EpochStep> steps;  // from the genesis to `config`; none in the first epoch
};

using OperationDone = std::function<void(Result<schema::OpResult>)>;
using ReadDone = std::function<void(Result<ReadResult>)>;

class Client {
 public:
  // Starts the client's thread and connects in the background; whether anybody answers shows in
  // wait_ready. Errors: Errc::invalid_argument or Errc::io, a state file of another cluster.
  static Result<std::unique_ptr<Client>> connect(Options options);
  ~Client();  // close(), with what was not finished answered by an error
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Until every session is open and a certificate is verified. After `timeout`: Errc::permission if
  // more than f replicas refuse this client's link key, or 2f + 1 do not know its sign key;
  // Errc::busy if the cluster has no room for a session; else Errc::unreachable.
  Status wait_ready(std::chrono::milliseconds timeout);

  // Orders one operation. Done exactly once: with the certified outcome (also when that is a
  // failure: OpResult::code), or with an Error, after which the operation may still happen unless
  // the message says that it will not:
  //   unreachable  no certified outcome within Options::timeout
  //   permission   the same, or at once, because this client's keys are not registered
  //   stale        the session expired before the outcome was learnt
  //   limit        the operation is too large for a bundle
  // Operations of one stream (stream modulo Options::sessions) are executed in the order of their
  // submission; between streams, and between one operation and a read, order is that of completion.
  void submit(schema::Operation operation, OperationDone done, std::uint32_t stream = 0);
  Result<schema::OpResult> execute(schema::Operation operation, std::uint32_t stream = 0);

  // All queries of one call are answered from one root, at least as new as everything that this
  // client has seen certified (so it reads its own writes). ReadMode::linearizable also sees every
  // operation that completed anywhere before the call. At most kMaxQueriesPerRead queries.
  //   unreachable  no verified answer in time       unverified  every replica was caught lying
  //   limit        the proof would be too large: ask for less
  //   permission   no answer in time, because more than f replicas refuse this client's link key
  void read(std::vector<schema::Query> queries, ReadMode mode, ReadDone done);
  Result<ReadResult> read(std::vector<schema::Query> queries, ReadMode mode = ReadMode::verified);

  // A self-contained proof of what the newest root says about the target, for verification without
  // the cluster (docs/formats/proof-file.md). Same errors as read.
  Result<Bytes> prove(schema::Caller caller, schema::Target target);

  // The newest certificate that this client has verified; asks a replica first. Same errors.
  Result<messages::RootCert> root(ReadMode mode = ReadMode::verified);

  // At once; it may be led further with any answer that comes. At least to the epoch of everything
  // that this client has returned.
  Result<Membership> membership();

  // Calls `changed` with the members of now, and again whenever this client has been led to others,
  // before anything that they have certified is returned. On the client's thread, until it is
  // closed.
  void watch_members(std::function<void(const config::Config&)> changed);

  // What a replica says of itself, unproven. `scrub_bytes_per_s` not 0: and it is asked to read and
  // check its state store and its blocks, each at this rate. Errc::unreachable after `timeout`.
  Result<messages::StatusReply> status(messages::ReplicaId replica,
                                       std::chrono::milliseconds timeout,
                                       std::uint64_t scrub_bytes_per_s = 0);

  // The evidence against members that a replica keeps, by position; messages::judge() decides what
  // it is worth, by what verify::epoch_at() says of its epoch in the chain of membership().
  // Errc::unreachable after `timeout`.
  Result<messages::EvidenceReply> evidence(messages::ReplicaId replica, std::uint32_t index,
                                           std::chrono::milliseconds timeout);

  // Waits for what is outstanding (at most Options::timeout), closes the sessions, keeps the newest
  // certificate. Nothing may be submitted any more. Idempotent.
  Status close();

  const config::Genesis& genesis() const;

 private:
  friend Result<std::unique_ptr<Client>> connect_over(Options options,
                                                      std::unique_ptr<Transport> transport);
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace bftmeta::client
