// When a replica gives up on history, and how it goes on from a state that was fetched (T3.18).
#include <doctest/doctest.h>

#include "restart.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;

namespace {

// The cluster that the replica has missed: batches 1..last, executed elsewhere.
struct Elsewhere {
  Elsewhere(const Restarted& r, Seq last) : machine(r.cluster_id, r.config) {
    for (Seq seq = 1; seq <= last; ++seq) {
      batches.push_back(r.proposal(0, seq).batch);
      state.history_before = machine.history_hash();
      const auto outcome = machine.execute(*messages::parse_batch(r.context(), batches.back()));
      state.header = outcome->header;
      headers.push_back(outcome->header);
      state.cert = r.certificate(outcome->body);
      certs.push_back(state.cert);
    }
  }
  messages::HistoryData history(Seq first) const {
    messages::HistoryData data;
    data.first = first;
    data.headers.assign(headers.begin() + static_cast<std::ptrdiff_t>(first - 1), headers.end());
    data.batches.assign(batches.begin() + static_cast<std::ptrdiff_t>(first - 1), batches.end());
    data.cert = state.cert;
    return data;
  }
  sim::ToyMachine machine;
  std::vector<Batch> batches;
  std::vector<messages::BatchHeader> headers;
  std::vector<messages::RootCert> certs;
  messages::CertifiedState state;
};

constexpr Seq kLast = 50;

messages::HistoryData too_old(Seq first) { return {first, {}, {}, std::nullopt}; }

void claim(Restarted& r, Seq executed) {
  for (const ReplicaId peer : {0U, 2U, 3U}) {
    messages::PeerStatus s;
    s.executed = s.certified = executed;
    r.from(peer, s);
  }
}

void wait(Restarted& r) {
  for (int i = 0; i < 20; ++i) r.tick(Timing{}.status_busy);
  r.sync_all();
}

// Replica 1 knows that it is far behind.
void fall_behind(Restarted& r, const Elsewhere& others) {
  r.start_and_hear();
  r.from(0, others.state.cert);
  claim(r, kLast);
  wait(r);
  REQUIRE(r.core->certified_seq() == kLast);
}

void begin_transfer(Restarted& r) {
  r.from(0, too_old(1));
  r.from(2, too_old(1));
  wait(r);
  REQUIRE(r.transfers == std::vector<Seq>{kLast});
}

}  // namespace

TEST_CASE("f + 1 peers have to say that history is gone, and of this very number") {
  Restarted r(1);
  const Elsewhere others(r, kLast);
  fall_behind(r, others);
  r.from(3, too_old(1));
  r.from(3, too_old(1));  // a Byzantine one, as often as it likes
  r.from(0, too_old(2));
  wait(r);
  CHECK(r.transfers.empty());
  // Somebody has some: what was said of the beginning does not count any more.
  messages::HistoryData some = others.history(1);
  some.batches.resize(3);
  r.from(2, some);
  CHECK(r.machine->executed_seq() == 3);
  r.from(0, too_old(1));
  r.from(0, too_old(4));
  wait(r);
  CHECK(r.transfers.empty());
  r.from(2, too_old(4));
  wait(r);
  CHECK(r.transfers == std::vector<Seq>{kLast});
  wait(r);
  CHECK(r.transfers.size() == 1);
}

TEST_CASE("whoever has history answers with it, and who has it no more says so") {
  Restarted r(1);
  const Elsewhere others(r, 3);
  r.start_and_hear();
  r.from(0, others.history(1));
  REQUIRE(r.machine->executed_seq() == 3);
  r.sync_all();
  r.forget();
  r.from(2, messages::FetchHistory{0});
  REQUIRE(r.said<messages::HistoryData>().size() == 1);
  CHECK(r.said<messages::HistoryData>()[0].batches.size() == 3);
  // The log has recycled them; the page store has the state.
  r.power_cut();
  std::erase_if(r.disk.records, [](const Record& record) { return !is_control(record.kind); });
  r.disk.synced = r.disk.records.size();
  r.stored = others.machine;
  r.stored_cert = others.state.cert;
  r.start_and_hear();
  r.forget();
  r.from(2, messages::FetchHistory{0});
  REQUIRE(r.said<messages::HistoryData>().size() == 1);
  CHECK(r.said<messages::HistoryData>()[0] == too_old(1));
  CHECK(r.told<messages::HistoryData>() == std::set<ReplicaId>{2});
}

TEST_CASE("T3.18 votes and P-entries above the state that is fetched stay, and are used") {
  Restarted r(1);
  const Elsewhere others(r, kLast);
  fall_behind(r, others);
  begin_transfer(r);
  // Agreement goes on: it prepares and commits what it cannot execute.
  const Proposal next = r.prepare_batch(0, kLast + 1);
  const Proposal after = r.prepare_batch(0, kLast + 2);
  for (const ReplicaId peer : {0U, 2U, 3U}) r.from(peer, messages::Commit{next});
  wait(r);
  CHECK(r.machine->executed_seq() == 0);
  r.from(0, others.history(1));  // too late: the state is not what it was
  CHECK(r.machine->executed_seq() == 0);

  *r.machine = others.machine;
  r.forget();
  r.step(event::Transferred{others.state});
  r.sync_all();
  CHECK_FALSE(r.core->transferring());
  CHECK(r.machine->executed_seq() == kLast + 1);  // what was committed meanwhile follows at once
  CHECK(r.said<messages::RootShare>().size() >= 1);
  CHECK(r.said<messages::RootShare>().back().body.seq == kLast + 1);
  for (const ReplicaId peer : {0U, 3U}) r.from(peer, r.view_change(peer, 1));
  r.sync_all();
  const auto in_p = [](const ViewChange& vc, const Proposal& p) {
    return std::ranges::any_of(vc.prepared,
                               [&p](const PreparedCert& e) { return e.proposal == p; });
  };
  REQUIRE_FALSE(r.said<ViewChange>().empty());
  CHECK(r.said<ViewChange>().back().base_seq() == kLast);
  CHECK(in_p(r.said<ViewChange>().back(), next));
  CHECK(in_p(r.said<ViewChange>().back(), after));
  CHECK(r.halts.empty());
}

namespace {

// While replica 1 fetches: the others agree on batch `seq` and certify it.
void go_on(Restarted& r, const Elsewhere& others, Seq seq) {
  const Proposal p = r.prepare_batch(0, seq);
  for (const ReplicaId peer : {0U, 2U, 3U}) {
    r.from(peer, messages::Commit{p});
    r.from(peer, messages::sign_share(*r.signers[peer], others.certs[seq - 1].body, peer));
  }
  r.from(0, others.certs[seq - 1]);
  r.sync_all();
}

void prepare_large(Restarted& r, Seq seq) {
  Batch batch;
  batch.seq = seq;
  batch.time_us = Restarted::kWall;
  batch.items = large_items(*r.client, r.cluster_id, seq);
  r.forget();
  r.prepare_batch(r.proposal(0, std::move(batch)));
}

void check_bounded(const Restarted& r) {
  for (const Core::Holding& h : r.core->holdings()) {
    CAPTURE(h.what);
    CHECK(h.count <= h.bound);
  }
}

}  // namespace

TEST_CASE("what is kept while a state is fetched is bounded, and votes go on") {
  constexpr Seq kMissed = kLast + 2 * Core::kKeptInTransfer;
  Restarted r(1);
  const Elsewhere others(r, kMissed + 2);
  fall_behind(r, Elsewhere(r, kLast));
  begin_transfer(r);
  for (Seq seq = kLast + 1; seq <= kMissed; ++seq) go_on(r, others, seq);
  check_bounded(r);
  CHECK(r.core->holdings().front().count <= Core::kKeptInTransfer);
  r.forget();
  const Proposal next = r.prepare_batch(0, kMissed + 1);
  CHECK(r.said<messages::Commit>().size() == 1);
  // What lies behind it goes on from what was kept ...
  SUBCASE("to a state whose successors are kept") {
    const Elsewhere fetched(r, kMissed - Core::kKeptInTransfer + 1);
    *r.machine = fetched.machine;
    r.step(event::Transferred{fetched.state});
    r.sync_all();
    CHECK(r.core->executed_seq() == kMissed);
  }
  // ... or by history of the others.
  SUBCASE("to an older one") {
    const Elsewhere fetched(r, kLast + 10);
    *r.machine = fetched.machine;
    r.step(event::Transferred{fetched.state});
    r.sync_all();
    CHECK(r.core->executed_seq() == kLast + 10);
    claim(r, kMissed);
    wait(r);
    REQUIRE_FALSE(r.said<messages::FetchHistory>().empty());
    CHECK(r.said<messages::FetchHistory>().back().executed == kLast + 10);
    messages::HistoryData some = others.history(kLast + 11);
    some.headers.resize(limits::kMaxHeaderChain);
    some.batches.resize(limits::kMaxHeaderChain);
    some.cert = others.certs[some.headers.back().seq - 1];
    r.from(0, some);
    CHECK(r.core->executed_seq() == kLast + 10 + limits::kMaxHeaderChain);
  }
  for (const ReplicaId peer : {0U, 2U, 3U}) r.from(peer, messages::Commit{next});
  check_bounded(r);
  CHECK(r.halts.empty());
}

TEST_CASE("large batches while a state is fetched: the oldest certified give way, not the votes") {
  constexpr Seq kMissed = kLast + 2 * limits::kCertStall;
  Restarted r(1);
  fall_behind(r, Elsewhere(r, kLast));
  begin_transfer(r);
  for (Seq seq = kLast + 1; seq <= kMissed; ++seq) {
    prepare_large(r, seq);
    CHECK(r.said<messages::Commit>().size() == 1);
    r.from(0, r.certificate(seq));
    check_bounded(r);
  }
}

TEST_CASE("who fetches a state suspects no primary of what it can not execute itself") {
  Restarted r(1);
  const Elsewhere others(r, kLast + 2);
  fall_behind(r, Elsewhere(r, kLast));
  begin_transfer(r);
  const auto suspects = [&] {
    r.forget();
    for (int i = 0; i < 40; ++i) r.tick(250'000);  // longer than any T_req of the first view
    r.sync_all();
    return r.said<messages::PeerStatus>().back().suspects;
  };
  go_on(r, others, kLast + 1);
  CHECK(suspects() == messages::Reason::none);
  r.submit_open();  // the others may have executed it already, or refused it
  CHECK(r.said<messages::Forward>().size() == 1);
  CHECK(suspects() == messages::Reason::none);
  CHECK(r.said<messages::Forward>().empty());  // its client sends it again
  // What is not even certified is the primary's, or nobody could ever leave it.
  r.prepare_batch(0, kLast + 2);
  CHECK(suspects() == messages::Reason::proposal_timeout);
  r.from(0, others.certs[kLast + 1]);
  CHECK(suspects() == messages::Reason::none);
  // With the state there is what waits again.
  *r.machine = others.machine;
  r.step(event::Transferred{others.state});
  CHECK(suspects() == messages::Reason::request_timeout);
}

TEST_CASE("far behind a fetched state, large batches are voted for, too") {
  constexpr Seq kNewest = kLast + limits::kWindow + 2 * limits::kCertStall;
  Restarted r(1);
  fall_behind(r, Elsewhere(r, kLast));
  begin_transfer(r);
  const Elsewhere fetched(r, kLast + 1);
  for (Seq seq = kLast + 1; seq <= kNewest; ++seq) {
    prepare_large(r, seq);
    r.from(0, r.certificate(seq));
    if (seq != kNewest - 1) continue;
    *r.machine = fetched.machine;
    r.step(event::Transferred{fetched.state});
    r.sync_all();
  }
  CHECK_FALSE(r.core->transferring());
  CHECK(r.said<messages::Commit>().size() == 1);
  check_bounded(r);
}

TEST_CASE(
    "T3.18 a power cut right behind the transfer: the state from the store, the rest from the "
    "log") {
  for (const std::size_t kept : {0U, 1U, 2U, 9U}) {
    CAPTURE(kept);
    Restarted r(1);
    const Elsewhere others(r, kLast);
    fall_behind(r, others);
    begin_transfer(r);
    const Proposal next = r.prepare_batch(0, kLast + 1);
    *r.machine = others.machine;
    r.stored = others.machine;
    r.stored_cert = others.state.cert;
    r.step(event::Transferred{others.state});
    r.power_cut_keeping(kept);
    r.start_and_hear();
    CHECK(r.halts.empty());
    CHECK_FALSE(r.core->transferring());
    CHECK(r.core->executed_seq() == kLast);
    for (const ReplicaId peer : {0U, 3U}) r.from(peer, r.view_change(peer, 1));
    r.sync_all();
    const ViewChange vc = r.said<ViewChange>().back();
    CHECK(vc.base_seq() == kLast);
    REQUIRE(vc.prepared.size() == 1);
    CHECK(vc.prepared[0].proposal == next);
    r.check_never_contradicted();
  }
}

TEST_CASE("a start with a mixture in the store goes on with the transfer, and executes nothing") {
  Restarted r(1);
  const Elsewhere others(r, kLast);
  fall_behind(r, others);
  begin_transfer(r);
  r.power_cut();
  r.mixture = true;
  r.start_and_hear();
  CHECK(r.transfers == std::vector<Seq>{kLast, kLast});
  r.from(0, others.history(1));
  wait(r);
  CHECK(r.core->executed_seq() == 0);
  *r.machine = others.machine;
  r.step(event::Transferred{others.state});
  r.sync_all();
  CHECK(r.core->executed_seq() == kLast);
  CHECK(r.core->certified_seq() == kLast);
  r.commit_batch(0, kLast + 1);
  CHECK(r.halts.empty());
}

TEST_CASE("T4.6 who has lost its state does not say that it has prepared nothing") {
  Restarted r(1);
  r.start_and_hear();
  for (Seq seq = 1; seq <= 4; ++seq) {
    r.commit_batch(0, seq);
    r.certify_newest();
  }
  r.prepare_batch(0, 5);
  const auto asked = [&r](Seq first) {
    r.forget();
    r.from(2, messages::FetchPrepared{first});
    r.sync_all();
    return r.said<messages::PreparedData>();
  };
  REQUIRE(asked(5).size() == 1);
  r.power_cut();
  // As after a flush at 3: the log has let go of the P-entries, and of what was executed.
  std::erase_if(r.disk.records, [](const Record& record) {
    return record.seq != 0 && record.seq <= 3 && record.kind != RecordKind::certificate;
  });
  r.disk.synced = r.disk.records.size();
  r.start_and_hear();  // without the page store
  REQUIRE(r.core->executed_seq() == 0);
  CHECK(asked(2).empty());
  CHECK(asked(4).empty());
  REQUIRE(asked(5).size() == 1);
  CHECK(asked(5)[0].entries.size() == 1);
}

TEST_CASE("T4.6 a body that has rotted takes no P-entry with it") {
  Restarted r(1);
  r.start_and_hear();
  r.commit_batch(0, 1);
  r.certify_newest();
  r.power_cut();
  std::erase_if(r.disk.records,
                [](const Record& record) { return record.kind == RecordKind::body; });
  r.disk.synced = r.disk.records.size();
  r.start_and_hear();
  REQUIRE(r.core->executed_seq() == 0);
  r.forget();
  r.from(2, messages::FetchPrepared{1});
  r.sync_all();
  REQUIRE(r.said<messages::PreparedData>().size() == 1);
  CHECK(r.said<messages::PreparedData>()[0].entries.size() == 1);
}

namespace {

// Batch `seq` is executed with another result than elsewhere; then a part of the store is lost, and
// then the certificate comes.
void diverge_while_fetching(Restarted& r, const Elsewhere& others) {
  const Seq seq = others.state.cert.body.seq;
  r.machine->damage(1);
  r.commit_batch(0, seq);
  REQUIRE(r.core->certified_seq() < seq);
  r.step(event::Damaged{});
  REQUIRE(r.transfers.back() == seq);
  r.from(0, others.state.cert);
  r.sync_all();
  REQUIRE(r.core->out_of_service());
}

// As the driver does: whatever was asked for is fetched.
void fetch_all(Restarted& r, const Elsewhere& others) {
  for (; !r.transfers.empty(); r.transfers.pop_back()) {
    *r.machine = others.machine;
    r.step(event::Transferred{others.state});
    r.sync_all();
  }
}

}  // namespace

TEST_CASE("T4.2 a divergence that is found while a state is fetched is repaired by that one") {
  Restarted r(1);
  const Elsewhere others(r, 1);
  r.start_and_hear();
  diverge_while_fetching(r, others);
  CHECK(r.transfers == std::vector<Seq>{1});
  fetch_all(r, others);
  CHECK_FALSE(r.core->out_of_service());
  CHECK_FALSE(r.core->transferring());
  r.forget();
  r.commit_batch(0, 2);
  REQUIRE(r.said<messages::RootShare>().size() == 1);
  CHECK(r.said<messages::RootShare>()[0].body.seq == 2);
  CHECK(r.halts.empty());
}

TEST_CASE("T4.2 the second divergence in a row: what was being fetched brings it back no more") {
  Restarted r(1);
  r.start_and_hear();
  const Elsewhere once(r, 1);
  diverge_while_fetching(r, once);
  fetch_all(r, once);
  const Elsewhere twice(r, 2);
  diverge_while_fetching(r, twice);
  REQUIRE(r.core->diverged_again());
  r.forget();
  fetch_all(r, twice);
  CHECK(r.core->out_of_service());
  CHECK(r.core->transferring());
  CHECK_FALSE(r.core->may_vote());
  r.from(0, r.proposal(0, 3));
  r.sync_all();
  CHECK(r.votes_said() == 0);
  CHECK(r.core->executed_seq() == 2);
}
