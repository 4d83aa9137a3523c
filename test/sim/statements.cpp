#include "sim/statements.hpp"

#include <bit>

#include "consensus/new_view.hpp"

namespace bftmeta::sim {

using messages::Proposal;

namespace {

std::string at(messages::View view, messages::Seq seq) {
  return "view " + std::to_string(view) + ", sequence number " + std::to_string(seq);
}
std::string replica(messages::ReplicaId r) { return "replica " + std::to_string(r); }

}  // namespace

void Statements::sent(ReplicaId from, const messages::PeerMessage& message,
                      const std::vector<ReplicaId>& to) {
  witness(message);
  if (const auto* commit = std::get_if<messages::Commit>(&message))
    note_given(from, commit->proposal, to);
  if (from >= known_.config.n()) return;  // it joins, and signs as a member of the next epoch
  if (known_.correct(from)) std::visit([&](const auto& m) { check(from, m); }, message);
  const auto* share = std::get_if<messages::RootShare>(&message);
  if (share != nullptr && (known_.erring >> from & 1) != 0)
    state_once(from, Kind::share, 0, share->body.seq, share->body.digest());
}

// ---- S2, over everything that anybody sends

void Statements::witness(const messages::PeerMessage& message) {
  if (const auto* share = std::get_if<messages::RootShare>(&message)) witness_share(*share);
  if (const auto* cert = std::get_if<messages::RootCert>(&message)) witness_cert(*cert);
  if (const auto* history = std::get_if<messages::HistoryData>(&message)) {
    if (history->cert) witness_cert(*history->cert);
  }
  if (const auto* vc = std::get_if<messages::ViewChange>(&message)) {
    if (vc->base) witness_cert(*vc->base);
    view_changes_.try_emplace(vc->digest(), *vc);
  }
  if (const auto* proposal = std::get_if<messages::PrePrepare>(&message)) {
    if (!batches_.contains(proposal->proposal.digest)) witness_batch(proposal->batch);
  }
  if (const auto* data = std::get_if<messages::BatchData>(&message)) witness_batch(data->batch);
}

void Statements::witness_share(const messages::RootShare& share) {
  if (!messages::verify_share(*known_.verifier, known_.config, share)) return;
  std::uint32_t& signers = shares_[share.body.seq][share.body.digest()];
  signers |= 1U << share.replica;
  if (std::popcount(signers) < static_cast<int>(known_.config.weak_quorum())) return;
  const auto agreed = known_.agreed->find(share.body.seq);
  if (agreed == known_.agreed->end() || agreed->second.body != share.body)
    violation_("S2",
               "W valid shares name a body that no correct replica executed: " + print(share.body));
}

void Statements::witness_cert(const messages::RootCert& cert) {
  const Hash digest = cert.body.digest();
  if (certified_.contains(digest)) return;
  if (!messages::verify_cert(*known_.verifier, known_.context.cluster_id, known_.config, cert))
    return;
  certified_.insert(digest);
  const auto agreed = known_.agreed->find(cert.body.seq);
  if (agreed == known_.agreed->end() || agreed->second.body != cert.body)
    violation_("S2",
               "a certificate names a body that no correct replica executed: " + print(cert.body));
}

void Statements::witness_batch(const messages::Batch& batch) {
  messages::Batch rest;
  rest.seq = batch.seq;
  rest.time_us = batch.time_us;
  rest.flags = batch.flags;
  batches_.try_emplace(messages::batch_digest(known_.context, batch), rest);
}

// ---- S11: the first correct backup that votes for a batch has found its time acceptable

void Statements::voted(ReplicaId who, const Proposal& p, std::uint64_t wall_us) {
  if (known_.config.primary(p.view) == who) return;
  const auto batch = batches_.find(p.digest);
  if (batch == batches_.end() || batch->second.flags == messages::BatchFlags::null) return;
  if (!timed_.insert(p.digest).second) return;
  const std::uint64_t t = batch->second.time_us;
  if (t > wall_us + limits::kSkewAheadUs || t + limits::kSkewBehindUs < wall_us)
    violation_("S11", replica(who) + " is the first correct one to vote for a batch of time " +
                          std::to_string(t) + ", while its clock says " + std::to_string(wall_us));
}

// ---- S13: valid for everybody

void Statements::require(bool valid, ReplicaId from, const char* what) {
  if (!valid) violation_("S13", replica(from) + " is correct and sends an invalid " + what);
}

void Statements::check(ReplicaId from, const messages::PrePrepare& m) {
  const bool intact = m.batch.seq == m.proposal.seq &&
                      messages::batch_digest(known_.context, m.batch) == m.proposal.digest;
  bool valid = intact && messages::verify_pre_prepare(*known_.verifier, known_.context,
                                                      known_.config, m.proposal, m.signature);
  if (valid) {
    const auto parsed = messages::parse_batch(known_.context, m.batch);
    valid = parsed.has_value();
    for (std::size_t i = 0; valid && i < parsed->items.size(); ++i)
      valid = messages::verify_item(*known_.verifier, known_.context.cluster_id,
                                    parsed->batch.items[i], parsed->items[i].client);
  }
  require(valid, from, "PRE-PREPARE");
  state_once(known_.config.primary(m.proposal.view), Kind::proposal, m.proposal.view,
             m.proposal.seq, m.proposal.digest);
}

// W shares of correct replicas stand behind a certificate, so none is above what was executed; and
// votes are given up to a window above the own one (protocol §2.4).
void Statements::check_window(ReplicaId from, const Proposal& p) {
  const Seq executed = known_.agreed->empty() ? 0 : known_.agreed->rbegin()->first;
  if (p.seq > executed + limits::kWindow)
    violation_("S12", replica(from) + " votes in " + at(p.view, p.seq) +
                          ", beyond the window above what anybody has executed, " +
                          std::to_string(executed));
}

void Statements::check(ReplicaId from, const messages::Prepare& m) {
  if (m.replica == from) check_window(from, m.proposal);
  require(messages::verify_prepare(*known_.verifier, known_.context, known_.config, m), from,
          "PREPARE");
  state_once(m.replica, Kind::prepare, m.proposal.view, m.proposal.seq, m.proposal.digest);
}

void Statements::check(ReplicaId from, const messages::Commit& m) {
  state_once(from, Kind::commit, m.proposal.view, m.proposal.seq, m.proposal.digest);
  note_commit(from, m.proposal);
}

void Statements::check(ReplicaId from, const messages::RootShare& m) {
  require(messages::verify_share(*known_.verifier, known_.config, m), from, "ROOT-SHARE");
  state_once(m.replica, Kind::share, 0, m.body.seq, m.body.digest());
  // Every execution was compared with agreement and COMMITs, so the prefix is committed if the
  // body is the agreed one.
  const auto agreed = known_.agreed->find(m.body.seq);
  if (agreed == known_.agreed->end() || agreed->second.body != m.body)
    violation_("S14", replica(from) +
                          " signs a share of something that was not agreed on: " + print(m.body));
}

void Statements::check(ReplicaId from, const messages::RootCert& m) {
  const Status holds =
      messages::verify_cert(*known_.verifier, known_.context.cluster_id, known_.config, m);
  if (!holds)
    violation_("S13", replica(from) +
                          " is correct and sends an invalid ROOT-CERT: " + holds.error().message);
}

void Statements::check(ReplicaId from, const messages::ViewChange& m) {
  require(
      messages::verify_view_change(*known_.verifier, known_.context, known_.config, m).has_value(),
      from, "VIEW-CHANGE");
  state_once(m.replica, Kind::view_change, m.new_view, 0, m.digest());
}

void Statements::check(ReplicaId from, const messages::NewView& m) {
  bool valid =
      messages::verify_new_view(*known_.verifier, known_.context, known_.config, m).has_value();
  std::vector<const messages::ViewChange*> votes;
  for (const messages::NewViewVote& vote : m.votes) {
    const auto vc = view_changes_.find(vote.digest);
    valid = valid && vc != view_changes_.end() && vc->second.replica == vote.replica;
    if (valid) votes.push_back(&vc->second);
  }
  if (valid) {
    const auto plan = consensus::plan_reproposals(known_.context, votes);
    valid = plan && plan->base_seq == m.base_seq && plan->digests.size() == m.proposals.size();
    for (std::size_t i = 0; valid && i < m.proposals.size(); ++i)
      valid = plan->digests.at(m.proposals[i].seq) == m.proposals[i].digest;
  }
  require(valid, from, "NEW-VIEW");
  const ReplicaId primary = known_.config.primary(m.view);
  state_once(primary, Kind::new_view, m.view, 0, m.body_digest());
  for (const messages::Reproposal& p : m.proposals)
    state_once(primary, Kind::proposal, m.view, p.seq, p.digest);
}

void Statements::check(ReplicaId from, const messages::PreparedData& m) {
  bool valid = true;
  for (const messages::PreparedCert& entry : m.entries)
    valid =
        valid && messages::verify_prepared(*known_.verifier, known_.context, known_.config, entry);
  require(valid, from, "PREPARED");
}

void Statements::check(ReplicaId from, const messages::HistoryData& m) {
  require(!m.cert || messages::verify_cert(*known_.verifier, known_.context.cluster_id,
                                           known_.config, *m.cert)
                         .has_value(),
          from, "HISTORY");
}

void Statements::check(ReplicaId from, const messages::BatchData& m) {
  require(messages::parse_batch(known_.context, m.batch).has_value(), from, "BATCH");
}

// W claims, or a certificate, stand behind it: somebody correct has executed more.
void Statements::check(ReplicaId from, const messages::FetchHistory& m) {
  if (known_.agreed->empty() || m.executed >= known_.agreed->rbegin()->first)
    violation_("S13", replica(from) + " asks for what comes behind sequence number " +
                          std::to_string(m.executed) + ", which nobody has executed");
}

// ---- S4

// §9.2: nobody votes beyond the end of its epoch, whether it knows of it or not.
void Statements::ends_with(Seq last) {
  end_ = last;
  check_end();
}

void Statements::check_end() {
  if (end_ != 0 && furthest_.second > end_)
    violation_("S4", replica(furthest_.first) + " votes for sequence number " +
                         std::to_string(furthest_.second) + ", beyond the end of its epoch, " +
                         std::to_string(end_));
}

// Signed statements that are passed on count as their signer's: nobody else can make them.
void Statements::state_once(ReplicaId who, Kind kind, View view, Seq seq, const Hash& what) {
  if (!known_.correct(who) && (known_.erring >> who & 1) == 0) return;
  constexpr const char* kNames[] = {"PRE-PREPAREs", "PREPAREs",  "COMMITs",
                                    "VIEW-CHANGEs", "NEW-VIEWs", "ROOT-SHAREs"};
  if (seq > furthest_.second) furthest_ = {who, seq};
  check_end();
  const auto [it, first] = stated_.try_emplace({who, kind, view, seq}, what);
  if (!first && it->second != what)
    violation_("S4", replica(who) + " sends two different " +
                         kNames[static_cast<std::size_t>(kind)] + " for " + at(view, seq));
}

// ---- S6 and S14

void Statements::note_commit(ReplicaId from, const Proposal& p) {
  std::uint32_t& who = commits_[p.seq][{p.view, p.digest}];
  who |= 1U << from;
  const auto count = static_cast<std::uint32_t>(std::popcount(who));
  // Any quorum of VIEW-CHANGEs contains one of W correct replicas that are prepared.
  const auto lock = locks_.find(p.seq);
  if (count >= known_.config.weak_quorum() && (lock == locks_.end() || p.view < lock->second.view))
    locks_[p.seq] = {p.view, p.digest};
  const auto bound = locks_.find(p.seq);
  if (bound == locks_.end()) return;
  for (const auto& [vote, replicas] : commits_[p.seq])
    if (vote.first > bound->second.view && vote.second != bound->second.digest)
      return violation_("S6", "a correct replica is prepared for another batch in " +
                                  at(vote.first, p.seq) + " than W correct ones in view " +
                                  std::to_string(bound->second.view));
}

void Statements::note_given(ReplicaId from, const Proposal& p, const std::vector<ReplicaId>& to) {
  auto& given = given_[p.seq];
  for (ReplicaId r = 0; r < known_.config.n(); ++r)
    if (to.empty() || std::ranges::find(to, r) != to.end())
      given[{p.view, p.digest, r}] |= 1U << from;
}

bool Statements::committed(Seq seq, const Hash& digest, ReplicaId executor) const {
  const auto given = given_.find(seq);
  if (given == given_.end()) return false;
  return std::ranges::any_of(given->second, [&](const auto& votes) {
    const auto& [view, of, receiver] = votes.first;
    const auto count = static_cast<std::uint32_t>(std::popcount(votes.second | 1U << executor));
    return of == digest && receiver == executor && count >= known_.config.quorum();
  });
}

std::map<messages::ReplicaId, const messages::ViewChange*> Statements::view_changes(
    View view) const {
  std::map<ReplicaId, const messages::ViewChange*> found;
  for (const auto& [digest, vc] : view_changes_)
    if (vc.new_view == view) found.emplace(vc.replica, &vc);
  return found;
}

}  // namespace bftmeta::sim
