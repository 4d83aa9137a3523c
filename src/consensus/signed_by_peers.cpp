#include "consensus/signed_by_peers.hpp"

#include <tuple>

namespace bftmeta::consensus {

using messages::NewView;
using messages::Prepare;
using messages::PreparedCert;
using messages::Proposal;
using messages::SignedProposal;
using messages::ViewChange;

namespace {

bool above(const Proposal& a, const Proposal& b) {
  return std::tie(a.view, a.seq) > std::tie(b.view, b.seq);
}

}  // namespace

void SignedByPeers::note_pre_prepare(ReplicaId primary, const Proposal& p,
                                     const Signature& signature) {
  auto& known = highest_[primary].pre_prepare;
  if (!known || above(p, known->proposal)) known = SignedProposal{p, signature};
}

void SignedByPeers::note_prepare(const Prepare& m) {
  auto& known = highest_[m.replica].prepare;
  if (!known || above(m.proposal, known->proposal)) known = m;
}

void SignedByPeers::note_prepared(ReplicaId primary, const PreparedCert& entry) {
  note_pre_prepare(primary, entry.proposal, entry.primary_signature);
  std::size_t next = 0;
  for (ReplicaId r = 0; r < limits::kMaxReplicas && next < entry.signatures.size(); ++r)
    if ((entry.backups >> r & 1) != 0) note_prepare({entry.proposal, r, entry.signatures[next++]});
}

void SignedByPeers::note_view_change(const ViewChange& vc) {
  auto& known = highest_[vc.replica].view_change;
  if (!known || vc.new_view > known->new_view) known = vc;
}

void SignedByPeers::note_new_view(ReplicaId primary, const NewView& nv) {
  auto& known = highest_[primary].new_view;
  if (!known || nv.view > known->view) known = nv;
}

void SignedByPeers::note_commit(ReplicaId from, const Proposal& p) {
  auto& known = highest_[from].commit;
  if (!known || above(p, *known)) known = p;
}

messages::HighestStatements SignedByPeers::of(ReplicaId replica) const {
  const auto it = highest_.find(replica);
  return it == highest_.end() ? messages::HighestStatements{} : it->second;
}

std::size_t SignedByPeers::size() const {
  std::size_t statements = 0;
  for (const auto& [replica, of] : highest_)
    statements += std::size_t{of.pre_prepare.has_value()} + std::size_t{of.prepare.has_value()} +
                  std::size_t{of.commit.has_value()} + std::size_t{of.view_change.has_value()} +
                  std::size_t{of.new_view.has_value()};
  return statements;
}

}  // namespace bftmeta::consensus
