// The deterministic engine above the namespace: a batch in; results, reply tree, BatchHeader and
// CertBody out (protocol §2.5, §4.1, §8). It holds the newest executed version of the tree and what
// goes with it. Invariants: batches are executed in order, once; a failed execute() leaves it as it
// was; two engines that executed the same batches from the same genesis hold equal CertBodys.
// Thread-safety: one thread; versions that it hands out may be read on any.
#pragma once

#include "config/genesis.hpp"
#include "crypto/signer.hpp"
#include "execution/checkpoint.hpp"
#include "execution/sessions.hpp"
#include "messages/batch.hpp"
#include "messages/merkle.hpp"
#include "tree/version.hpp"

namespace bftmeta::execution {

// The outcome of one item of a batch: one leaf of its reply tree.
struct ItemResult {
  Hash request_digest{};
  Id16 session_id{};            // zero for a SESSION-OPEN
  std::uint64_t bundle_no = 0;  // zero for a SESSION-OPEN
  Bytes result;                 // encoded schema::BundleResult
  bool first_time = false;      // this batch decided it; false: a stored answer, or none at all

  Hash leaf() const;
};

struct Executed {
  messages::BatchHeader header;
  messages::CertBody body;
  Hash history_before{};            // history_hash(seq - 1)
  std::vector<ItemResult> results;  // in the order of the batch
  std::vector<Hash> leaves;         // of the reply tree, parallel to results
  // Of the leaves of the state that it wrote or removed, sorted. Only the keys: the values are in
  // the version after the batch, so that keeping this costs a copy of 43 bytes for each leaf.
  std::vector<Key> touched;
};

// Path of result `index` to header.reply_root. Precondition: index < results.size().
std::vector<Hash> reply_path(const Executed& executed, std::size_t index);

// What admission asks before it spends a signature check.
struct SessionInfo {
  PublicKey principal{};
  std::uint64_t last_bundle = 0;
  std::uint64_t ack_upto = 0;
};

class Engine {
 public:
  // The state of sequence number 0. `verifier` checks the signatures of admins inside operations
  // and outlives the engine. Errors: what a genesis can be refused for.
  static Result<Engine> from_genesis(const config::Genesis& genesis,
                                     const crypto::Verifier& verifier,
                                     tree::VersionOptions options = {});
  // The state of `checkpoint`, whose tree is `version`. Errors: identity (another cluster),
  // corrupt (the tree is not the one that the checkpoint names), io.
  static Result<Engine> from_checkpoint(const Hash& cluster_id, const crypto::Verifier& verifier,
                                        Checkpoint checkpoint, tree::Version version);

  // Precondition: batch.batch.seq == executed_seq() + 1. An error means that the store failed: the
  // engine stands where it stood, and the replica has to stop.
  Result<Executed> execute(const messages::ParsedBatch& batch);

  messages::Seq executed_seq() const { return checkpoint_.seq; }
  const messages::CertBody& body() const { return checkpoint_.body; }
  std::uint64_t time_us() const { return checkpoint_.time_us; }
  const Checkpoint& checkpoint() const { return checkpoint_; }  // without a certificate
  const config::Config& config() const { return config_; }      // of the next batch

  const tree::Version& version() const { return version_; }
  // The version for tree::begin_flush, and the same tree rebased on what was flushed.
  tree::Version& head() { return version_; }
  void rebase(tree::Version same_tree);  // precondition: equal root_hash()

  // What the executed state says of an item that wants to be ordered. Of a bundle, whoever signed
  // it: only the owner of a session is admitted to it.
  messages::Admission admit(const messages::ParsedItem& item) const;
  // The session if it lives; nullopt also when the store fails. A hint for admission only.
  std::optional<SessionInfo> session(const Id16& id) const;
  // What is kept of a session that ended, for as long as it is kept. As above.
  std::optional<schema::Tombstone> tombstone(const Id16& id) const;
  std::optional<schema::Principal> principal(const PublicKey& sign_key) const;
  std::optional<schema::Counters> counters() const;
  std::optional<schema::PendingChange> pending_change() const;
  // Hash of the pending configuration, if it waits for a READY of its member with this key.
  std::optional<Hash> unconfirmed(const PublicKey& vote_key) const;

 private:
  Engine(const Hash& cluster_id, config::Config config, const crypto::Verifier& verifier,
         Checkpoint checkpoint, tree::Version version, SessionIndexes indexes);

  Result<Executed> execute_on(const tree::CachedVersion& base, tree::Overlay& overlay,
                              const messages::ParsedBatch& batch);
  Error store_error(messages::Seq seq) const;
  messages::Admission admit(const messages::Ready& ready) const;

  Hash cluster_id_{};
  config::Config config_;  // in force for the next batch
  Hash config_hash_{};
  const crypto::Verifier* verifier_;
  Checkpoint checkpoint_;
  tree::Version version_;
  SessionIndexes indexes_;
  bool indexes_stale_ = false;  // a failed batch may have touched them
};

}  // namespace bftmeta::execution
