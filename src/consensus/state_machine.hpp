// The seams of the consensus core: what it needs from execution and from the archive of old
// batches. Both are called synchronously from Core::step and must be deterministic functions of
// what consensus told them before. Thread-safety: called by the core's thread only.
#pragma once

#include "messages/agreement.hpp"

namespace bftmeta::consensus {

using messages::Admission;
using messages::Seq;

struct Outcome {
  messages::BatchHeader header;
  messages::CertBody body;
  // Parallel to the batch's items: this batch decided the item, as opposed to a replay of it.
  std::vector<bool> first_time;
  // Somebody waits at this replica for what comes of the batch: its certificate is urgent.
  bool awaited = false;
};

class StateMachine {
 public:
  virtual ~StateMachine() = default;

  virtual Seq executed_seq() const = 0;
  // history_hash of the last executed batch.
  virtual Hash history_hash() const = 0;
  // Precondition: batch.seq == executed_seq() + 1. An Error stops the replica, but for corrupt: it
  // stands where it stood, and a state is fetched.
  virtual Result<Outcome> execute(const messages::ParsedBatch& batch) = 0;
  virtual Admission admit(const messages::ParsedItem& item) const = 0;
  // Highest executed bundle of a session, 0 if unknown.
  virtual std::uint64_t last_bundle(const Id16& session_id) const = 0;

  // Reconfiguration (protocol §9.2). A state machine that knows none stays in its epoch.
  // The configuration under which the next batch is executed: that of the next epoch once the last
  // batch of this one is. nullopt: that of this epoch.
  virtual std::optional<config::Config> next_config() const { return std::nullopt; }
  // Of a pending change that waits for READY of the member with this key (schema::proposal_hash).
  virtual std::optional<Hash> unconfirmed(const PublicKey&) const { return std::nullopt; }
};

// Executed history that is no longer in the core's memory, as far as the log still has it.
class Archive {
 public:
  virtual ~Archive() = default;
  virtual std::optional<messages::BatchHeader> header(Seq seq) const = 0;
  virtual std::optional<messages::Batch> batch(Seq seq, const Hash& digest) const = 0;
  virtual std::optional<messages::RootCert> certificate(Seq seq) const = 0;
};

}  // namespace bftmeta::consensus
