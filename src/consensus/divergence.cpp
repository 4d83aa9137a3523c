// A replica whose state has diverged (protocol §4.5): it takes itself out of service, fetches a
// certified state, and comes back. What it has signed wrongly, it never signs again: neither right
// nor wrong. Twice in a row, and it stays out: then its machine, or the program, is not to be
// trusted.
#include "consensus/core.hpp"

namespace bftmeta::consensus {

// `signed_upto`: shares of the wrong state may have been signed up to there.
void Core::diverge(action::Diverged diverged, Error error, Seq signed_upto) {
  const Seq seq = diverged.own.seq;
  const Seq agreed = diverged.agreed_upto;
  if (!transfers_) {
    out_->push_back(std::move(diverged));
    return halt(std::move(error));
  }
  DivergedRecord record;
  record.seq = seq;
  record.signed_upto = std::max(signed_upto, diverged_ ? diverged_->signed_upto : 0);
  record.again = diverged_ && seq <= diverged_->signed_upto + limits::kWindow &&
                 !mutant(Mutant::second_divergence_repaired);
  diverged_ = record;
  forget_results_above(agreed);
  suspicion_ = Reason::none;
  cause_.reset();
  new_view_deadline_ = 0;
  transferring_ = true;
  diverged_lsn_ = append(RecordKind::diverged, seq, encode(*diverged_));
  out_->push_back(std::move(diverged));
  // STATUS waits for the record, and so does the repair: the disk knows before anything else.
  broadcast(own_status(), diverged_lsn_);
  next_status_ = now_.mono_us + timing_.status_busy;
}

// Nobody is told again what was computed wrongly.
void Core::forget_results_above(Seq agreed) {
  for (auto it = history_.upper_bound(agreed); it != history_.end(); it = history_.erase(it))
    history_bytes_ -= it->second.batch->bytes;
  own_bodies_.clear();
  contradicted_ = {0, 0};
  for (auto& [seq, shares] : shares_) {
    shares.erase(self_);
    verified_shares_[seq] &= ~(1U << self_);
  }
}

bool Core::may_sign_share(Seq seq) const {
  return !diverged_ || seq > diverged_->signed_upto || mutant(Mutant::wrong_shares_signed_again);
}

void Core::take_up_divergence() {
  if (!out_of_service()) return;
  transferring_ = true;
  diverged_lsn_ = kRecoveredLsn;
}

// A transfer that is under way already, for a damaged store, does for this too: it ends at a
// certified state, at or above all that was executed and signed here, and takes nothing that its
// root does not commit to.
void Core::repair_divergence() {
  if (!out_of_service() || diverged_lsn_ == 0 || durable_lsn_ < diverged_lsn_) return;
  diverged_lsn_ = 0;
  if (!diverged_->again && !fetching_) begin_transfer();
}

// The state of `seq` is here, and is the certified one. Whether it was missing for this.
bool Core::end_repair(Seq seq) {
  if (!out_of_service()) return false;
  diverged_lsn_ = 0;
  diverged_->repaired = true;
  diverged_->signed_upto = std::max(diverged_->signed_upto, seq);
  append(RecordKind::diverged, diverged_->seq, encode(*diverged_));
  return true;
}

// What came meanwhile is voted on now. As a primary it goes: a start may lie between, and it may
// have proposed what its log does not know.
void Core::resume_service() {
  if (active_ && primary(view_) == self_) start_view_change(view_ + 1, Reason::abdication);
  for (auto& [seq, s] : slots_)
    if (s.since_us != 0) s.since_us = now_.mono_us;
  for (auto& [seq, s] : slots_) advance(seq);
  send_status();
}

std::string Core::divergence_text() const {
  const std::string where =
      "its state differed from the agreed one at sequence number " + std::to_string(diverged_->seq);
  if (diverged_->again)
    return "out of service: " + where +
           ", right after it had been repaired; it stays out until its machine and program have "
           "been looked at, see 'Divergence' in docs/operating.md";
  return "out of service: " + where + "; fetching the state from the others";
}

}  // namespace bftmeta::consensus
