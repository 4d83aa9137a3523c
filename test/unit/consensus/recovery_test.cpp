// Power cuts and restarts at the moments that matter (protocol §3.7), one replica by hand.
#include "restart.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::BatchData;
using messages::Commit;
using messages::RootShare;

TEST_CASE("T3.10 whoever prepared has the body on disk, so any certificate can be carried on") {
  Restarted r(1);
  r.start_and_hear();
  const PrePrepare m = r.proposal(0, 1);
  r.from(0, m);
  CHECK(r.said<Prepare>().empty());  // not before vote and body are durable
  r.sync();
  CHECK(r.said<Prepare>().size() == 1);
  // All lose power. A Byzantine replica held the only prepared certificate, in memory.
  r.power_cut();
  r.start_and_hear();
  r.forget();
  r.enter(2, {r.prepared(m.proposal)});
  r.sync_all();
  const auto prepares = r.said<Prepare>();
  REQUIRE(prepares.size() == 1);
  CHECK(prepares[0].proposal == Proposal{2, 1, m.proposal.digest});
  r.from(3, messages::FetchBatch{1, m.proposal.digest});
  REQUIRE(r.said<BatchData>().size() == 1);
  CHECK(r.said<BatchData>()[0].batch == m.batch);
  r.check_never_contradicted();
}

TEST_CASE("T3.11 restart at each step of a view change without any request") {
  // Replica 2 follows, replica 1 is the new primary.
  for (const ReplicaId self : {1U, 2U}) {
    for (std::size_t steps = 0; steps <= 4; ++steps) {
      for (std::size_t kept = 0; kept <= 3; ++kept) {
        CAPTURE(self);
        CAPTURE(steps);
        CAPTURE(kept);
        Restarted r(self);
        r.start_and_hear();
        std::vector<ViewChange> votes;
        for (ReplicaId peer : {0U, 1U, 2U, 3U})
          if (peer != self) votes.push_back(r.view_change(peer, 1));
        for (std::size_t i = 0; i < std::min<std::size_t>(steps, 3); ++i)
          r.from(votes[i].replica, votes[i]);
        if (steps > 3 && self != 1) r.from(1, r.new_view(1, votes));
        r.power_cut_keeping(kept);

        r.start_and_hear();
        CHECK(r.halts.empty());
        // In a view only by a NEW-VIEW that is in the log.
        const auto entered = std::ranges::count(r.disk.records, RecordKind::entered, &Record::kind);
        if (r.core->active()) CHECK((r.core->view() == 0) == (entered == 1));
        for (const ViewChange& vc : votes) r.from(vc.replica, vc);
        if (self != 1) r.from(1, r.new_view(1, votes));
        r.sync_all();
        CHECK(r.halts.empty());
        CHECK(r.core->view() >= 1);
        if (self != 1) CHECK((r.core->view() == 1 && r.core->active()));
        r.check_never_contradicted();
      }
    }
  }
}

namespace {

// Restarted in view 1, whose O names the batch of `committed` at 1; without that batch's body.
void restart_in_view_1(Restarted& r, const PrePrepare& committed) {
  r.start_and_hear();
  r.enter(1, {r.prepared(committed.proposal)});
  r.sync_all();
  CHECK(r.said<Prepare>().empty());
  r.power_cut();
  r.start_and_hear();
  REQUIRE(r.core->view() == 1);
}

}  // namespace

TEST_CASE("T3.12 after a restart in a new view, only O is voted for at or below its end") {
  Restarted r(2);
  const PrePrepare committed = r.proposal(0, 1);
  restart_in_view_1(r, committed);
  r.from(3, BatchData{committed.batch});
  r.sync_all();
  REQUIRE(r.said<Prepare>().size() == 1);
  CHECK(r.said<Prepare>()[0].proposal == Proposal{1, 1, committed.proposal.digest});
}

TEST_CASE("T3.12 another batch there is never voted for, and proof against the primary") {
  Restarted r(2);
  restart_in_view_1(r, r.proposal(0, 1));
  r.from(1, r.proposal(1, 1, 5));
  r.sync_all();
  CHECK(r.said<Prepare>().empty());
  CHECK(r.core->evidence().accused() == 1U << 1);
  CHECK(r.core->view() == 2);
}

TEST_CASE(
    "T3.13 power cut with the state store a window behind: the VIEW-CHANGE is valid and whole") {
  constexpr Seq kBatches = limits::kWindow + 20;
  Restarted r(1);
  r.start_and_hear();
  for (Seq seq = 1; seq <= kBatches; ++seq) {
    r.commit_batch(0, seq);
    r.from(0, r.certificate(r.said<RootShare>().back().body));  // rides along, unsynced
  }
  for (Seq seq = kBatches + 1; seq <= kBatches + 3; ++seq) r.prepare_batch(0, seq);
  r.commit_batch(0, kBatches + 1);
  r.from(0, r.certificate(r.said<RootShare>().back().body));
  const Disk disk = r.disk;
  REQUIRE(disk.records.size() > disk.synced);
  for (std::size_t kept = 0; kept <= disk.records.size() - disk.synced; ++kept) {
    CAPTURE(kept);
    r.disk = disk;
    r.power_cut_keeping(kept);
    r.start_and_hear();
    for (ReplicaId peer : {0U, 2U}) r.from(peer, r.view_change(peer, 1));
    r.sync_all();
    REQUIRE(r.said<ViewChange>().size() > 0);
    const ViewChange vc = r.said<ViewChange>().back();
    CHECK(messages::verify_view_change(r.verifier, r.context(), r.config, vc).has_value());
    CHECK(vc.base_seq() >= kBatches - 1);
    for (const Commit& c : r.said<Commit>()) {
      const bool covered = c.proposal.seq <= vc.base_seq() ||
                           std::ranges::any_of(vc.prepared, [&](const PreparedCert& entry) {
                             return entry.proposal == c.proposal;
                           });
      CHECK(covered);
    }
  }
}

TEST_CASE("T3.14 the state group alone brings back view, votes and P-entries") {
  Restarted r(2);
  r.start_and_hear();
  r.enter(1);
  r.sync_all();
  r.commit_batch(1, 1);
  r.certify_newest();
  const Proposal live = r.prepare_batch(1, 2);
  r.from(1, r.proposal(1, 3));
  r.sync_all();
  // Every segment in which these were written is recycled.
  Disk later{r.core->control_state(), 0, r.disk.incarnation};
  for (const Record& record : r.disk.records)
    if (!is_control(record.kind)) later.records.push_back(record);
  r.power_cut();
  r.disk = later;
  r.disk.synced = later.records.size();

  r.start_and_hear();
  CHECK(r.halts.empty());
  CHECK(r.core->view() == 1);
  CHECK(r.core->certified_seq() == 1);
  r.from(1, r.proposal(1, 2, 7));
  r.from(1, r.proposal(1, 3, 7));
  for (ReplicaId peer : {0U, 3U}) r.from(peer, r.view_change(peer, 2));
  r.sync_all();
  r.check_never_contradicted();
  const ViewChange vc = r.said<ViewChange>().back();
  REQUIRE(vc.new_view == 2);
  REQUIRE(vc.prepared.size() == 1);
  CHECK(vc.prepared[0].proposal == live);
}

TEST_CASE("T3.15 an own P-entry that lost against an executed batch is not executed, nor shared") {
  for (std::size_t kept = 0; kept <= 3; ++kept) {
    CAPTURE(kept);
    Restarted r(1);
    r.start_and_hear();
    const Proposal loser = r.prepare_batch(0, 1);  // prepared by this replica alone
    r.enter(2);
    r.sync_all();
    const PrePrepare winner = r.proposal(2, 1, 9);
    REQUIRE(winner.proposal.digest != loser.digest);
    sim::ToyMachine peer(r.cluster_id, r.config);
    const auto outcome = peer.execute(*messages::parse_batch(r.context(), winner.batch));
    messages::HistoryData history;
    history.first = 1;
    history.headers = {outcome->header};
    history.batches = {winner.batch};
    history.cert = r.certificate(outcome->body);
    r.from(0, history);
    REQUIRE(r.machine->executed_seq() == 1);
    r.power_cut_keeping(kept);  // of body, EXECUTED, certificate

    r.start_and_hear();
    r.from(0, r.certificate(2));  // evidence that something is committed at 1
    for (int i = 0; i < 20; ++i) r.tick(Timing{}.status_busy);
    messages::PreparedData copy;  // of a Byzantine replica
    copy.first = 1;
    copy.entries = {r.prepared(loser)};
    r.from(3, copy);
    for (int i = 0; i < 20; ++i) r.tick(Timing{}.status_busy);
    r.sync_all();
    CHECK(r.machine->executed_seq() == (kept >= 2 ? 1 : 0));
    for (const RootShare& share : r.said<RootShare>()) CHECK(share.body == outcome->body);
    CHECK(r.halts.empty());
    // Whoever has the history brings it.
    r.from(0, history);
    CHECK(r.machine->executed_seq() == 1);
    for (const RootShare& share : r.said<RootShare>()) CHECK(share.body == outcome->body);
  }
}
