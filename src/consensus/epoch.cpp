// The end of an epoch, and the beginning of the next (protocol §9.2). When it ends is decided by
// the state machine and stands in every certificate from then on, a window ahead: whoever does not
// know it yet can not have voted beyond it. Nobody votes beyond it; the primary fills up to it; its
// last batch is certified by both memberships. Then the driver makes a new core, with nothing of
// this one: no vote, view or P-entry crosses from one epoch into another.
#include "config/change.hpp"
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::RootCert;
using messages::RootShare;

void Core::note_epoch_end(const messages::CertBody& body) {
  if (body.epoch_end_seq == 0 || epoch_end_ != 0 || mutant(Mutant::epoch_end_unheeded)) return;
  epoch_end_ = body.epoch_end_seq;
  progress_us_ = now_.mono_us;
}

// Batches that the primary makes up when there are none: up to the end of the epoch, and the first
// of a new one, so that there is a certificate of its own to stand on.
bool Core::owes_progress() const {
  const Seq executed = executed_seq();
  return (epoch_end_ != 0 && executed < epoch_end_) ||
         (epoch_start_ != 0 && executed == epoch_start_);
}

// A batch is worth a quarter of a second, and no more: else a primary that fills up just in time,
// one batch after the other, could make an epoch last a window of timeouts longer (T9.5). What the
// network took so far says nothing here, because that primary had a say in it; where even that is
// too short, views that are left for it lengthen it.
void Core::note_progress() {
  const std::uint64_t worth = backoff(timing_.request_min / 4, failed_views_);
  const std::uint64_t late_us = now_.mono_us - std::min(request_timeout(), now_.mono_us);
  progress_us_ = std::clamp(progress_us_ + worth, late_us, now_.mono_us);
}

// Not filling up is a reason for suspicion (T9.13). Whoever follows by catch-up sees progress too.
bool Core::progress_late(std::uint64_t patience) const {
  return owes_progress() && !transferring_ && !mutant(Mutant::fill_up_untimed) &&
         now_.mono_us - progress_us_ > patience;
}

// ---- READY

// A member of the next configuration that has the state says so, as often as it takes.
void Core::say_ready() {
  if (!may_vote() || !active_) return;
  const auto change = machine_.unconfirmed(signer_.public_key());
  if (!change) return;
  if (!ready_ || ready_->first != *change)
    ready_ = {*change, messages::sign_ready(signer_, cluster_id_,
                                            {*change, signer_.public_key(), executed_seq()})};
  admit(ready_->second, 0, primary(view_) != self_, std::nullopt);
}

// ---- the joint certificate

// What a member of the next configuration that is none of this one sends: its READY, and its share
// of the last batch. Each link costs one stored share, and a READY is looked at only where the
// state waits for it.
void Core::on_joining(ReplicaId position, PeerMessage message) {
  if (frozen() || position >= limits::kMaxReplicas) return;
  if (auto* forward = std::get_if<messages::Forward>(&message)) {
    if (forward->item.kind == messages::ItemKind::ready && hears_ready(position))
      admit(std::move(forward->item), 0, active_ && primary(view_) != self_, std::nullopt);
  } else if (const auto* share = std::get_if<RootShare>(&message)) {
    if (share->replica == position) note_end_share(config_.n() + position, *share);
  }
}

// One signature check for each link and half STATUS period.
bool Core::hears_ready(ReplicaId position) {
  std::uint64_t& heard_us = ready_heard_us_[position];
  if (heard_us != 0 && now_.mono_us - heard_us < timing_.status_busy / 2) return false;
  heard_us = now_.mono_us;
  return true;
}

// The same.
void Core::note_end_share(ReplicaId from, const RootShare& share) {
  if (ended_ || epoch_end_ == 0 || share.body.seq != epoch_end_) return;
  const auto known = end_shares_.find(from);
  if (known != end_shares_.end() && now_.mono_us - known->second.since_us < timing_.status_busy / 2)
    return;
  end_shares_.insert_or_assign(from, EndShare{share, now_.mono_us, true});
}

// The shares of the last batch go on when its certificate is there already: that one needs only the
// members of this epoch.
void Core::show_end_share() {
  if (!epoch_over() || ended_ || certified_seq() != epoch_end_ || !may_sign_share(epoch_end_))
    return;
  broadcast(messages::sign_share(signer_, cert_->body, self_), share_lsn(epoch_end_));
}

// What must be durable before the own share of `seq` leaves. Of the last batch: that it was
// executed. The joint certificate tells the next members that f + 1 correct ones of them have that
// state, and nobody answers for its batches any more.
Lsn Core::share_lsn(Seq seq) const {
  return seq == epoch_end_ && !mutant(Mutant::end_share_unlogged) ? end_lsn_ : 0;
}

void Core::try_end_epoch() {
  if (ended_ || !epoch_over() || certified_seq() != epoch_end_ || flushed_ < epoch_end_) return;
  const auto next = machine_.next_config();
  if (!next || cert_->body.next_config_hash != next->hash())
    return halt({Errc::internal, "the epoch has ended, and the state names no next one"});
  const auto shares = joint_shares(*next);
  if (shares.size() < next->quorum() && !mutant(Mutant::epoch_ends_alone)) return;
  RootCert joint = *cert_;
  for (const auto& [position, signature] : shares) {
    if (joint.next_signatures.size() == next->quorum()) break;
    joint.next_signers |= 1U << position;
    joint.next_signatures.push_back(signature);
  }
  ended_ = true;
  out_->push_back(action::EpochEnded{{std::move(joint), *next}});
}

// By position in the next configuration. The same bytes are signed for both; a signature counts in
// each that lists its key.
std::map<ReplicaId, Signature> Core::joint_shares(const config::Config& next) {
  std::map<ReplicaId, Signature> shares;
  const auto place = [&](const PublicKey& key, const Signature& signature) {
    for (const config::Replica& member : next.replicas)
      if (member.vote_key == key) shares[member.id] = signature;
  };
  if (may_sign_share(epoch_end_))
    place(signer_.public_key(), messages::sign_share(signer_, cert_->body, self_).signature);
  for (auto& [from, end] : end_shares_) {
    const ReplicaId position = from < config_.n() ? from : from - config_.n();
    const config::Config& members = from < config_.n() ? config_ : next;
    if (!end.plausible || end.share.body != cert_->body || position >= members.n()) continue;
    end.plausible =
        messages::verify_share(verifier_, members, {end.share.body, position, end.share.signature});
    if (end.plausible) place(members.replicas[position].vote_key, end.share.signature);
  }
  return shares;
}

// Others are in the next epoch. Who has not executed the last batch follows them at once, and
// fetches there what it lacks; so does whoever leaves. Who stays and has executed it may be one of
// those that the state is fetched from: it goes when its page store has it. The certificate that
// comes with the step is what it flushes by, whatever else keeps it from hearing one.
void Core::on_epoch_shown(messages::EpochStep step) {
  if (shown_end_ || ended_) return;
  messages::RootCert end = messages::plain(step.cert);
  note_epoch_end(end.body);
  shown_end_ = std::move(step);
  if (transferring_ || out_of_service() || executed_seq() != end.body.seq ||
      certified_seq() >= end.body.seq)
    return;
  if (!frozen()) return adopt_cert(std::move(end));
  recent_certs_[end.body.seq] = end;  // nothing is written now: the page store will have it
  cert_ = std::move(end);
  show_certificate();
}

void Core::leave_shown_epoch() {
  if (!shown_end_ || ended_) return;
  const bool stays = config::position_of(shown_end_->next, signer_.public_key()).has_value();
  const bool held = stays && epoch_over() && !transferring_ && !out_of_service();
  if (held && flushed_ < epoch_end_ && !mutant(Mutant::epoch_left_unflushed)) return;
  ended_ = true;
  out_->push_back(action::EpochEnded{*shown_end_});
}

// ---- the next epoch

// The log tells its epochs apart by this record: what stands in front of it decides nothing any
// more.
void Core::mark_epoch() {
  if (config_.epoch == 0 || epoch_marked_) return;
  append(RecordKind::epoch, 0, encode(EpochRecord{config_.epoch}));
  epoch_marked_ = true;
}

}  // namespace bftmeta::consensus
