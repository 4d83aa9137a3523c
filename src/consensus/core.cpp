#include "consensus/core.hpp"

#include "base/assert.hpp"

namespace bftmeta::consensus {

bool valid_value(RecordKind k) { return k >= RecordKind::entered && k <= RecordKind::epoch; }

Core::Core(Options options, const crypto::Signer& signer, const crypto::Verifier& verifier,
           StateMachine& machine, const Archive& archive)
    : self_(options.self),
      cluster_id_(options.cluster_id),
      config_(std::move(options.config)),
      timing_(options.timing),
      max_in_flight_(options.max_in_flight),
      transfers_(options.transfers),
      max_prepared_bytes_(options.max_prepared_bytes),
      epoch_start_(options.epoch_start),
      signer_(signer),
      verifier_(verifier),
      machine_(machine),
      archive_(archive) {
  BFTMETA_ASSERT(self_ < config_.n());
  for (ReplicaId r = 0; r < config_.n(); ++r)
    if (r != self_) peers_[r];
}

void Core::step(Event event, Now now, Actions& out) {
  if (halted_) return;
  now_ = now;
  out_ = &out;
  if (auto* peer = std::get_if<event::Peer>(&event)) {
    if (peer->from >= config_.n())
      on_joining(peer->from - config_.n(), std::move(peer->message));
    else if (peers_.contains(peer->from) && hears(peer->message))
      dispatch(std::move(*peer));
  } else if (auto* client = std::get_if<event::Client>(&event)) {
    on_client(std::move(client->item), client->link);
  } else if (auto* fresh = std::get_if<event::Fresh>(&event)) {
    on_fresh(fresh->link, std::move(fresh->query));
  } else if (const auto* closed = std::get_if<event::LinkClosed>(&event)) {
    held_queries_.drop(closed->link);
  } else if (auto* durable = std::get_if<event::Durable>(&event)) {
    on_durable(durable->lsn);
  } else if (auto* flushed = std::get_if<event::Flushed>(&event)) {
    flushed_ = std::max(flushed_, flushed->seq);
    const bool held_back = !votes_fit();
    prune();
    if (held_back && votes_fit())
      for (auto& [seq, s] : slots_) advance(seq);
  } else if (const auto* wanted = std::get_if<event::Wanted>(&event)) {
    want(wanted->seq);
  } else if (const auto* space = std::get_if<event::Space>(&event)) {
    on_space(space->available);
  } else if (auto* transferred = std::get_if<event::Transferred>(&event)) {
    on_transferred(std::move(transferred->state));
  } else if (std::holds_alternative<event::Damaged>(event)) {
    if (transfers_ && !transferring_) begin_transfer();
  } else if (auto* shown = std::get_if<event::EpochShown>(&event)) {
    on_epoch_shown(std::move(shown->step));
  } else {
    tick();
  }
  turn();
  out_ = nullptr;
}

// Everything here looks at stored sets, not at what just happened, and may run at any time: a lost,
// late, repeated or reordered message can then never wedge anything.
void Core::turn() {
  if (halted_) return;
  leave_shown_epoch();
  if (standing_ == Standing::asking) return;
  try_certify();
  if (frozen()) return;
  follow_transfer();
  repair_divergence();
  try_execute();
  try_certify();
  try_end_epoch();
  if (epoch_settled() || (epoch_over() && mutant(Mutant::end_executed_is_enough)))
    return release_fresh();
  follow_primary();
  try_join();
  leave_proven_view();
  count_suspects();
  arm_new_view_timer();
  try_new_view();
  try_enter();
  try_propose();
  release_fresh();
}

void Core::tick() {
  if (frozen()) return frozen_tick();
  look_at_deferred();
  look_for_divergence();
  if (halted_) return;
  if (epoch_settled())
    suspect(Reason::none);  // nobody has anything left to be late with
  else
    watch_view();
  for (auto& [seq, s] : slots_)  // proposals that were too early for the clock
    if (s.proposal && !s.voted) advance(seq);
  if (outstanding())  // what was quiet a moment ago may have a second to go
    next_status_ = std::min(next_status_, now_.mono_us + timing_.status_busy);
  if (now_.mono_us >= next_status_) {
    ask_for_history();
    ask_for_view_changes();
    forward_again();
    say_ready();
    show_end_share();
    send_status();
  }
}

void Core::watch_view() {
  check_suspicion();
  if (!active_ && new_view_deadline_ != 0 && now_.mono_us >= new_view_deadline_)
    start_view_change(view_ + 1, Reason::new_view_timeout);
}

std::uint64_t Core::deadline() const {
  std::uint64_t due = std::min(next_status_, certificate_due());
  if (frozen()) return due;
  if (outstanding() || !deferred_.empty()) due = std::min(due, now_.mono_us + timing_.status_busy);
  if (new_view_deadline_ != 0 && !epoch_settled()) due = std::min(due, new_view_deadline_);
  return due;
}

Lsn Core::append(RecordKind kind, Seq seq, Bytes payload, std::optional<Hash> digest) {
  out_->push_back(action::Append{{kind, seq, std::move(payload), digest}});
  return ++last_lsn_;
}

void Core::send(ReplicaId to, PeerMessage message, Lsn needs_lsn) {
  out_->push_back(action::Send{to, std::move(message), needs_lsn});
}

void Core::broadcast(PeerMessage message, Lsn needs_lsn) {
  out_->push_back(action::Send{std::nullopt, std::move(message), needs_lsn});
}

void Core::halt(Error error) {
  halted_ = true;
  out_->push_back(action::Halt{std::move(error)});
}

Core::Slot* Core::find(Seq seq) {
  const auto it = slots_.find(seq);
  return it == slots_.end() ? nullptr : &it->second;
}

const Core::Slot* Core::find(Seq seq) const {
  const auto it = slots_.find(seq);
  return it == slots_.end() ? nullptr : &it->second;
}

void Core::keep_prepared(messages::PreparedCert entry) {
  const Seq seq = entry.proposal.seq;
  if (const auto before = prepared_.find(seq); before != prepared_.end())
    prepared_bytes_ -= encoded_size(before->second);
  prepared_bytes_ += encoded_size(entry);
  prepared_.insert_or_assign(seq, std::move(entry));
}

void Core::log_body(const messages::ParsedBatch& batch) {
  if (logged_bodies_.insert(batch.digest).second)
    append(RecordKind::body, batch.batch.seq, encode(batch.batch), batch.digest);
}

// Up to here votes and shares are of no use: certified, and executed; while a state is fetched,
// which may take hours of a cluster under load, certified a while ago.
Seq Core::forgettable() const {
  const Seq done = std::min(certified_seq(), executed_seq());
  const Seq kept = std::min(certified_seq(), kKeptInTransfer);
  return transferring_ && !mutant(Mutant::kept_without_bound)
             ? std::max(done, certified_seq() - kept)
             : done;
}

// What may be forgotten: votes at or below a certificate that was executed, P-entries below the
// durable flush (protocol §4.6), old history, for which the archive answers.
void Core::prune() {
  const Seq done = forgettable();
  for (auto it = slots_.begin(); it != slots_.end() && it->first <= done; it = slots_.erase(it))
    if (it->second.proposal && !history_.contains(it->first))  // else with the history
      logged_bodies_.erase(it->second.proposal->digest);
  shares_.erase(shares_.begin(), shares_.upper_bound(done));
  verified_shares_.erase(verified_shares_.begin(), verified_shares_.upper_bound(done));
  own_bodies_.erase(own_bodies_.begin(), own_bodies_.upper_bound(done));
  for (auto it = prepared_.begin(); it != prepared_.end() && it->first <= std::min(done, flushed_);
       it = prepared_.erase(it))
    prepared_bytes_ -= encoded_size(it->second);
  prune_history(done);
  const Seq oldest = history_.empty() ? done : std::min(done, history_.begin()->first);
  recent_certs_.erase(recent_certs_.begin(), recent_certs_.lower_bound(oldest));
  if (!history_.empty() && history_.rbegin()->first < done)  // a fetched state lies between them
    recent_certs_.erase(recent_certs_.upper_bound(history_.rbegin()->first),
                        recent_certs_.lower_bound(done));
}

// Newer batches than `done` stay, whatever they weigh: NEW-VIEW is compared with them.
void Core::prune_history(Seq done) {
  constexpr std::size_t kKeepBatches = 128;
  // Of encoded bodies, which take several times as much when parsed. The archive has the others.
  constexpr std::size_t kKeepBytes = 4 * 1024 * 1024;
  while (history_.size() > kKeepBatches || history_bytes_ > kKeepBytes) {
    const auto oldest = history_.begin();
    if (oldest->first > done) return;
    history_bytes_ -= oldest->second.batch->bytes;
    logged_bodies_.erase(oldest->second.header.batch_digest);
    history_.erase(oldest);
  }
}

Seq Core::in_flight() const {
  const Seq proposed = next_seq_ - 1;
  return proposed > executed_seq() ? proposed - executed_seq() : 0;
}

std::vector<Record> Core::control_state() const {
  std::vector<Record> state;
  if (config_.epoch != 0)
    state.push_back({RecordKind::epoch, 0, encode(EpochRecord{config_.epoch})});
  if (fence_) state.push_back({RecordKind::fenced, 0, encode(*fence_)});
  if (diverged_) state.push_back({RecordKind::diverged, diverged_->seq, encode(*diverged_)});
  state.push_back({RecordKind::entered, 0, encode(entered_record_)});
  if (own_view_change_ && own_view_change_->new_view > entered_)
    state.push_back({RecordKind::left, 0, encode(*own_view_change_)});
  if (cert_) state.push_back({RecordKind::certificate, cert_->body.seq, encode(*cert_)});
  // Nobody votes at or below a certificate.
  for (auto it = slots_.upper_bound(certified_seq()); it != slots_.end(); ++it)
    if (const auto& [seq, s] = *it; s.voted && s.proposal)
      state.push_back(
          {RecordKind::vote, seq, encode(VoteRecord{*s.proposal, s.primary_signature})});
  for (const auto& [seq, entry] : prepared_)
    state.push_back({RecordKind::prepared, seq, encode(entry)});
  return state;
}

}  // namespace bftmeta::consensus
