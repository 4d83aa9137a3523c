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

// A primary proven to equivocate in the view that is active here.
bool Core::ends_view(const Accusation& a) const {
  return a.offence == Offence::two_proposals && active_ && a.view == view_;
}

// Whether there is anything to gain from proving it.
bool Core::is_news(const Accusation& a) const { return !evidence_.knows(a) || ends_view(a); }

// Found here, among what others sent. What is known already is not proven again.
void Core::accuse(ReplicaId from, Evidence evidence) {
  const auto claim = messages::claim_of(config_, evidence);
  if (!claim || !is_news(*claim)) return;
  if (!may_check(from, messages::signatures_in(config_, evidence))) return;
  if (messages::judge(verifier_, context(), config_, evidence)) file(*claim, std::move(evidence));
}

// A correct peer sends only what it has proven: one that sends anything else is distrusted
// (storm.cpp), and not listened to about this any more.
void Core::on(ReplicaId from, Evidence m) {
  Peer& peer = peers_[from];
  if (peer.forged_evidence) return;
  const auto claim = messages::claim_of(config_, m);
  if (claim && !is_news(*claim)) return;
  if (claim && !may_check(from, messages::signatures_in(config_, m))) return;
  if (!checked(from, claim && messages::judge(verifier_, context(), config_, m))) {
    peer.forged_evidence = true;
    return;
  }
  file(*claim, std::move(m));
}

void Core::file(const Accusation& accusation, Evidence evidence) {
  broadcast(evidence);
  if (evidence_.add(accusation, evidence))
    out_->push_back(action::Accused{accusation, std::move(evidence)});
  if (!ends_view(accusation)) return;
  view_fault_ = Reason::equivocation;
  start_view_change(view_ + 1, Reason::equivocation);
}

// Level-triggered: whatever was lost, a peer that does not know of an accused member is told again.
void Core::offer_evidence(ReplicaId to, std::uint32_t known_accused) {
  Peer& peer = peers_.at(to);
  const std::uint32_t lacks = evidence_.accused() & ~known_accused & ~(1U << to);
  if (lacks == 0 || (peer.evidence_us != 0 && now_.mono_us - peer.evidence_us < kEvidenceEvery))
    return;
  peer.evidence_us = now_.mono_us;
  for (ReplicaId accused = 0; accused < config_.n(); ++accused)
    if ((lacks >> accused & 1) != 0) return send(to, *evidence_.against(accused));
}

}  // namespace bftmeta::consensus
