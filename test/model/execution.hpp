// The reference model of execution: protocol §8 and §4.1 in the simplest code that says it, around
// the model of the namespace. Batches in; the results, the header and every leaf of the state out,
// computed from the batches alone. It shares nothing with src/execution. Thread-safety: none.
#pragma once

#include "messages/merkle.hpp"
#include "model/model.hpp"

namespace bftmeta::test {

class ExecutionModel {
 public:
  // `verifier` checks admins' signatures and outlives the model.
  ExecutionModel(const config::Genesis& genesis, const crypto::Verifier& verifier);

  struct Step {
    messages::BatchHeader header;
    std::vector<Bytes> results;  // encoded schema::BundleResult, in the order of the batch
  };
  // The next batch. Cost: the whole state is hashed anew.
  Step step(const messages::ParsedBatch& batch);

  const std::map<Id16, schema::Session>& sessions() const { return sessions_; }
  LeafMap leaves() const;

 private:
  using Stored = std::map<std::uint64_t, schema::StoredResult>;  // by bundle number

  void begin(const messages::ParsedBatch& batch);
  void expire();
  Bytes open(const messages::SessionOpen& open);
  Bytes run(const messages::Bundle& bundle, const Hash& request_digest);
  Bytes stored_answer(const messages::Bundle& bundle, const Hash& request_digest) const;
  schema::BundleResult execute(const messages::Bundle& bundle, const config::ClientRules& rules);
  void consume(const messages::Bundle& bundle, const Hash& request_digest, const Bytes& result,
               bool executed);
  void evict(const Id16& id);
  void make_room(const PublicKey& principal);
  void bury(const Id16& id, const schema::Session& session);
  std::vector<Id16> sessions_of(const PublicKey& principal) const;  // idlest first
  std::uint64_t lease_end() const;

  const config::Genesis genesis_;
  const crypto::Verifier& verifier_;
  Model files_;
  std::map<PublicKey, config::ClientRules> principals_;
  std::map<Id16, schema::Session> sessions_;
  std::map<Id16, Stored> stored_;
  std::map<Id16, schema::Tombstone> tombstones_;
  std::map<std::pair<std::uint64_t, Hash>, schema::RememberedOpen> opens_;  // (valid until, digest)
  schema::HistoryFrontier frontier_;                                        // one header behind
  std::optional<messages::BatchHeader> last_;
  Hash history_hash_{};
  std::uint64_t seq_ = 0;
  std::uint64_t time_us_;
  std::uint64_t lease_time_us_ = 0;

  // What the bundle that runs does to sessions once it is done.
  std::vector<PublicKey> removed_;
  bool close_ = false;
};

}  // namespace bftmeta::test
