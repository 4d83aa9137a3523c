// The end of an epoch as one core sees it, and the beginning of the next (protocol §9.2).
#include <doctest/doctest.h>

#include "restart.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;

namespace {

constexpr Seq kEnd = 4;

// One replica of four whose epoch ends with batch 4, or another one; in the next one member 3 has
// another key.
struct Ending : Restarted {
  explicit Ending(ReplicaId self, Seq end = kEnd) : Restarted(self), self_id(self) {
    next.replicas = config.replicas;
    next.epoch = 1;
    next.replicas[3].vote_key = joining.public_key();
    start_and_hear();
    machine->end_epoch(end, next);
  }

  // Everything of the epoch, its certificate, and its state in the page store.
  void finish() {
    for (Seq seq = 1; seq <= kEnd; ++seq) commit_batch(0, seq);
    last = said<messages::RootShare>().back().body;
    certify_newest();
    step(event::Flushed{kEnd});
  }
  // The end of the epoch as a peer shows it, on this replica's last body.
  event::EpochShown shown() {
    last = said<messages::RootShare>().back().body;
    messages::EpochStep step{certificate(last), next};
    for (ReplicaId r = 0; r < next.quorum(); ++r) {
      step.cert.next_signers |= 1U << r;
      step.cert.next_signatures.push_back(messages::sign_share(*signers[r], last, r).signature);
    }
    return {std::move(step)};
  }
  // Another process on its disk, with what this one flushed: nothing.
  void restart() {
    sim::ToyMachine genesis(cluster_id, config);
    genesis.end_epoch(kEnd, next);
    stored = genesis;
    power_cut();
    start();
  }
  void end_share(ReplicaId link, ReplicaId position, const crypto::Signer& signer) {
    tick(Timing{}.status_busy);
    from(link, messages::sign_share(signer, last, position));
  }
  std::set<Seq> prepared_seqs() const {
    std::set<Seq> seqs;
    for (const Prepare& p : said<Prepare>())
      if (p.replica == self_id) seqs.insert(p.proposal.seq);
    return seqs;
  }
  std::set<Seq> proposed_seqs() const {
    std::set<Seq> seqs;
    for (const PrePrepare& p : said<PrePrepare>()) seqs.insert(p.proposal.seq);
    return seqs;
  }

  const ReplicaId self_id;
  config::Config next;
  sim::IdealSigner joining{PublicKey{4}};
  messages::CertBody last;
};

}  // namespace

TEST_CASE("nobody votes beyond the end, whether execution or a certificate tells of it") {
  Ending r(1);
  SUBCASE("execution") { r.commit_batch(0, 1); }
  SUBCASE("a certificate, of what is not executed here") {
    messages::CertBody body;
    body.cluster_id = r.cluster_id;
    body.config_hash = r.config.hash();
    body.seq = 1;
    body.epoch_end_seq = kEnd;
    r.from(0, r.certificate(body));
  }
  CHECK(r.core->epoch_end() == kEnd);
  r.forget();
  for (Seq seq = 2; seq <= kEnd + 3; ++seq) r.from(0, r.proposal(0, seq));
  r.sync_all();
  CHECK(r.prepared_seqs() == std::set<Seq>{2, 3, 4});
}

TEST_CASE("who knows nothing of the end votes a window ahead of its certificate, as ever") {
  Ending r(1);
  for (Seq seq = 1; seq <= kEnd + 3; ++seq) r.from(0, r.proposal(0, seq));
  r.sync_all();
  CHECK(r.prepared_seqs().size() == kEnd + 3);
}

TEST_CASE("the primary fills up to the end, and proposes nothing behind it") {
  Ending r(0);
  r.submit_open();
  for (Seq seq = 1; seq <= kEnd; ++seq) {
    REQUIRE(r.proposed_seqs().contains(seq));
    const Proposal p = r.said<PrePrepare>().back().proposal;
    REQUIRE(p.seq == seq);
    for (const ReplicaId peer : {1U, 2U}) r.from(peer, r.prepare(peer, p));
    r.sync_all();
    for (const ReplicaId peer : {1U, 2U}) r.from(peer, messages::Commit{p});
    r.sync_all();
  }
  r.submit_open();
  r.tick(Timing{}.status_busy);
  r.sync_all();
  CHECK(r.proposed_seqs() == std::set<Seq>{1, 2, 3, 4});
}

TEST_CASE("T9.13 a primary that does not fill up is suspected, and never when all is done") {
  Ending r(1);
  r.commit_batch(0, 1);
  r.certify_newest();
  r.forget();
  r.tick(Timing{}.request_min - 1);
  for (const messages::PeerStatus& s : r.said<messages::PeerStatus>())
    CHECK(s.suspects == messages::Reason::none);
  r.tick(2);
  REQUIRE_FALSE(r.said<messages::PeerStatus>().empty());
  CHECK(r.said<messages::PeerStatus>().back().suspects == messages::Reason::proposal_timeout);
  for (Seq seq = 2; seq <= kEnd; ++seq) r.commit_batch(0, seq);
  r.submit_open();  // nobody can order it in this epoch
  r.tick(Timing{}.request_max);
  r.forget();
  r.tick(Timing{}.status_busy);
  for (const messages::PeerStatus& s : r.said<messages::PeerStatus>())
    CHECK(s.suspects == messages::Reason::none);
}

TEST_CASE("T9.5 a primary that fills up just in time, batch for batch, is suspected as well") {
  constexpr Seq kFar = 100;
  Ending r(1, kFar);
  const auto suspected_after = [&](std::uint64_t hold_us) -> Seq {
    for (Seq seq = 1; seq <= kFar; ++seq) {
      r.commit_batch(0, seq);
      r.certify_newest();
      r.forget();
      r.tick(hold_us);
      r.tick(Timing{}.status_busy);
      for (const messages::PeerStatus& s : r.said<messages::PeerStatus>())
        if (s.suspects == messages::Reason::proposal_timeout) return seq;
    }
    return 0;
  };
  SUBCASE("half the patience") { CHECK(suspected_after(Timing{}.request_min / 2) == 3); }
  SUBCASE("what an honest one may take on a slow network") {
    CHECK(suspected_after(Timing{}.request_min / 8) == 0);
  }
}

// Keys of members that have left are nobody's any more, and may be in any hands.
TEST_CASE("T4.8 what retired keys sign beyond the end of their epoch moves nothing") {
  Ending r(1);
  SUBCASE("the last batch is certified, its state waits for the next members") { r.finish(); }
  SUBCASE("the end is known, and not reached") {
    r.commit_batch(0, 1);
    r.certify_newest();
  }
  REQUIRE(r.core->epoch_end() == kEnd);
  const Seq executed = r.core->executed_seq();
  const Seq certified = r.core->certified_seq();
  r.forget();
  messages::CertBody body;
  body.cluster_id = r.cluster_id;
  body.config_hash = r.config.hash();
  body.seq = kEnd + 1;
  for (const ReplicaId thief : {0U, 2U, 3U}) {
    r.from(thief, messages::sign_share(*r.signers[thief], body, thief));
    r.tick(Timing{}.status_busy);
    CHECK(r.core->certified_seq() == certified);
  }
  r.from(0, r.certificate(body));
  const sim::ToyMachine ahead(r.cluster_id, r.config);  // as if there were no end
  r.from(0, r.history(executed + 1, kEnd + 1, ahead));
  r.sync_all();
  CHECK(r.core->certified_seq() == certified);
  CHECK(r.core->executed_seq() == executed);
  CHECK_FALSE(r.core->transferring());
  // Nor is the end of the epoch held up.
  if (executed < kEnd) return;
  for (const ReplicaId peer : {0U, 2U}) r.end_share(peer, peer, *r.signers[peer]);
  CHECK(r.epoch_ends.size() == 1);
}

TEST_CASE("the epoch ends with a quorum of both memberships, once") {
  Ending r(1);
  r.finish();
  CHECK(r.epoch_ends.empty());
  r.end_share(0, 0, *r.signers[0]);
  CHECK(r.epoch_ends.empty());  // the own share is the second of three
  SUBCASE("a member that stays") { r.end_share(2, 2, *r.signers[2]); }
  SUBCASE("one that joins, by its position there") { r.end_share(4 + 3, 3, r.joining); }
  REQUIRE(r.epoch_ends.size() == 1);
  const messages::EpochStep& step = r.epoch_ends[0];
  CHECK(step.next == r.next);
  CHECK(messages::verify_joint_cert(r.verifier, r.cluster_id, r.config, r.next, step.cert));
  r.end_share(2, 2, *r.signers[2]);
  CHECK(r.epoch_ends.size() == 1);
  CHECK(r.halts.empty());
}

TEST_CASE("what does not count for the next membership") {
  Ending r(1);
  r.finish();
  r.end_share(0, 0, *r.signers[0]);
  SUBCASE("the member that leaves") { r.end_share(3, 3, *r.signers[3]); }
  SUBCASE("its key on the link of the one that joins") { r.end_share(4 + 3, 3, *r.signers[3]); }
  SUBCASE("somebody else's signature") { r.end_share(2, 2, r.joining); }
  SUBCASE("no position at all") { r.end_share(4 + 30, 30, r.joining); }
  SUBCASE("the same member twice") { r.end_share(0, 0, *r.signers[0]); }
  SUBCASE("another body") {
    r.last.state_root[0] ^= 1;
    r.end_share(2, 2, *r.signers[2]);
  }
  r.tick(Timing{}.status_busy);
  CHECK(r.epoch_ends.empty());
  CHECK(r.halts.empty());
}

TEST_CASE("a share that does not hold is taken back by the right one") {
  Ending r(1);
  r.finish();
  r.end_share(0, 0, *r.signers[0]);
  r.end_share(2, 2, r.joining);
  CHECK(r.epoch_ends.empty());
  r.end_share(2, 2, *r.signers[2]);
  CHECK(r.epoch_ends.size() == 1);
}

TEST_CASE("shares that came before the certificate and the flush are not lost") {
  Ending r(1);
  for (Seq seq = 1; seq <= kEnd; ++seq) r.commit_batch(0, seq);
  r.last = r.said<messages::RootShare>().back().body;
  r.end_share(0, 0, *r.signers[0]);
  r.end_share(2, 2, *r.signers[2]);
  r.tick(Timing{}.lazy_certificate);
  REQUIRE(r.core->certified_seq() == kEnd);
  CHECK(r.epoch_ends.empty());
  r.step(event::Flushed{kEnd - 1});
  CHECK(r.epoch_ends.empty());
  r.step(event::Flushed{kEnd});
  CHECK(r.epoch_ends.size() == 1);
}

TEST_CASE("the own share of the last batch is shown until the epoch is over") {
  Ending r(1);
  r.finish();
  r.tick(Timing{}.status_busy);
  r.forget();
  r.tick(Timing{}.status_busy);
  REQUIRE(r.said<messages::RootShare>().size() == 1);
  CHECK(r.said<messages::RootShare>()[0].body.seq == kEnd);
  CHECK(r.said<messages::RootShare>()[0].replica == 1);
}

TEST_CASE("the share of the last batch leaves when its execution is in the log, no other waits") {
  Ending r(1);
  const auto shares_of = [&r](Seq seq) {
    return std::ranges::count_if(r.said<messages::RootShare>(),
                                 [seq](const auto& share) { return share.body.seq == seq; });
  };
  for (Seq seq = 1; seq <= kEnd; ++seq) {
    const Proposal p = r.prepare_batch(0, seq);
    r.forget();
    for (const ReplicaId peer : {0U, 2U}) r.from(peer, messages::Commit{p});
    REQUIRE(r.machine->executed_seq() == seq);
    CHECK(shares_of(seq) == (seq < kEnd ? 1 : 0));
  }
  r.from(0, messages::PeerStatus{});
  CHECK(shares_of(1) == 1);  // repeated
  CHECK(shares_of(kEnd) == 0);
  r.sync();
  CHECK(shares_of(kEnd) > 0);
  r.power_cut();
  r.restart();
  CHECK(r.machine->executed_seq() == kEnd);
}

TEST_CASE("who has executed the last batch votes on for it until it is certified") {
  Ending r(1);
  for (Seq seq = 1; seq < kEnd; ++seq) r.commit_batch(0, seq);
  const RootCert base = r.certify_newest();
  const Proposal executed = r.commit_batch(0, kEnd);
  REQUIRE(r.core->epoch_over());
  const auto leave = [&](View view) {
    r.forget();
    for (const ReplicaId peer : {2U, 3U}) r.from(peer, r.view_change(peer, view));
    r.sync_all();
  };
  SUBCASE("in later views, too") {
    leave(1);
    REQUIRE_FALSE(r.said<ViewChange>().empty());
    REQUIRE(r.said<ViewChange>().back().prepared.size() == 1);
    CHECK(r.said<ViewChange>().back().prepared[0].proposal == executed);
    r.enter(2, {r.prepared(executed)}, base);  // its primary is R2
    r.sync_all();
    CHECK(r.core->view() == 2);
    CHECK(r.prepared_seqs() == std::set<Seq>{kEnd});
    CHECK(r.halts.empty());
  }
  SUBCASE("nobody needs that with a certificate") {
    r.certify_newest();
    leave(1);
    CHECK(r.said<ViewChange>().empty());
  }
}

TEST_CASE("who is shown the next epoch leaves with the state of what it has executed") {
  Ending r(1);
  for (Seq seq = 1; seq < kEnd; ++seq) r.commit_batch(0, seq);
  SUBCASE("of all of it, when the page store has it") {
    r.commit_batch(0, kEnd);
    r.step(r.shown());
    CHECK(r.core->certified_seq() == kEnd);  // what it is flushed with
    CHECK(r.epoch_ends.empty());
    r.step(event::Flushed{kEnd - 1});
    r.tick(Timing{}.status_idle);
    CHECK(r.epoch_ends.empty());
    r.step(event::Flushed{kEnd});
  }
  SUBCASE("also when it has only just started again, and its old peers answer no HELLO") {
    r.commit_batch(0, kEnd);
    const event::EpochShown shown = r.shown();
    r.restart();
    REQUIRE(r.core->standing() == Standing::asking);
    REQUIRE(r.machine->executed_seq() == kEnd);
    r.step(shown);
    CHECK(r.core->certified_seq() == kEnd);
    CHECK(r.epoch_ends.empty());
    r.step(event::Flushed{kEnd});
  }
  SUBCASE("not of all of it: at once, the others have signed that state") {
    event::EpochShown shown = r.shown();
    shown.step.cert.body.seq = kEnd;
    r.step(shown);
  }
  REQUIRE(r.epoch_ends.size() == 1);
  CHECK(r.epoch_ends[0].next == r.next);
  r.tick(Timing{}.status_idle);
  CHECK(r.epoch_ends.size() == 1);
  CHECK(r.halts.empty());
}

TEST_CASE("who is shown the next epoch and is no member of it leaves at once") {
  Ending r(3);
  for (Seq seq = 1; seq <= kEnd; ++seq) r.commit_batch(0, seq);
  r.step(r.shown());
  CHECK(r.epoch_ends.size() == 1);
}

TEST_CASE("the end of the epoch is known after a restart, if only a certificate told of it") {
  Ending r(1);
  messages::CertBody body;
  body.cluster_id = r.cluster_id;
  body.config_hash = r.config.hash();
  body.seq = 2;
  body.epoch_end_seq = kEnd;
  r.from(0, r.certificate(body));
  r.sync_all();
  r.restart();
  r.hear_all();
  r.sync_all();
  CHECK(r.machine->executed_seq() == 0);
  CHECK(r.core->epoch_end() == kEnd);
  r.forget();
  for (Seq seq = 1; seq <= kEnd + 2; ++seq) r.from(0, r.proposal(0, seq));
  r.sync_all();
  CHECK(r.prepared_seqs() == std::set<Seq>{3, 4});
}

TEST_CASE("READY of who joins costs one signature check in a while") {
  Ending r(1);
  const auto say = [&](const crypto::Signer& signer) {
    r.from(4 + 3, messages::Forward{messages::sign_ready(
                      signer, r.cluster_id, {r.next.hash(), r.joining.public_key(), 1})});
  };
  say(*r.signers[2]);  // does not hold
  say(r.joining);
  CHECK(r.core->pending() == 0);
  r.tick(Timing{}.status_busy);
  say(r.joining);
  CHECK(r.core->pending() == 1);
}

TEST_CASE("READY is said while the state waits for it, the same one each time") {
  Ending r(1);
  const auto readies = [&] {
    std::set<Hash> digests;
    for (const messages::Forward& f : r.said<messages::Forward>())
      if (f.item.kind == messages::ItemKind::ready) digests.insert(f.item.digest());
    return digests;
  };
  r.tick(Timing{}.status_idle);
  CHECK(readies().empty());
  r.machine->wait_for_ready(r.next.hash());
  r.tick(Timing{}.status_idle);
  r.commit_batch(0, 1);
  r.tick(Timing{}.status_idle);
  CHECK(readies().size() == 1);
  r.forget();
  r.machine->wait_for_ready(std::nullopt);
  r.tick(Timing{}.status_idle);
  CHECK(readies().empty());
}

TEST_CASE("of who joins nothing is heard but READY and its share") {
  Ending r(1);
  const ReplicaId link = 4 + 3;
  r.forget();
  r.from(link, r.prepare(2, r.proposal(0, 1).proposal));
  r.from(link, messages::FetchHistory{0});
  r.from(link, messages::PeerStatus{});
  r.from(link, Hello{{1}, 1});
  messages::SessionOpen open{r.client->public_key(), {9}, Restarted::kWall + 1'000'000};
  r.from(link, messages::Forward{messages::sign_session_open(*r.client, r.cluster_id, open)});
  r.sync_all();
  CHECK(r.told<messages::HistoryData>().empty());
  CHECK(r.told<HelloReply>().empty());
  CHECK(r.core->pending() == 0);
  r.from(link, messages::Forward{messages::sign_ready(r.joining, r.cluster_id,
                                                      {r.next.hash(), r.joining.public_key(), 1})});
  CHECK(r.core->pending() == 1);
}

namespace {

// The same replica in the next epoch, on the disk of the last one.
struct Next : Restarted {
  explicit Next(const Ending& ended) : Restarted(ended.self_id) {
    config = ended.next;
    epoch_start = kEnd;
    signers[3] = std::make_unique<sim::IdealSigner>(PublicKey{4});
    disk = ended.disk;
    stored = *ended.machine;
  }
};

}  // namespace

TEST_CASE("an epoch begins in view 0 with nothing of the last one") {
  Ending ended(2);
  for (const ReplicaId peer : {0U, 1U, 3U}) ended.from(peer, ended.view_change(peer, 3));
  ended.sync_all();
  REQUIRE(ended.core->view() == 3);
  Next r(ended);
  r.start_and_hear();
  CHECK(r.halts.empty());
  CHECK(r.core->view() == 0);
  CHECK(r.core->active());
  CHECK(r.votes());
  // Logged before anything else of this epoch, and in front of every state group.
  const auto marks = [](const std::vector<Record>& records) {
    return std::ranges::count(records, RecordKind::epoch, &Record::kind);
  };
  CHECK(marks(r.disk.records) == 1);
  CHECK(r.core->control_state().front().kind == RecordKind::epoch);
  r.power_cut();
  r.start_and_hear();
  CHECK(marks(r.disk.records) == 1);
  CHECK(r.core->view() == 0);
}

TEST_CASE("a view change of the new epoch starts where the epoch starts") {
  Ending ended(1);
  ended.finish();
  Next r(ended);
  r.start_and_hear();
  CHECK(r.core->certified_seq() == kEnd);
  for (const ReplicaId peer : {0U, 2U}) r.from(peer, r.view_change(peer, 1));
  r.sync_all();
  REQUIRE_FALSE(r.said<ViewChange>().empty());
  const ViewChange vc = r.said<ViewChange>().back();
  CHECK_FALSE(vc.base);
  CHECK(vc.base_seq(kEnd) == kEnd);
  CHECK(messages::verify_view_change(r.verifier, r.context(), r.config, vc));
  // A batch behind the start is prepared in the new view, and survives the next change.
  const NewView nv = r.enter(2);
  CHECK(nv.base_seq == kEnd);
  const Proposal p = r.prepare_batch(2, kEnd + 1);
  for (const ReplicaId peer : {0U, 2U}) r.from(peer, r.view_change(peer, 5));
  r.sync_all();
  REQUIRE(r.said<ViewChange>().back().prepared.size() == 1);
  CHECK(r.said<ViewChange>().back().prepared[0].proposal == p);
  CHECK(r.halts.empty());
}

TEST_CASE("the first primary of an epoch begins it with a batch of its own") {
  Ending ended(1);  // primary of view 0 of epoch 1
  ended.finish();
  Next r(ended);
  REQUIRE(r.config.primary(0) == 1);
  r.start_and_hear();
  REQUIRE(r.said<PrePrepare>().size() == 1);
  CHECK(r.said<PrePrepare>()[0].proposal.seq == kEnd + 1);
}

TEST_CASE("who missed the end of the last epoch fetches the state, and executes nothing before") {
  Ending ended(1);
  ended.commit_batch(0, 1);
  Next r(ended);
  r.start_and_hear();
  CHECK(r.transfers == std::vector<Seq>{kEnd});
  CHECK(r.machine->executed_seq() == 1);
  CHECK(r.halts.empty());
}

TEST_CASE("a STATUS from before the epoch is not answered with a certificate that is not there") {
  Ending ended(2);
  ended.finish();
  Next r(ended);
  r.start_and_hear();
  r.forget();
  r.from(0, messages::PeerStatus{});
  CHECK(r.told<messages::RootCert>().empty());
  CHECK(r.halts.empty());
}
