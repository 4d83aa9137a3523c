// Start after a crash (protocol §3.5): what the log gave back becomes view state, votes, P-entries
// and executed history again. Nothing is concluded from evidence that lacks a digest: only the
// unbroken run of EXECUTED records is executed again, everything above it goes through agreement or
// catch-up.
#include "base/assert.hpp"
#include "consensus/core.hpp"

namespace bftmeta::consensus {

using messages::Batch;
using messages::BatchHeader;
using messages::ParsedBatch;
using messages::PreparedCert;
using messages::RootCert;
using messages::ViewChange;

struct Core::Replay {
  bool of_this_epoch = false;  // the control records that are being read
  std::optional<EnteredRecord> entered;
  std::map<Hash, Batch> bodies;
  std::map<Seq, VoteRecord> votes;  // highest view per seq
  std::map<Seq, BatchHeader> executed;
};

namespace {

template <class T>
Result<T> read(const Record& record, const char* what) {
  auto value = decode<T>(record.payload, what);
  if (!value) return fail("write-ahead log", Error{Errc::corrupt, value.error().message});
  return value;
}

}  // namespace

void Core::start(Recovered recovered, Now now, Actions& out) {
  now_ = now;
  out_ = &out;
  last_lsn_ = durable_lsn_ = kRecoveredLsn;
  flushed_ = recovered.flushed;
  cert_ = recovered.flushed_cert;
  if (cert_) recent_certs_[cert_->body.seq] = *cert_;
  // What missed the end of the last epoch has nothing to execute in this one.
  const bool fetches = recovered.transferring || executed_seq() < epoch_start_;
  transferring_ = fetches;
  progress_us_ = now_.mono_us;
  recall_evidence(std::move(recovered.evidence));
  Replay r;
  if (auto status = replay(recovered, r); !status) {
    halt(std::move(status.error()));
  } else {
    take_up_divergence();
    if (!re_execute(r)) {
      out_ = nullptr;
      return;
    }
    resume(r);
    if (cert_ && !out_of_service()) out.push_back(action::Certified{*cert_});
    take_up_standing(recovered);
    if (fetches && !out_of_service()) begin_transfer();
    turn();
  }
  out_ = nullptr;
}

Status Core::replay(const Recovered& recovered, Replay& r) {
  r.of_this_epoch = config_.epoch == 0;
  for (const Record& record : recovered.records) {
    // Bodies and headers carry their own number, and stand where they were written. A fence is the
    // key's, and a divergence the machine's, in every epoch.
    const bool of_an_epoch = is_control(record.kind) && record.kind != RecordKind::epoch &&
                             record.kind != RecordKind::fenced &&
                             record.kind != RecordKind::diverged;
    if (of_an_epoch && !r.of_this_epoch) continue;
    switch (record.kind) {
      case RecordKind::entered: {
        BFTMETA_ASSIGN(auto entered, read<EnteredRecord>(record, "entered record"));
        if (!r.entered || entered.view >= r.entered->view) r.entered = std::move(entered);
        break;
      }
      case RecordKind::left: {
        BFTMETA_ASSIGN(auto left, read<ViewChange>(record, "left record"));
        if (!own_view_change_ || left.new_view > own_view_change_->new_view)
          own_view_change_ = std::move(left);
        break;
      }
      case RecordKind::body: {
        BFTMETA_ASSIGN(auto body, read<Batch>(record, "batch record"));
        const Hash digest = messages::batch_digest(context(), body);
        logged_bodies_.insert(digest);
        r.bodies.insert_or_assign(digest, std::move(body));
        break;
      }
      case RecordKind::vote: {
        BFTMETA_ASSIGN(auto vote, read<VoteRecord>(record, "vote record"));
        const auto it = r.votes.find(vote.proposal.seq);
        if (it == r.votes.end() || it->second.proposal.view <= vote.proposal.view)
          r.votes.insert_or_assign(vote.proposal.seq, vote);
        break;
      }
      case RecordKind::prepared: {
        BFTMETA_ASSIGN(auto entry, read<PreparedCert>(record, "prepared record"));
        const Seq seq = entry.proposal.seq;
        const auto it = prepared_.find(seq);
        if (seq > flushed_ && !mutant(Mutant::p_not_restored) &&
            (it == prepared_.end() || it->second.proposal.view <= entry.proposal.view))
          keep_prepared(std::move(entry));
        break;
      }
      case RecordKind::certificate: {
        BFTMETA_ASSIGN(auto cert, read<RootCert>(record, "certificate record"));
        if (cert.body.epoch != config_.epoch) break;
        if (cert.body.seq > certified_seq()) cert_ = cert;
        recent_certs_.insert_or_assign(cert.body.seq, std::move(cert));
        break;
      }
      case RecordKind::executed: {
        BFTMETA_ASSIGN(auto header, read<BatchHeader>(record, "executed record"));
        r.executed.insert_or_assign(header.seq, header);
        break;
      }
      case RecordKind::fenced: {
        BFTMETA_ASSIGN(fence_, read<FenceRecord>(record, "fence record"));
        break;
      }
      case RecordKind::epoch: {
        BFTMETA_ASSIGN(const auto epoch, read<EpochRecord>(record, "epoch record"));
        r.of_this_epoch = epoch.epoch == config_.epoch;
        break;
      }
      case RecordKind::diverged: {
        BFTMETA_ASSIGN(const auto diverged, read<DivergedRecord>(record, "diverged record"));
        // State groups repeat it; the first time, what was executed before is not to be believed.
        if (diverged_ != diverged) r.executed.clear();
        diverged_ = diverged;
        break;
      }
    }
  }
  epoch_marked_ = r.of_this_epoch;
  if (cert_) note_epoch_end(cert_->body);
  return {};
}

bool Core::re_execute(Replay& r) {
  const Seq logged = r.executed.empty() ? 0 : r.executed.rbegin()->first;
  while (!transferring_) {
    const auto header = r.executed.find(executed_seq() + 1);
    if (header == r.executed.end()) return true;
    const auto body = r.bodies.find(header->second.batch_digest);
    if (body == r.bodies.end()) return true;
    auto parsed = messages::parse_batch(context(), body->second);
    if (!parsed) {
      halt({Errc::corrupt, "write-ahead log: batch " + std::to_string(header->first) +
                               " was executed and does not parse: " + parsed.error().message});
      return false;
    }
    const KnownResult known{
        header->second,
        "executing the logged batch again gave another result; this replica's state is damaged",
        logged + limits::kWindow};
    if (!apply(std::make_shared<ParsedBatch>(std::move(*parsed)), known)) return !halted_;
  }
  return true;
}

// View, votes and evidence as the log has them. Nothing is written or said yet.
void Core::resume(Replay& r) {
  never_entered_ = !r.entered;
  if (!r.executed.empty() && !r.executed.contains(executed_seq() + 1))
    lost_upto_ = r.executed.rbegin()->first;
  entered_record_ = r.entered.value_or(EnteredRecord{});
  entered_lsn_ = cert_lsn_ = kRecoveredLsn;
  durable_cert_ = certified_seq();
  view_ = entered_ = entered_record_.view;
  active_ = true;
  if (entered_record_.new_view) {
    const messages::NewView& nv = *entered_record_.new_view;
    max_reproposed_ = nv.max_seq();
    for (const messages::Reproposal& p : nv.proposals) {
      reproposals_[p.seq] = p;
      if (p.seq > certified_seq()) restore_slot(r, {{view_, p.seq, p.digest}, p.signature}, false);
    }
  }
  for (const auto& [seq, vote] : r.votes)
    if (seq > certified_seq() && vote.proposal.view == view_ && !mutant(Mutant::votes_not_restored))
      restore_slot(r, vote, true);
  next_seq_ = std::max({max_reproposed_, certified_seq(), executed_seq()}) + 1;
  // Those who are still on their way into this view need them (T5.22).
  for (const ViewChange& vc : entered_record_.votes) note_view_change(vc);
  floor_.enter(now_.mono_us);
  prune();

  if (own_view_change_ && own_view_change_->new_view > entered_) {
    view_ = own_view_change_->new_view;
    active_ = false;
    note_view_change(*own_view_change_);
  }
  // What the log proves of others' statements, for those who have lost theirs.
  if (const auto& nv = entered_record_.new_view)
    signed_by_peers_.note_new_view(primary(nv->view), *nv);
  for (const auto& [seq, vote] : r.votes)
    signed_by_peers_.note_pre_prepare(primary(vote.proposal.view), vote.proposal,
                                      vote.primary_signature);
  for (const auto& [seq, entry] : prepared_)
    signed_by_peers_.note_prepared(primary(entry.proposal.view), entry);
}

// A proposal of the view that this replica had entered, with the own vote if it was logged. Its
// PREPARE is made again: Ed25519 is deterministic, so these are the same bytes.
void Core::restore_slot(const Replay& r, const VoteRecord& vote, bool voted) {
  const messages::Proposal& p = vote.proposal;
  Slot& s = slot(p.seq);
  s.proposal = p;
  s.primary_signature = vote.primary_signature;
  s.time_waived = true;
  s.since_us = now_.mono_us;
  if (const auto body = r.bodies.find(p.digest); body != r.bodies.end()) {
    if (auto parsed = messages::parse_batch(context(), body->second);
        parsed && make_room(p.seq, parsed->bytes))
      s.batch = std::make_shared<ParsedBatch>(std::move(*parsed));
  } else if (auto null = messages::parse_batch(context(), Batch::null(p.seq));
             null && null->digest == p.digest) {
    s.batch = std::make_shared<ParsedBatch>(std::move(*null));
  }
  if (!voted) return;
  s.voted = s.verified = true;  // also when the body has rotted: the vote was given, and is kept
  s.vote_lsn = kRecoveredLsn;
  if (primary(p.view) != self_)
    s.prepares[self_] = messages::sign_prepare(signer_, context(), p, self_);
  const auto entry = prepared_.find(p.seq);
  if (entry == prepared_.end() || entry->second.proposal != p) return;
  s.prepared_lsn = kRecoveredLsn;
  s.commit_durable = true;
}

}  // namespace bftmeta::consensus
