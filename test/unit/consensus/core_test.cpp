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

}  // namespace

TEST_CASE("a proposal is voted for once") {
  Lone r(1);
  const PrePrepare m = r.proposal(0, 1, kWall);
  CHECK(all<messages::Prepare>(r.from(0, m)).size() == 1);
  CHECK(all<messages::Prepare>(r.from(0, m)).empty());
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
  CHECK(r.core->deadline() == r.now_us + Timing{}.status_busy);
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
