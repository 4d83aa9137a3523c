// Oracles over frames: what correct replicas state, to whom and how often (S2, S4, S6, S13, S14 of
// protocol §11.3). A statement is a signature, or a COMMIT, which only the link authenticates.
// Thread-safety: one thread.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>

#include "messages/frame.hpp"
#include "sim/host.hpp"

namespace bftmeta::sim {

// What all oracles know of the cluster in one epoch, and of what the first correct executor of each
// sequence number found, in all of them.
struct Known {
  messages::EpochContext context{crypto::Context{}};
  config::Config config;
  const crypto::Verifier* verifier = nullptr;
  std::vector<Standing> standing;
  struct Agreed {
    messages::CertBody body;
    Hash batch_digest{};
  };
  using AgreedBySeq = std::map<messages::Seq, Agreed>;
  std::shared_ptr<AgreedBySeq> agreed = std::make_shared<AgreedBySeq>();
  // Of faulty replicas, as a bitmap: those that err, but say nothing twice.
  std::uint32_t erring = 0;

  bool correct(messages::ReplicaId r) const { return standing.at(r) == Standing::correct; }
  std::uint32_t faulty() const { return faulty(standing.size()); }
  // Of the members of this epoch.
  std::uint32_t faulty_members() const { return faulty(config.n()); }

 private:
  std::uint32_t faulty(std::size_t first) const {
    return static_cast<std::uint32_t>(std::ranges::count_if(
        std::span(standing).first(first), [](Standing s) { return s != Standing::correct; }));
  }
};

class Statements {
 public:
  using Violation = std::function<void(const char* oracle, const std::string& what)>;

  Statements(const Known& known, Violation violation)
      : known_(known), violation_(std::move(violation)) {}

  // The last sequence number of this epoch is known.
  void ends_with(messages::Seq last);
  // A message leaves a replica, of whatever standing. `to`: empty means everybody.
  void sent(messages::ReplicaId from, const messages::PeerMessage& message,
            const std::vector<messages::ReplicaId>& to = {});
  // A vote of a correct replica goes to the log (S11: its clock judged the batch).
  void voted(messages::ReplicaId replica, const messages::Proposal& proposal,
             std::uint64_t wall_us);
  // The executor, who is the first, was sent COMMITs of one view by a quorum (S14). It may count
  // its own by the record alone: it was cut off before the message left.
  bool committed(messages::Seq seq, const Hash& digest, messages::ReplicaId executor) const;
  // For `view`, by whom; of several by one replica some.
  std::map<messages::ReplicaId, const messages::ViewChange*> view_changes(
      messages::View view) const;

 private:
  using ReplicaId = messages::ReplicaId;
  using Seq = messages::Seq;
  using View = messages::View;
  enum class Kind : std::uint8_t { proposal, prepare, commit, view_change, new_view, share };

  // Whoever sends it.
  void witness(const messages::PeerMessage& message);
  void witness_share(const messages::RootShare& share);
  void witness_cert(const messages::RootCert& cert);
  void witness_batch(const messages::Batch& batch);
  // Sent by a correct replica.
  void check(ReplicaId from, const messages::PrePrepare& m);
  void check(ReplicaId from, const messages::Prepare& m);
  void check(ReplicaId from, const messages::Commit& m);
  void check(ReplicaId from, const messages::RootShare& m);
  void check(ReplicaId from, const messages::RootCert& m);
  void check(ReplicaId from, const messages::ViewChange& m);
  void check(ReplicaId from, const messages::NewView& m);
  void check(ReplicaId from, const messages::PreparedData& m);
  void check(ReplicaId from, const messages::HistoryData& m);
  void check(ReplicaId from, const messages::BatchData& m);
  void check(ReplicaId from, const messages::FetchHistory& m);
  template <class Other>
  void check(ReplicaId, const Other&) {}

  void require(bool valid, ReplicaId from, const char* what);
  void check_window(ReplicaId from, const messages::Proposal& p);
  void check_end();
  void state_once(ReplicaId who, Kind kind, View view, Seq seq, const Hash& what);
  void note_commit(ReplicaId from, const messages::Proposal& p);
  void note_given(ReplicaId from, const messages::Proposal& p, const std::vector<ReplicaId>& to);

  const Known& known_;
  Violation violation_;
  std::map<std::tuple<ReplicaId, Kind, View, Seq>, Hash> stated_;
  std::map<Seq, std::map<Hash, std::uint32_t>> shares_;  // valid ones: body -> bitmap
  std::pair<ReplicaId, Seq> furthest_{};                 // that a correct one has voted for
  Seq end_ = 0;                                          // of the epoch; 0: not known
  std::set<Hash> certified_;                             // bodies that a valid certificate names
  std::map<Hash, messages::ViewChange> view_changes_;    // by digest, whoever sent them
  // COMMITs of correct replicas.
  std::map<Seq, std::map<std::pair<View, Hash>, std::uint32_t>> commits_;
  // COMMITs of whomever, by receiver: bitmap of senders.
  std::map<Seq, std::map<std::tuple<View, Hash, ReplicaId>, std::uint32_t>> given_;
  struct Lock {
    View view = 0;
    Hash digest{};
  };
  std::map<Seq, Lock> locks_;  // W correct replicas are prepared: later views are bound to it
  std::map<Hash, messages::Batch> batches_;  // without items: time and flags, by digest
  std::set<Hash> timed_;                     // some correct backup has judged them
};

}  // namespace bftmeta::sim
