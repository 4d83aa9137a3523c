// Whether this replica may vote (protocol §3.5 step 5, §3.6). A log that forgot votes (an old copy
// of the data directory, rot in its newest group, a disk that lied about a sync) cannot know it;
// the peers hold what this replica signed. So whoever starts asks them first, and votes once 2f
// have answered and none has shown a signature of its own that the log should explain.
//
// Every start of a store asks, the first one too: a directory as keygen left it may be a copy of
// one whose key has voted since. There is no timeout, because with fewer than 2f peers there is no
// quorum to vote in; and HELLO is answered in every state, so replicas that start together do not
// wait for each other. While it asks, nothing is appended to the log: progress would cover up what
// is missing in it, and a crash in between would then hide the loss from the next start.
#include <bit>

#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::Hello;
using messages::HelloReply;
using messages::Proposal;

bool valid_value(Loss l) { return l >= Loss::prepare && l <= Loss::log; }

namespace {

std::string what_is_lost(const FenceRecord& f) {
  const std::string peer = "replica " + std::to_string(f.witness);
  const std::string view = " of view " + std::to_string(f.view);
  const std::string seq = " for sequence number " + std::to_string(f.seq);
  constexpr const char* kOfThis = " that this replica signed and does not know any more";
  switch (f.loss) {
    case Loss::prepare: return peer + " holds a PREPARE" + seq + view + kOfThis;
    case Loss::pre_prepare: return peer + " holds a PRE-PREPARE" + seq + view + kOfThis;
    case Loss::view_change: return peer + " holds a VIEW-CHANGE" + view + kOfThis;
    case Loss::new_view: return peer + " holds a NEW-VIEW" + view + kOfThis;
    case Loss::commit:
      return "f+1 replicas have COMMITs of this replica, the last" + seq + view +
             ", that it does not know any more";
    case Loss::log: break;
  }
  return "votes in the write-ahead log are unreadable";
}

std::string fence_text(const FenceRecord& f) {
  std::string text = "fenced: " + what_is_lost(f);
  if (f.heard >= f.incarnation)
    text += "; it had heard start " + std::to_string(f.heard) + " of this store, this is start " +
            std::to_string(f.incarnation) + ": the data directory is an old copy";
  return text +
         ". It executes, signs roots and serves reads, but its key never votes again. If the newer "
         "data directory still exists, stop bftmetad and put that one back; else leave it running "
         "and see 'fenced' in docs/operating.md";
}

}  // namespace

// ---- at start

void Core::take_up_standing(const Recovered& recovered) {
  incarnation_ = recovered.incarnation;
  nonce_ = recovered.nonce;
  if (mutant(Mutant::fence_forgotten)) fence_.reset();
  if (fence_) {
    standing_ = Standing::fenced;
    out_->push_back(action::Fenced{fence_text(*fence_)});
    return send_status();
  }
  if (recovered.votes_lost) return fence({Loss::log, self_, entered_, 0, incarnation_, 0});
  standing_ = Standing::asking;
  if (incarnation_ != 0)
    for (const auto& [replica, peer] : peers_) unheard_ |= 1U << replica;
  frozen_tick();
  try_begin_voting();
}

// Again with every STATUS, until all have answered: whoever comes late may still know of a loss.
void Core::ask_peers() {
  for (const auto& [replica, peer] : peers_)
    if ((unheard_ >> replica & 1) != 0) send(replica, Hello{nonce_, incarnation_});
}

std::uint32_t Core::heard() const {
  return config_.n() - 1 - static_cast<std::uint32_t>(std::popcount(unheard_));
}

// What the log gave back is taken up where it was left.
void Core::try_begin_voting() {
  const std::uint32_t needed = mutant(Mutant::votes_before_hello) ? 0 : 2 * config_.f();
  if (standing_ != Standing::asking || !space_ || heard() < needed) return;
  standing_ = Standing::voter;
  const bool past = !never_entered_;
  if (!past) {
    mark_epoch();
    entered_lsn_ = append(RecordKind::entered, 0, encode(entered_record_));
    never_entered_ = false;
  }
  if (!active_)
    broadcast(*own_view_change_);
  else if (past && primary(view_) == self_ && !mutant(Mutant::no_abdication))
    // It may have proposed what its log does not know: it never proposes again in this view.
    start_view_change(view_ + 1, Reason::abdication);
  for (auto& [seq, s] : slots_) advance(seq);
  send_status();
}

// ---- what peers show

void Core::on(ReplicaId from, Hello m) {
  Peer& peer = peers_[from];
  if (peer.hello_us != 0 && now_.mono_us - peer.hello_us < timing_.status_busy / 2) return;
  peer.hello_us = now_.mono_us;
  if (m.nonce != peer.nonce) {
    peer.heard_before = peer.incarnation;
    peer.incarnation = std::max(peer.incarnation, m.incarnation);
    peer.nonce = m.nonce;
  }
  send(from, HelloReply{m.nonce, peer.heard_before, signed_by_peers_.of(from)});
}

void Core::on(ReplicaId from, HelloReply m) {
  if (m.nonce != nonce_ || (unheard_ >> from & 1) == 0) return;
  unheard_ &= ~(1U << from);
  if (standing_ == Standing::fenced) return;
  if (const auto loss = lost_vote(from, m); loss && !mutant(Mutant::loss_ignored))
    return fence(*loss);
  try_begin_voting();
}

// A vote of the entered view. Those of views below it precede ENTERED in the log, which is read as
// a prefix, and a state group does not repeat them: they prove nothing.
bool Core::knows_vote(const Proposal& p) const {
  const Slot* s = find(p.seq);
  return s != nullptr && s->voted && s->proposal && *s->proposal == p;
}

// Exactly what the log must hold by §3.1 and does not. A PRE-PREPARE within the window and a root
// share are sent without waiting for a sync and prove nothing (T3.16). Compared with the present
// state: while asking, that is what the log gave back; later it has grown only by what this start
// itself did.
std::optional<FenceRecord> Core::lost_vote(ReplicaId from, const HelloReply& m) {
  const auto& shown = m.yours;
  const auto lost = [&](Loss loss, View view, Seq seq) {
    return FenceRecord{loss, from, view, seq, incarnation_, m.incarnation};
  };
  const auto own = [&](const auto& statement) {
    return mutant(Mutant::lost_vote_unproven) ||
           messages::signed_by(verifier_, context(), config_, self_, statement);
  };
  const auto entered_above = [&](View view) { return never_entered_ || view > entered_; };
  const View left = own_view_change_ ? std::max(entered_, own_view_change_->new_view) : entered_;

  if (shown.prepare) {
    const Proposal& p = shown.prepare->proposal;
    const bool unknown = p.view == entered_ && p.seq > certified_seq() && !knows_vote(p);
    if ((entered_above(p.view) || unknown) && own(*shown.prepare))
      return lost(Loss::prepare, p.view, p.seq);
  }
  if (shown.view_change && shown.view_change->new_view > left && own(*shown.view_change))
    return lost(Loss::view_change, shown.view_change->new_view, 0);
  if (shown.new_view && entered_above(shown.new_view->view) && own(*shown.new_view))
    return lost(Loss::new_view, shown.new_view->view, 0);
  if (shown.pre_prepare) {
    const Proposal& p = shown.pre_prepare->proposal;
    const bool beyond = p.seq > certified_seq() + limits::kWindow;  // see watermark_lsn()
    if ((entered_above(p.view) || beyond) && own(*shown.pre_prepare))
      return lost(Loss::pre_prepare, p.view, p.seq);
  }
  if (shown.commit && shown.commit->seq > certified_seq()) {
    const auto entry = prepared_.find(shown.commit->seq);
    if (entry == prepared_.end() || entry->second.proposal.view < shown.commit->view)
      lost_commits_ |= 1U << from;
    if (std::popcount(lost_commits_) >=
        static_cast<int>(mutant(Mutant::lost_commit_by_one) ? 1 : config_.weak_quorum()))
      return lost(Loss::commit, shown.commit->view, shown.commit->seq);
  }
  return std::nullopt;
}

// ---- not voting

// STATUS waits for the record: the disk knows before anybody else.
void Core::fence(const FenceRecord& record) {
  fence_ = record;
  standing_ = Standing::fenced;
  suspicion_ = Reason::none;
  cause_.reset();
  new_view_deadline_ = 0;
  mark_epoch();
  const Lsn lsn = append(RecordKind::fenced, 0, encode(record));
  out_->push_back(action::Fenced{fence_text(record)});
  broadcast(own_status(), lsn);
  next_status_ = now_.mono_us + timing_.status_busy;
}

// Without room for records, only what needs none goes on: the same state, its reads, its flush.
void Core::on_space(bool available) {
  if (space_ == available) return;
  space_ = available;
  suspicion_ = Reason::none;
  cause_.reset();
  new_view_deadline_ = 0;
  if (!available) return;
  for (auto& [seq, s] : slots_)
    if (s.since_us != 0) s.since_us = now_.mono_us;
  try_begin_voting();
  if (standing_ == Standing::asking) return;
  for (auto& [seq, s] : slots_) advance(seq);
  send_status();
}

// While the state is frozen: what is answered from it, and certificates of what was executed, so
// that a flush may free log segments. The rest comes again after STATUS.
bool Core::hears(const PeerMessage& message) const {
  if (!frozen()) return true;
  if (const auto* share = std::get_if<messages::RootShare>(&message))
    return standing_ != Standing::asking && share->body.seq <= executed_seq();
  if (const auto* cert = std::get_if<messages::RootCert>(&message))
    return standing_ != Standing::asking && cert->body.seq <= executed_seq();
  return std::holds_alternative<Hello>(message) || std::holds_alternative<HelloReply>(message) ||
         std::holds_alternative<messages::PeerStatus>(message) ||
         std::holds_alternative<messages::Forward>(message) ||
         std::holds_alternative<messages::FetchBatch>(message) ||
         std::holds_alternative<messages::FetchHistory>(message) ||
         std::holds_alternative<messages::FetchViewChange>(message) ||
         std::holds_alternative<messages::FetchNewView>(message) ||
         std::holds_alternative<messages::FetchPrepared>(message);
}

// Asking goes on at the busy rate; a replica without space says rarely that it is there.
void Core::frozen_tick() {
  if (now_.mono_us < next_status_) return;
  if (standing_ == Standing::asking)
    ask_peers();
  else
    broadcast(own_status());
  next_status_ =
      now_.mono_us + (standing_ == Standing::asking ? timing_.status_busy : timing_.status_idle);
}

std::string Core::standing_text() const {
  if (fence_) return fence_text(*fence_);
  if (out_of_service()) return divergence_text();
  if (standing_ != Standing::asking) return "";
  return "starting: " + std::to_string(heard()) + " of " + std::to_string(2 * config_.f()) +
         " peers have answered what they hold of this replica's votes; it does not vote before";
}

}  // namespace bftmeta::consensus
