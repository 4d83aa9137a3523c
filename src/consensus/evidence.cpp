// Evidence against members (protocol §9.6): found where a second signed statement arrives, proven
// before it is believed, passed on until every peer knows of the accused, and never a reason to
// count anybody out. Its one effect on agreement: a primary that proved itself an equivocator loses
// its view at once, because whoever holds the proof convinces every correct replica with it.
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::Accusation;
using messages::Evidence;
using messages::Offence;

namespace {
// How often one peer is sent evidence that its STATUS says it lacks: it may be 350 KB.
constexpr std::uint64_t kEvidenceEvery = 1'000'000;
}  // namespace

// Of earlier starts. The files may have been anybody's: they prove themselves again.
void Core::recall_evidence(std::vector<Evidence> evidence) {
  for (Evidence& e : evidence)
    if (const auto a = messages::judge(verifier_, context(), config_, e))
      evidence_.add(*a, std::move(e));
}

// Found here, among what others sent. What is known already is not proven again.
void Core::accuse(ReplicaId from, Evidence evidence) {
  const auto claim = messages::claim_of(config_, evidence);
  if (!claim || evidence_.knows(*claim)) return;
  if (!may_check(from, messages::signatures_in(config_, evidence))) return;
  if (checked(from, messages::judge(verifier_, context(), config_, evidence).has_value()))
    file(*claim, std::move(evidence));
}

// A correct peer sends only what it has proven: one that sends anything else is distrusted
// (storm.cpp), and not listened to about this any more.
void Core::on(ReplicaId from, Evidence m) {
  Peer& peer = peers_[from];
  if (peer.forged_evidence) return;
  const auto claim = messages::claim_of(config_, m);
  if (claim && evidence_.knows(*claim)) return;
  if (claim && !may_check(from, messages::signatures_in(config_, m))) return;
  if (!checked(from, claim && messages::judge(verifier_, context(), config_, m))) {
    peer.forged_evidence = true;
    return;
  }
  file(*claim, std::move(m));
}

void Core::file(const Accusation& accusation, Evidence evidence) {
  if (!evidence_.add(accusation, evidence)) return;
  broadcast(evidence);
  out_->push_back(action::Accused{accusation, std::move(evidence)});
}

// A level, like everything in turn(): the proof may have come before this replica was in the view,
// or while the view is pending.
void Core::leave_proven_view() {
  if (halted_ || !may_vote() || evidence_.of_view(primary(view_), view_) == nullptr) return;
  view_fault_ = Reason::equivocation;
  start_view_change(view_ + 1, Reason::equivocation);
}

// Whatever was lost, a peer is told again: what ends the view that it is in, else one proof against
// a member of which it knows nothing.
void Core::offer_evidence(ReplicaId to, const messages::PeerStatus& s) {
  Peer& peer = peers_.at(to);
  if (peer.evidence_us != 0 && now_.mono_us - peer.evidence_us < kEvidenceEvery) return;
  const Evidence* offer = evidence_.of_view(primary(s.view), s.view);
  const std::uint32_t lacks = evidence_.accused() & ~s.accused & ~(1U << to);
  for (ReplicaId accused = 0; accused < config_.n() && offer == nullptr; ++accused)
    if ((lacks >> accused & 1) != 0) offer = evidence_.against(accused);
  if (offer == nullptr) return;
  peer.evidence_us = now_.mono_us;
  send(to, *offer);
}

}  // namespace bftmeta::consensus
