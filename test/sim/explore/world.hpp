// The small case: four replicas, one of them Byzantine, two client items, at most two sequence
// numbers and three views. Everything in it that is finite gets a small number here: batches by
// sequence number, bodies of root shares, VIEW-CHANGEs and NEW-VIEWs. Whatever anybody signs can be
// made again from those numbers, because signatures are ideal and the world holds all keys.
// Thread-safety: one thread.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "consensus/core.hpp"
#include "sim/ideal_crypto.hpp"

namespace bftmeta::sim::explore {

using messages::PeerMessage;
using messages::ReplicaId;
using messages::Seq;
using messages::View;

constexpr std::uint32_t kReplicas = 4;
constexpr std::uint32_t kMaxSeqs = 2;
constexpr std::uint32_t kMaxViews = 3;            // numbered from 0; one more is used to look ahead
constexpr std::uint32_t kMaxBatches = 8;          // of one sequence number
constexpr std::uint32_t kMaxBodies = 64;          // bits of a word
constexpr std::uint32_t kMaxNumber = 1U << 20;    // of moves: they are packed into keys
constexpr std::uint32_t kMaxMessages = 1U << 18;  // likewise, some with their sender

// What is searched.
struct Scope {
  std::uint32_t seqs = 1;
  std::uint32_t views = 2;
  ReplicaId byzantine = 0;
  std::uint32_t crashes = 0;  // of correct replicas, altogether
  // Beyond what signatures allow: broken and forged ones, wrong plans, invented history. A correct
  // core refuses all of it, so it only matters where a check is left out.
  bool lies = false;
  // A power cut takes the whole log with it: what no log may do, so that a search finds something.
  bool forgetful = false;
};

// Small number of a batch within its sequence number.
using BatchNo = std::uint32_t;
constexpr BatchNo kNull = 0;
constexpr BatchNo kA = 1;  // the two that the Byzantine replica proposes
constexpr BatchNo kB = 2;

// Bit of (view, seq, batch) in the sets of statements.
constexpr std::uint64_t bit(View v, Seq n, BatchNo d) {
  return 1ULL << ((v * kMaxSeqs + (n - 1)) * kMaxBatches + d);
}
static_assert((kMaxViews + 1) * kMaxSeqs * kMaxBatches <= 64);
// All batches of (view, seq).
constexpr std::uint64_t bits(View v, Seq n) { return bit(v, n, 0) * ((1ULL << kMaxBatches) - 1); }

// Gathers what is hashed at once: hashing in between would share the context of crypto::Hasher.
class Gatherer {
 public:
  Gatherer& add(std::uint64_t v) {
    std::uint8_t raw[8];
    store_be64(raw, v);
    return add(ByteView(raw));
  }
  Gatherer& add(ByteView bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  Hash finish() const { return crypto::sha256(bytes_); }

 private:
  Bytes bytes_;
};

class World {
 public:
  explicit World(const Scope& scope);

  const Scope& scope() const { return scope_; }
  const config::Config& config() const { return config_; }
  const Hash& cluster_id() const { return cluster_id_; }
  crypto::Context context() const { return {cluster_id_, config_.epoch}; }
  const crypto::Signer& signer(ReplicaId r) const { return signers_.at(r); }
  const crypto::Verifier& verifier() const { return verifier_; }
  ReplicaId primary(View v) const { return config_.primary(v); }
  bool byzantine(ReplicaId r) const { return r == scope_.byzantine; }
  const messages::Item& item(std::size_t i) const { return items_.at(i); }
  // Of all clocks: time passes only as far as the rates of a link need it.
  static constexpr std::uint64_t kWallUs = 1'700'000'000'000'000;

  // ---- small numbers; a thing that is new gets the next one
  BatchNo number_of(const messages::Batch& batch);
  // nullopt: nobody made a batch with this digest.
  std::optional<BatchNo> find_batch(Seq n, const Hash& digest) const;
  const messages::Batch& batch(Seq n, BatchNo d) const { return batches_[n - 1].at(d).batch; }
  const Hash& digest(Seq n, BatchNo d) const { return batches_[n - 1].at(d).digest; }
  BatchNo batches(Seq n) const { return static_cast<BatchNo>(batches_[n - 1].size()); }
  std::string name(Seq n, BatchNo d) const;  // "a"
  std::uint32_t number_of(const messages::CertBody& body);
  const messages::CertBody& body(std::uint32_t number) const { return bodies_.at(number); }
  std::uint32_t bodies() const { return static_cast<std::uint32_t>(bodies_.size()); }
  // Messages that differ only in which valid signatures prove the same thing, or in a reason, have
  // one number, and the first of them stands for all: nobody looks at the difference.
  std::uint32_t number_of(const PeerMessage& message);
  const PeerMessage& message(std::uint32_t number) const { return messages_.at(number); }
  template <class T>
  const T& get(std::uint32_t number) const {
    return std::get<T>(messages_.at(number));
  }
  // Of any VIEW-CHANGE that got a number, by its own digest.
  std::uint32_t view_change(const Hash& digest) const { return view_changes_.at(digest); }
  // Whether this VIEW-CHANGE is valid for everybody.
  bool proven(std::uint32_t view_change) const;

  // What makes a message, or a record of the log, another one in the sense above.
  Hash identity(const PeerMessage& message) const;
  Hash identity(const consensus::Record& record) const;

  // ---- what is signed, made again
  messages::Proposal proposal(View v, Seq n, BatchNo d) const { return {v, n, digest(n, d)}; }
  messages::PrePrepare pre_prepare(View v, Seq n, BatchNo d) const;
  messages::Prepare prepare(ReplicaId who, View v, Seq n, BatchNo d) const;
  messages::RootShare share(ReplicaId who, std::uint32_t body) const;
  messages::RootCert certificate(std::uint32_t body, const std::vector<ReplicaId>& signers) const;
  // Of the primary of v: from these VIEW-CHANGEs, with this O.
  messages::NewView new_view(View v, const std::vector<messages::ViewChange>& votes, Seq base,
                             const std::map<Seq, Hash>& digests) const;
  // What follows from these VIEW-CHANGEs; an error if a correct replica would stop.
  Result<consensus::ReproposalPlan> plan(const std::vector<std::uint32_t>& votes) const;

 private:
  class Identity;
  struct Numbered {
    messages::Batch batch;
    Hash digest{};
  };

  Scope scope_;
  Hash cluster_id_{9};
  config::Config config_;
  std::vector<IdealSigner> signers_;
  IdealVerifier verifier_;
  std::vector<messages::Item> items_;
  std::vector<Numbered> batches_[kMaxSeqs];
  std::vector<messages::CertBody> bodies_;
  std::map<Hash, std::uint32_t> body_numbers_;
  std::vector<PeerMessage> messages_;
  std::map<Hash, std::uint32_t> message_numbers_;
  std::map<Hash, std::uint32_t> view_changes_;
};

}  // namespace bftmeta::sim::explore
