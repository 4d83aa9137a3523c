// One core alone, driven by hand: schedules in which a single faulty replica tries to mislead it.
#include <doctest/doctest.h>

#include "lone.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::NewView;
using messages::PrePrepare;
using messages::ViewChange;

namespace {

// What the other replicas make of the first batch.
messages::CertBody body_of(const Lone& r, const PrePrepare& m) {
  sim::ToyMachine others(r.cluster_id, r.config);
  const auto batch = messages::parse_batch(r.context(), m.batch);
  REQUIRE(batch.has_value());
  const auto outcome = others.execute(*batch);
  REQUIRE(outcome.has_value());
  return outcome->body;
}

// A proposal of the primary of view 0 with these items.
PrePrepare proposal_of(const Lone& r, Seq seq, std::vector<messages::Item> items) {
  PrePrepare m = r.proposal(0, seq, kWall + seq);
  m.batch.items = std::move(items);
  m.proposal.digest = messages::batch_digest(r.context(), m.batch);
  m.signature = messages::sign_pre_prepare(*r.signers[0], r.context(), m.proposal);
  return m;
}

// Replica 1, which has the proposal, executes it by agreement. What it signs then.
messages::CertBody commit_known(Lone& r, const PrePrepare& m) {
  r.sync();
  r.from(2, r.prepare(2, m.proposal));
  r.sync();
  r.from(2, messages::Commit{m.proposal});
  const auto shares = all<messages::RootShare>(r.from(3, messages::Commit{m.proposal}));
  REQUIRE(r.machine->executed_seq() == m.proposal.seq);
  REQUIRE(shares.size() == 1);
  return shares.front().body;
}

messages::CertBody commit(Lone& r, const PrePrepare& m) {
  r.from(0, m);
  return commit_known(r, m);
}

struct OneClient {
  messages::Item open() const {
    return messages::sign_session_open(signer, cluster_id, {signer.public_key(), {}, kWall * 2});
  }
  messages::Item bundle(const Id16& session, std::uint64_t number) const {
    messages::Bundle b;
    b.session_id = session;
    b.client = signer.public_key();
    b.bundle_no = number;
    b.valid_until_us = kWall * 2;
    b.operations.emplace_back();
    return messages::sign_bundle(signer, cluster_id, b);
  }

  const Hash cluster_id;
  const sim::IdealSigner signer = sim::IdealSigner(key(50));
};

}  // namespace

TEST_CASE("T5.11 what an executed batch skipped is proposed again after the view change") {
  Lone r(1);
  const OneClient client{r.cluster_id};
  r.from(0, r.certificate(commit(r, proposal_of(r, 1, {client.open()}))));
  const Id16 session = r.machine->outcomes(1).front().session_id;
  REQUIRE(r.core->certified_seq() == 1);
  const std::vector<messages::Item> backwards = {client.bundle(session, 2),
                                                 client.bundle(session, 1)};
  for (const messages::Item& item : backwards) r.feed(event::Client{item, 1});
  commit(r, proposal_of(r, 2, backwards));
  REQUIRE(r.machine->last_bundle(session) == 1);

  // View 1 begins with that batch, and this replica is its primary.
  r.from(2, r.view_change(2, 1, *r.core->certificate()));
  const auto said = r.from(3, r.view_change(3, 1, *r.core->certificate()));
  REQUIRE(r.core->is_primary());
  REQUIRE(all<NewView>(said).size() == 1);
  REQUIRE(all<NewView>(said).front().max_seq() == 2);
  const auto proposals = all<PrePrepare>(said);
  REQUIRE(proposals.size() == 1);
  CHECK(proposals.front().batch.seq == 3);
  CHECK(proposals.front().batch.items == std::vector{backwards.front()});
}

TEST_CASE("what is first in line is timed once, however often its successors are ordered") {
  Lone r(1);
  const OneClient client{r.cluster_id};
  const Id16 session{7};
  Pending pending;
  const auto add = [&](std::uint64_t number, std::uint64_t now_us) {
    const messages::Item item = client.bundle(session, number);
    auto parsed = messages::parse_item(item);
    REQUIRE(parsed.has_value());
    pending.add(item, std::make_shared<const messages::ParsedItem>(std::move(*parsed)), *r.machine,
                now_us);
  };
  const auto timed_since = [&] {
    std::vector<std::uint64_t> since;
    pending.for_each_timed([&](const Hash&, const PendingItem& i) { since.push_back(i.since_us); });
    return since;
  };
  add(1, 10);
  CHECK(timed_since() == std::vector<std::uint64_t>{10});
  const auto successor =
      messages::parse_batch(r.context(), proposal_of(r, 1, {client.bundle(session, 2)}).batch);
  REQUIRE(successor.has_value());
  pending.executed(*successor, *r.machine, 20);
  CHECK(timed_since() == std::vector<std::uint64_t>{10});
  pending.executed(*successor, *r.machine, 30);
  CHECK(timed_since() == std::vector<std::uint64_t>{10});
}

TEST_CASE("a proposal is voted for once") {
  Lone r(1);
  const PrePrepare m = r.proposal(0, 1, kWall);
  CHECK(all<messages::Prepare>(r.from(0, m)).size() == 1);
  CHECK(all<messages::Prepare>(r.from(0, m)).empty());
}

TEST_CASE(
    "P-entries above the flush are bounded: with more there are no new votes until it moves") {
  constexpr std::size_t kBytes = 2000;
  Lone r(1, kBytes);
  std::optional<PrePrepare> waits;
  messages::CertBody newest;
  for (Seq seq = 1; seq <= 100 && !waits; ++seq) {
    const PrePrepare m = r.proposal(0, seq, kWall + seq);
    if (all<messages::Prepare>(r.from(0, m)).empty()) {
      waits = m;
      break;
    }
    newest = commit_known(r, m);
  }
  REQUIRE(waits);
  const auto state_bytes = [&] {
    std::size_t bytes = 0;
    for (const Record& record : r.core->control_state()) bytes += record.payload.size();
    return bytes;
  };
  CHECK(state_bytes() > kBytes);
  CHECK(state_bytes() < 2 * kBytes);
  // It still follows.
  r.from(2, messages::Commit{waits->proposal});
  r.from(0, r.certificate(newest));
  CHECK(r.core->certified_seq() == waits->proposal.seq - 1);
  // Votes at or below a certificate are not kept.
  for (const Record& record : r.core->control_state()) CHECK(record.kind != RecordKind::vote);
  const auto sent = all<messages::Prepare>(r.feed(event::Flushed{waits->proposal.seq - 1}));
  REQUIRE(sent.size() == 1);
  CHECK(sent.front().proposal == waits->proposal);
  CHECK(state_bytes() < kBytes);
}

TEST_CASE("the own COMMIT counts only when its prepared certificate is durable") {
  Lone r(1);
  const PrePrepare m = r.proposal(0, 1, kWall);
  r.from(0, m);
  r.from(2, r.prepare(2, m.proposal));
  r.from(2, messages::Commit{m.proposal});
  r.from(3, messages::Commit{m.proposal});
  CHECK(r.machine->executed_seq() == 0);
  r.feed(event::Durable{kRecoveredLsn + 100});
  CHECK(r.machine->executed_seq() == 1);
}

TEST_CASE("a certificate that comes before the own execution is announced when that is done") {
  Lone r(1);
  const PrePrepare m = r.proposal(0, 1, kWall);
  r.from(0, m);
  r.from(2, r.prepare(2, m.proposal));
  r.from(2, messages::Commit{m.proposal});
  r.from(3, messages::Commit{m.proposal});
  r.from(0, r.certificate(body_of(r, m)));
  REQUIRE(r.machine->executed_seq() == 0);
  // Only a driver that has executed the batch can answer from it, and nothing else may come for
  // long: the last operation of all clients is certified as this one is.
  r.announced.clear();
  r.feed(event::Durable{kRecoveredLsn + 100});
  CHECK(r.machine->executed_seq() == 1);
  CHECK(r.announced == std::vector<Seq>{1});
}

TEST_CASE("COMMITs that come after the certificate still count") {
  Lone r(1);
  const PrePrepare m = r.proposal(0, 1, kWall);
  r.from(0, m);
  r.sync();
  r.from(2, r.prepare(2, m.proposal));
  r.sync();
  r.from(0, r.certificate(body_of(r, m)));
  REQUIRE(r.core->certified_seq() == 1);
  r.from(2, messages::Commit{m.proposal});
  CHECK(r.machine->executed_seq() == 0);
  r.from(3, messages::Commit{m.proposal});
  CHECK(r.machine->executed_seq() == 1);
  // Of what was never proposed here, nothing is kept.
  r.from(0, r.certificate(9));
  r.from(2, messages::Commit{{0, 5, {}}});
  CHECK(r.core->holdings().front().count == 0);
}

TEST_CASE("who learns after a quiet time that it is behind asks at the busy rate") {
  Lone r(1);
  for (int rounds = 0; rounds < 3; ++rounds) r.tick_after(Timing{}.status_idle);
  REQUIRE(r.core->deadline() == r.now_us + Timing{}.status_idle);
  r.from(0, r.certificate(1));
  CHECK(all<messages::PeerStatus>(r.tick_after(Timing{}.status_busy)).size() == 1);
}

TEST_CASE("a PRE-PREPARE with another batch than was signed is not blamed on the primary") {
  Lone r(1);
  const PrePrepare good = r.proposal(0, 1, kWall);
  PrePrepare tampered = good;
  tampered.batch.time_us += 1;
  for (const auto& s : all<messages::PeerStatus>(r.from(3, tampered)))
    CHECK(s.suspects == Reason::none);
  CHECK(all<messages::Prepare>(r.from(0, good)).size() == 1);
}

TEST_CASE("T2.9 a late proposal is voted for once W backups have prepared it") {
  Lone r(3);
  const PrePrepare late = r.proposal(0, 1, kWall - 10'000'000);
  CHECK(all<messages::Prepare>(r.from(0, late)).empty());
  CHECK(all<messages::Prepare>(r.from(1, r.prepare(1, late.proposal))).empty());
  CHECK(all<messages::Prepare>(r.from(2, r.prepare(2, late.proposal))).size() == 1);
}

TEST_CASE("strategy 38: abdication leads to the next view, whatever the primary names") {
  Lone r(1);
  r.from(0, r.view_change(0, 1'000'000));
  CHECK(r.core->view() == 1);
  CHECK_FALSE(
      messages::verify_view_change(r.verifier, r.context(), r.config, r.view_change(0, ~0ULL))
          .has_value());
}

TEST_CASE("strategy 36: a NEW-VIEW that nobody can check does not block the right one") {
  Lone r(2);
  NewView forged = r.new_view(403, {}, 0);
  for (ReplicaId v : {0U, 1U, 3U}) forged.votes.push_back({v, Hash{static_cast<std::uint8_t>(v)}});
  messages::sign_new_view(*r.signers[3], r.context(), forged);
  r.from(3, forged);
  const std::vector<ViewChange> votes = {r.view_change(0, 1), r.view_change(1, 1),
                                         r.view_change(3, 1)};
  for (const ViewChange& vc : votes) r.from(vc.replica, vc);
  r.from(1, r.new_view(1, votes, 0));
  CHECK(r.core->view() == 1);
  CHECK(r.core->active());
}

TEST_CASE("nothing of the old view is voted on while a new one is entered") {
  Lone r(2);
  // Too early for this clock, prepared elsewhere: kept, not voted.
  const PrePrepare early = r.proposal(0, 6, kWall + 5'000'000);
  CHECK(all<messages::Prepare>(r.from(0, early)).empty());
  r.from(3, r.prepare(3, early.proposal));
  const std::vector<ViewChange> votes = {r.view_change(0, 1, r.certificate(5)), r.view_change(1, 1),
                                         r.view_change(3, 1)};
  for (const ViewChange& vc : votes) r.from(vc.replica, vc);
  const auto sent = r.from(1, r.new_view(1, votes, 5));
  CHECK(r.core->view() == 1);
  CHECK(r.core->certified_seq() == 5);
  CHECK(all<messages::Prepare>(sent).empty());
  CHECK(all<messages::Commit>(sent).empty());
}
