// What every peer is known to have signed, the highest of each kind: what HELLO shows to a peer
// that starts (protocol §3.5). One entry per peer, bounded by the largest VIEW-CHANGE and NEW-VIEW.
// In memory; after a start, what the own log vouches for. Thread-safety: one thread.
#pragma once

#include <map>

#include "consensus/records.hpp"
#include "messages/hello.hpp"

namespace bftmeta::consensus {

using messages::ReplicaId;

// Precondition of every note_*: the signature was verified, or the own log vouches for it.
class SignedByPeers {
 public:
  void note_pre_prepare(ReplicaId primary, const messages::Proposal& p, const Signature& signature);
  void note_prepare(const messages::Prepare& m);
  void note_prepared(ReplicaId primary, const messages::PreparedCert& entry);
  void note_view_change(const messages::ViewChange& vc);
  void note_new_view(ReplicaId primary, const messages::NewView& nv);
  // COMMIT is not signed: its sender is who the link says.
  void note_commit(ReplicaId from, const messages::Proposal& p);

  messages::HighestStatements of(ReplicaId replica) const;
  static constexpr std::size_t kKinds = 5;  // of statements, one of each kept per replica
  std::size_t size() const;                 // statements

 private:
  std::map<ReplicaId, messages::HighestStatements> highest_;
};

}  // namespace bftmeta::consensus
