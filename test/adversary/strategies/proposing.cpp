#include "adversary/strategies/proposing.hpp"

namespace bftmeta::adversary {

using messages::Commit;
using messages::Prepare;
using messages::PrePrepare;

void Proposing::send(ReplicaId to, Messages& messages) {
  std::erase_if(messages, [&](PeerMessage& m) { return !bend(to, m); });
}

bool Proposing::bend(ReplicaId to, PeerMessage& message) {
  if (plot().includes(to)) return true;
  if (auto* p = std::get_if<PrePrepare>(&message); p && id_.is_primary(p->proposal.view))
    return bend_proposal(to, *p);
  if (auto* c = std::get_if<Commit>(&message)) {
    const auto it = told_.find({c->proposal.seq, c->proposal.view, to});
    if (it != told_.end() && it->second) c->proposal = it->second->proposal;
  }
  follow_plot(to, message);
  return true;
}

bool Proposing::bend_proposal(ReplicaId to, PrePrepare& proposal) {
  const Proposal honest = proposal.proposal;
  const auto [it, first] = told_.try_emplace({honest.seq, honest.view, to});
  if (first) it->second = propose(to, proposal);
  const std::optional<PrePrepare> told = it->second;
  if (told_.size() > kMaxRemembered) told_.erase(told_.begin());
  if (!told) {
    lie();
    return false;
  }
  if (*told == proposal) return true;
  lie();
  proposal = *told;
  if (first && told->proposal != honest) {
    auto& shared = plot().told;
    shared[{honest.view, honest.seq}][to] = told->proposal;
    if (shared.size() > kMaxRemembered) shared.erase(shared.begin());
    say(to, forge::commit(*told));  // its own core will never commit this one
  }
  return true;
}

// Another member is the primary and has told `to` something else: vote for that.
void Proposing::follow_plot(ReplicaId to, PeerMessage& message) {
  auto* prepare = std::get_if<Prepare>(&message);
  auto* commit = std::get_if<Commit>(&message);
  if ((prepare == nullptr || prepare->replica != self()) && commit == nullptr) return;
  const Proposal& own = prepare != nullptr ? prepare->proposal : commit->proposal;
  if (id_.is_primary(own.view)) return;
  const auto proposal = plot().told.find({own.view, own.seq});
  if (proposal == plot().told.end()) return;
  const auto told = proposal->second.find(to);
  if (told == proposal->second.end() || told->second == own) return;
  if (prepare != nullptr)
    *prepare = messages::sign_prepare(*id_.signer, context(), told->second, self());
  else
    commit->proposal = told->second;
  lie();
}

}  // namespace bftmeta::adversary
