// What the Byzantine replicas have seen: everything that their own correct cores send and that
// correct replicas send to them. Bounded; the oldest goes first. Thread-safety: one thread.
#pragma once

#include <deque>
#include <map>

#include "config/genesis.hpp"
#include "messages/frame.hpp"

namespace bftmeta::adversary {

class Witness {
 public:
  // Of an epoch that begins behind `start`.
  explicit Witness(messages::Seq start = 0) : start_(start) {}

  using ReplicaId = messages::ReplicaId;
  using Seq = messages::Seq;
  using View = messages::View;

  // A message of a correct core: `from` is its sender.
  void saw(const config::Config& config, const Hash& cluster_id, ReplicaId from,
           const messages::PeerMessage& message);

  const messages::PeerStatus* status_of(ReplicaId replica) const;
  // Highest view that anybody says to be active in.
  View view() const;
  // nullptr: none seen.
  const messages::RootCert* newest_cert() const;
  const messages::RootCert* oldest_cert() const;
  Seq certified() const { return newest_cert() == nullptr ? start_ : newest_cert()->body.seq; }
  // Q shares of one body, when that many were seen.
  std::optional<messages::RootCert> assemble(const config::Config& config, Seq seq) const;
  const std::map<Seq, std::map<ReplicaId, messages::RootShare>>& shares() const { return shares_; }
  // P as a truthful replica would state it: per number in (base, base + L] the certificate of the
  // highest view below `view`.
  std::vector<messages::PreparedCert> prepared(const config::Config& config, Seq base,
                                               View view) const;
  const messages::PrePrepare* proposal(View view, Seq seq) const;
  const messages::PrePrepare* newest_proposal() const;
  // VIEW-CHANGEs by digest, and all for one view (highest digest wins: one per sender).
  const messages::ViewChange* view_change(const Hash& digest) const;
  std::map<ReplicaId, messages::ViewChange> view_changes(View view) const;
  // Client items that were proposed, oldest first.
  const std::deque<messages::Item>& items() const { return items_; }
  // Anything, for replays; oldest first.
  const std::deque<messages::PeerMessage>& recorded() const { return recorded_; }

 private:
  void add(const messages::PrePrepare& m);
  void add(const config::Config& config, const messages::ViewChange& m);
  void add(const messages::RootCert& m);
  void record(const messages::PeerMessage& m);

  struct Votes {  // of one proposal
    messages::Proposal proposal;
    std::optional<Signature> primary;
    std::map<ReplicaId, Signature> backups;
  };

  Seq start_;
  std::map<ReplicaId, messages::PeerStatus> status_;
  std::map<Seq, messages::RootCert> certs_;
  std::map<Seq, std::map<ReplicaId, messages::RootShare>> shares_;
  std::map<std::tuple<Seq, View, Hash>, Votes> votes_;
  std::map<std::pair<View, Seq>, messages::PrePrepare> proposals_;
  std::map<Hash, messages::ViewChange> view_changes_;
  std::deque<Hash> view_change_order_;
  std::deque<messages::Item> items_;
  std::deque<messages::PeerMessage> recorded_;
};

}  // namespace bftmeta::adversary
