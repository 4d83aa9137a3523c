// STATUS: what a replica holds, and the answer to it: whatever the peer lacks (protocol §4.4). This
// is the only retransmission, so it covers every message of agreement and view change.
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::PeerStatus;
using messages::SlotStatus;

bool Core::outstanding() const {
  return !active_ || pending_.size() > 0 || !slots_.empty() || certified_seq() != executed_seq() ||
         suspicion_ != Reason::none || evidence_seq() > executed_seq() || owes_progress() ||
         (epoch_over() && !ended_);
}

PeerStatus Core::own_status() const {
  PeerStatus s;
  s.view = view_;
  s.active = active_;
  s.entered = entered_;
  s.executed = executed_seq();
  s.certified = certified_seq();
  s.suspects = suspicion_;
  for (const auto& [replica, vc] : view_change_of_)
    if (vc.new_view == view_) s.view_changes |= 1U << replica;
  s.accused = evidence_.accused();
  // Nobody answers with what is certified.
  for (auto it = slots_.upper_bound(certified_seq());
       it != slots_.end() && s.slots.size() < limits::kWindow; ++it) {
    const Slot& slot = it->second;
    SlotStatus row;
    row.seq = it->first;
    row.proposal = slot.proposal && slot.batch;
    row.prepared = slot.prepared_lsn != 0;
    for (const auto& [replica, prepare] : slot.prepares)
      if (slot.proposal && prepare.proposal == *slot.proposal) row.prepares |= 1U << replica;
    for (const auto& [replica, proposal] : slot.commits)
      if (slot.proposal && proposal == *slot.proposal) row.commits |= 1U << replica;
    if (const auto sh = shares_.find(it->first); sh != shares_.end())
      for (const auto& [replica, share] : sh->second) row.shares |= 1U << replica;
    s.slots.push_back(row);
  }
  return s;
}

void Core::send_status() {
  broadcast(own_status());
  ask_peers();
  next_status_ = now_.mono_us + (outstanding() ? timing_.status_busy : timing_.status_idle);
}

void Core::on(ReplicaId from, PeerStatus m) {
  Peer& peer = peers_[from];
  peer.status = std::move(m);
  peer.heard = true;
  if (outstanding() && !frozen())
    next_status_ = std::min(next_status_, now_.mono_us + timing_.status_busy);
  if (peer.answered_us != 0 && now_.mono_us - peer.answered_us < timing_.status_busy / 2) return;
  peer.answered_us = now_.mono_us;
  answer_status(from, peer.status);
}

void Core::answer_status(ReplicaId to, const PeerStatus& s) {
  if (mutant(Mutant::no_status)) return;
  // The newest certificate tells a laggard how far it has to go. A new epoch has none yet, while
  // certified_seq() is where it started: a peer that claims less lies.
  if (cert_ && s.certified < cert_->body.seq) repeat(to, *cert_);
  if (s.entered < entered_) {
    on(to, messages::FetchNewView{});
  } else if (active_ && s.view > view_ && s.active) {
    send(to, messages::FetchNewView{});
  }
  for (const auto& [replica, vc] : view_change_of_) {
    const bool lacks = s.view < vc.new_view ||
                       (s.view == vc.new_view && !s.active && (s.view_changes >> replica & 1) == 0);
    const bool mine_to_give = replica != self_ || may_vote();
    if (lacks && mine_to_give && replica != to && vc.new_view > s.entered)
      answer(to, vc, last_lsn_);
  }
  offer_evidence(to, s);
  std::map<Seq, const SlotStatus*> theirs;
  for (const SlotStatus& row : s.slots) theirs[row.seq] = &row;
  const SlotStatus nothing;
  std::size_t budget = limits::kMaxBatchBytes;
  for (auto it = slots_.upper_bound(s.certified); it != slots_.end(); ++it) {
    if (it->first <= executed_seq() && mutant(Mutant::uncertified_not_given)) continue;
    const auto row = theirs.find(it->first);
    answer_slot(to, row == theirs.end() ? nothing : *row->second, it->first, budget);
  }
  for (auto it = shares_.upper_bound(s.certified); it != shares_.end(); ++it) {
    const auto& [seq, shares] = *it;
    const auto row = theirs.find(seq);
    const bool has = row != theirs.end() && (row->second->shares >> self_ & 1) != 0;
    if (const auto own = shares.find(self_); own != shares.end() && !has)
      repeat(to, own->second, share_lsn(seq));
  }
}

// Votes of the view that both are in; a body at most as far as the byte budget of one answer goes.
void Core::answer_slot(ReplicaId to, const SlotStatus& theirs, Seq seq, std::size_t& budget) {
  const Slot& s = slots_.at(seq);
  const PeerStatus& peer = peers_.at(to).status;
  if (!active_ || !peer.active || peer.view != view_ || !s.proposal) return;
  if (s.since_us != 0 && now_.mono_us - s.since_us < timing_.status_busy / 2) return;  // on its way
  const bool bodies = seq > max_reproposed_ || !mutant(Mutant::reproposed_body_not_fetched);
  const bool proposal_is_own = primary(s.proposal->view) == self_;
  if (bodies && !theirs.proposal && s.batch && s.voted && (!proposal_is_own || may_vote())) {
    const std::size_t size = s.batch->bytes;
    if (size <= budget) {
      budget -= size;
      repeat(to, messages::PrePrepare{*s.proposal, s.primary_signature, s.batch->batch},
             s.vote_lsn);
    }
  }
  if (!theirs.prepared)
    for (const auto& [replica, prepare] : s.prepares)
      if (replica != to && (replica != self_ || may_vote()) &&
          (theirs.prepares >> replica & 1) == 0 && prepare.proposal == *s.proposal)
        repeat(to, prepare, replica == self_ ? s.vote_lsn : 0);
  if (s.prepared_lsn != 0 && may_vote() && (theirs.commits >> self_ & 1) == 0)
    repeat(to, messages::Commit{*s.proposal}, s.prepared_lsn);
  const bool comes_anyway = far_behind() && seq <= certified_seq();
  if (bodies && !s.batch && !comes_anyway && has_room(seq, limits::kMaxBatchBytes))
    send(to, messages::FetchBatch{seq, s.proposal->digest});
}

}  // namespace bftmeta::consensus
