// Whether a replica that starts may vote: HELLO, what fences and what does not (protocol §3.5,
// §3.6).
#include "restart.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::SignedProposal;

namespace {

constexpr std::uint64_t kStatusBusy = Timing{}.status_busy;
constexpr std::uint64_t kStatusIdle = Timing{}.status_idle;

// Replica 2 of four, in view 0: batch 1 is certified, 2 prepared, 3 voted for; all of it durable.
struct Backup : Restarted {
  Backup() : Restarted(2) {
    start_and_hear();
    commit_batch(0, 1);
    certify_newest();
    prepare_batch(0, 2);
    from(0, proposal(0, 3));
    sync_all();
    REQUIRE(core->certified_seq() == 1);
    REQUIRE(votes());
    power_cut();
  }

  // Peer 1 shows this at the next start.
  bool fences(const HighestStatements& shown) {
    start();
    hear(1, shown);
    return fenced();
  }
};

// What a peer may show that replica 2, or the primary of the view, has signed.
HighestStatements prepare_of(const Restarted& r, const Proposal& p) {
  HighestStatements s;
  s.prepare = r.prepare(2, p);
  return s;
}
HighestStatements pre_prepare_of(const Restarted& r, const Proposal& p) {
  HighestStatements s;
  s.pre_prepare =
      SignedProposal{p, messages::sign_pre_prepare(r.primary_key(p.view), r.context(), p)};
  return s;
}
HighestStatements view_change_of(const Restarted& r, View view) {
  HighestStatements s;
  s.view_change = r.view_change(2, view);
  return s;
}
HighestStatements new_view_of(const Restarted& r, View view) {
  HighestStatements s;
  s.new_view =
      r.new_view(view, {r.view_change(0, view), r.view_change(1, view), r.view_change(3, view)});
  return s;
}
HighestStatements commit_of(View view, Seq seq) {
  HighestStatements s;
  s.commit = Proposal{view, seq, {}};
  return s;
}

}  // namespace

TEST_CASE("a store that starts votes once 2f peers have answered, at its first start too") {
  Restarted r(1);
  r.start();
  CHECK(r.said<Hello>().size() == 3);
  const auto tempted = [&] {
    r.from(0, r.proposal(0, 1));
    r.tick(kStatusBusy);
    return r.votes_said() > 0 || !r.disk.records.empty();
  };
  CHECK_FALSE(tempted());
  r.hear(0);
  CHECK_FALSE(tempted());
  r.hear(0);                           // counts once
  r.from(2, HelloReply{{77}, 0, {}});  // to another start
  CHECK_FALSE(tempted());
  CHECK_FALSE(r.votes());
  CHECK(r.core->standing_text().find("1 of 2 peers") != std::string::npos);
  r.hear(2);
  CHECK(r.votes());
  CHECK(r.core->standing_text().empty());
  r.from(0, r.proposal(0, 1));
  r.sync_all();
  CHECK(r.said<Prepare>().size() == 1);
}

TEST_CASE("who has not answered is asked again, before the vote and after") {
  Restarted r(1);
  r.start();
  const auto asked = [&](std::uint64_t after) {
    r.forget();
    r.tick(after);
    return r.told<Hello>();
  };
  CHECK(asked(kStatusBusy - 1).empty());
  CHECK(asked(1) == std::set<ReplicaId>{0, 2, 3});
  r.hear(0);
  CHECK(asked(kStatusBusy) == std::set<ReplicaId>{2, 3});
  r.hear(3);
  CHECK(r.votes());
  CHECK(asked(kStatusIdle) == std::set<ReplicaId>{2});
  r.hear(2);
  CHECK(asked(kStatusIdle).empty());
}

TEST_CASE("HELLO is answered in every state") {
  Backup r;
  const auto answers = [&] {
    r.forget();
    r.now_us += kStatusBusy;
    r.from(3, Hello{{9}, 1});
    const auto replies = r.said<HelloReply>();
    return replies.size() == 1 && replies[0].nonce == Id16{9};
  };
  r.start();
  CHECK(answers());  // asking: replicas that start together do not wait for each other
  r.hear_all();
  CHECK(answers());
  r.step(event::Space{false});
  CHECK(answers());
  r.step(event::Space{true});
  r.from(0, r.view_change(0, 1));
  CHECK_FALSE(r.core->active());
  CHECK(answers());
  r.power_cut();
  REQUIRE(r.fences(prepare_of(r, {0, 9, {}})));
  CHECK(answers());
  // At most one per half a STATUS period: an answer may be large.
  r.from(3, Hello{{9}, 1});
  CHECK(r.said<HelloReply>().size() == 1);
}

TEST_CASE("a peer is shown the highest of each kind, after a restart what the log proves") {
  Restarted r(3);
  r.start_and_hear();
  r.commit_batch(0, 1);
  r.commit_batch(0, 2);
  r.from(2, r.view_change(2, 5));
  r.enter(1);
  std::uint8_t nonce = 0;
  const auto shown = [&](ReplicaId to, std::uint64_t incarnation) {
    r.forget();
    r.now_us += kStatusBusy;
    r.from(to, Hello{{++nonce}, incarnation});
    const auto replies = r.said<HelloReply>();
    REQUIRE(replies.size() == 1);
    return replies[0];
  };
  HelloReply to0 = shown(0, 4);
  CHECK(to0.incarnation == 0);  // what was heard before
  CHECK(to0.yours.pre_prepare->proposal.seq == 2);
  CHECK(to0.yours.commit->seq == 2);
  CHECK_FALSE(to0.yours.prepare);
  CHECK(shown(0, 2).incarnation == 4);
  HelloReply to1 = shown(1, 1);
  CHECK(to1.yours.new_view->view == 1);
  REQUIRE(to1.yours.prepare);
  CHECK(to1.yours.prepare->proposal.seq == 2);
  CHECK(shown(2, 1).yours.view_change->new_view == 5);

  r.sync_all();
  r.power_cut();
  r.start();
  to0 = shown(0, 5);
  CHECK(to0.yours.pre_prepare->proposal.seq == 2);
  CHECK_FALSE(to0.yours.commit);  // not in any log
  to1 = shown(1, 1);
  CHECK(to1.yours.new_view->view == 1);
  REQUIRE(to1.yours.prepare);  // one of 2f in the P-entry
  CHECK(to1.yours.prepare->proposal.seq == 2);
  CHECK(messages::signed_by(r.verifier, r.context(), r.config, 1, *to1.yours.prepare));
}

TEST_CASE("T3.9 a PREPARE that the log must hold and does not") {
  Backup r;
  CHECK_FALSE(r.fences(prepare_of(r, {0, 3, r.proposal(0, 3).proposal.digest})));  // it does
  r.power_cut();
  CHECK_FALSE(r.fences(prepare_of(r, {0, 1, Hash{5}})));  // certified: nothing depends on it
  r.power_cut();
  SUBCASE("for a number that it never saw") { CHECK(r.fences(prepare_of(r, {0, 4, {}}))); }
  SUBCASE("for another batch than it voted for") {
    CHECK(r.fences(prepare_of(r, {0, 3, Hash{5}})));
  }
  SUBCASE("in a view that it never entered") { CHECK(r.fences(prepare_of(r, {1, 1, {}}))); }
}

TEST_CASE("T3.9 a VIEW-CHANGE above every view that the log has left, a NEW-VIEW, a PRE-PREPARE") {
  Backup r;
  SUBCASE("VIEW-CHANGE") { CHECK(r.fences(view_change_of(r, 1))); }
  SUBCASE("NEW-VIEW") { CHECK(r.fences(new_view_of(r, 2))); }
  SUBCASE("PRE-PREPARE of a view that it never entered") {
    CHECK(r.fences(pre_prepare_of(r, {2, 1, {}})));
  }
  SUBCASE("what the log explains") {
    r.start();
    r.hear(0);
    r.hear(3);
    r.enter(1);
    r.sync_all();
    r.from(0, r.view_change(0, 2));
    r.from(1, r.view_change(1, 2));
    r.sync_all();
    const auto own = r.said<ViewChange>();
    REQUIRE(own.back().new_view == 2);
    r.power_cut();
    HighestStatements all = view_change_of(r, 2);
    all.view_change = own.back();
    all.prepare = r.prepare(2, {0, 50, {}});  // of a view that was left before
    CHECK_FALSE(r.fences(all));
    r.power_cut();
    CHECK(r.fences(view_change_of(r, 3)));
  }
}

TEST_CASE("W peers that name a COMMIT without a P-entry fence, one may lie") {
  Backup r;
  r.start();
  r.hear(0, commit_of(0, 2));  // the P-entry is there
  r.hear(1, commit_of(0, 3));  // voted for, never prepared: a lie, or a loss
  CHECK(r.votes());
  SUBCASE("one") {
    r.hear(3, commit_of(0, 1));  // certified
    CHECK(r.votes());
  }
  SUBCASE("two") {
    r.hear(3, commit_of(1, 2));  // prepared, but in an older view
    CHECK(r.fenced());
  }
}

TEST_CASE("whoever never entered a view has signed nothing") {
  Restarted r(2);
  r.start();
  SUBCASE("PREPARE") { r.hear(1, prepare_of(r, {0, 1, {}})); }
  SUBCASE("COMMIT") {
    r.hear(1, commit_of(0, 1));
    r.hear(3, commit_of(0, 1));
  }
  CHECK(r.fenced());
  Restarted primary(0);
  primary.start();
  primary.hear(1, pre_prepare_of(primary, {0, 1, {}}));
  CHECK(primary.fenced());
}

TEST_CASE("T3.16 power cut of the primary between its PRE-PREPARE and the disk write: not fenced") {
  Restarted r(0);
  r.start_and_hear();
  r.submit_open();
  REQUIRE(r.said<PrePrepare>().size() == 1);
  const Proposal sent = r.said<PrePrepare>()[0].proposal;
  r.power_cut();
  CHECK(r.disk.records.size() == 1);  // ENTERED

  r.forget();
  r.start();
  for (ReplicaId peer : {1U, 2U, 3U}) r.hear(peer, pre_prepare_of(r, sent));
  CHECK(r.votes());
  // It does not know what it proposed, so it proposes nothing more in this view.
  r.submit_open();
  r.sync_all();
  CHECK(r.said<PrePrepare>().empty());
  REQUIRE(r.said<ViewChange>().size() == 1);
  CHECK(r.said<ViewChange>()[0].new_view == 1);
  r.check_never_contradicted();
}

TEST_CASE(
    "a PRE-PREPARE beyond what a durable certificate explains: a loss, and never a false one") {
  Restarted r(0);
  r.start_and_hear();
  SUBCASE("the window") {
    r.from(1, r.certificate(1));
    r.sync_all();
    r.power_cut();
    r.start();
    r.hear(1, pre_prepare_of(r, {0, 1 + limits::kWindow, {}}));
    CHECK_FALSE(r.fenced());
    r.hear(2, pre_prepare_of(r, {0, 2 + limits::kWindow, {}}));
    CHECK(r.fenced());
  }
  SUBCASE("it leaves only when the certificate is durable") {
    r.follow_history(limits::kWindow + 10);
    r.submit_open();
    CHECK(r.said<PrePrepare>().empty());
    r.sync();
    CHECK(r.said<PrePrepare>().size() == 1);
  }
  SUBCASE("within it waits for nothing") {
    r.follow_history(limits::kWindow - 10);
    r.submit_open();
    CHECK(r.said<PrePrepare>().size() == 1);
  }
}

TEST_CASE("strategy 46: what the replica did not sign itself is ignored") {
  Backup r;
  r.start();
  HighestStatements lies = prepare_of(r, {7, 7, {}});
  lies.prepare->signature[0] ^= 1;
  lies.pre_prepare = pre_prepare_of(r, {2, 7, {}}).pre_prepare;
  lies.pre_prepare->proposal.seq += 1;
  lies.view_change = view_change_of(r, 9).view_change;
  lies.view_change->reason = messages::Reason::joined;
  lies.new_view = new_view_of(r, 6).new_view;
  lies.new_view->base_seq += 1;
  r.hear(1, lies);
  CHECK_FALSE(r.fenced());
  HighestStatements of_others;
  of_others.prepare = r.prepare(3, {7, 7, {}});
  of_others.pre_prepare = pre_prepare_of(r, {7, 7, {}}).pre_prepare;
  of_others.view_change = r.view_change(3, 9);
  of_others.new_view = new_view_of(r, 7).new_view;
  r.hear(3, of_others);
  CHECK_FALSE(r.fenced());
  CHECK(r.votes());
}

TEST_CASE("T3.9 yesterday's data directory: fenced, and it stays fenced") {
  Backup r;
  const Disk yesterday = r.disk;
  r.start_and_hear();
  const Proposal lost = r.prepare_batch(0, 4);
  const std::uint64_t last_start = r.disk.incarnation + 3;
  r.power_cut();

  r.disk = yesterday;
  r.start();
  r.hear(1, prepare_of(r, lost), last_start);
  REQUIRE(r.fenced());
  REQUIRE(r.fence_lines.size() == 1);
  CAPTURE(r.fence_lines[0]);
  CHECK(r.fence_lines[0].find("an old copy") != std::string::npos);
  CHECK(r.fence_lines[0].find("docs/operating.md") != std::string::npos);
  CHECK(r.fence_lines[0].find('\n') == std::string::npos);
  CHECK(r.core->standing_text() == r.fence_lines[0]);

  SUBCASE("the disk knows before anybody else: nobody is told before the record is synced") {
    const std::size_t before = r.said<messages::PeerStatus>().size();
    r.now_us += 1;
    r.sync();
    CHECK(r.said<messages::PeerStatus>().size() == before + 1);
  }
  SUBCASE("a restart asks nobody: the log says it") {
    r.sync();
    r.power_cut();
    r.forget();
    r.start();
    CHECK(r.fenced());
    CHECK(r.fence_lines.size() == 2);
    CHECK(r.told<Hello>().empty());
    r.hear_all();
    CHECK(r.fenced());
  }
  SUBCASE("so does every later segment of the log") {
    const auto state = r.core->control_state();
    CHECK(std::ranges::count(state, RecordKind::fenced, &Record::kind) == 1);
  }
  SUBCASE("cut off before the record was durable, it finds out again") {
    r.power_cut();
    r.start();
    CHECK_FALSE(r.fenced());
    r.hear(1, prepare_of(r, lost));
    CHECK(r.fenced());
  }
}

TEST_CASE("while it asks, nothing changes that could hide a loss from the next start") {
  Backup r;
  const Proposal lost{0, 9, {}};
  r.start();
  const std::size_t before = r.disk.records.size();
  r.from(1, r.certificate(50));
  r.enter(1);
  r.from(0, r.proposal(0, 4));
  r.hear(0);
  CHECK(r.disk.records.size() == before);
  CHECK(r.core->certified_seq() == 1);
  CHECK(r.core->view() == 0);
  r.power_cut();
  CHECK(r.fences(prepare_of(r, lost)));
}

TEST_CASE("who answers after the vote has begun may still show a loss, and no false one") {
  Backup r;
  r.start();
  r.hear(0);
  r.hear(1);
  REQUIRE(r.votes());
  const Proposal given = r.prepare_batch(0, 4);
  SUBCASE("votes of this start are known") {
    HighestStatements shown = prepare_of(r, given);
    shown.commit = given;
    r.hear(3, shown);
    CHECK(r.votes());
  }
  SUBCASE("others are not") {
    r.hear(3, prepare_of(r, {0, 5, {}}));
    CHECK(r.fenced());
  }
}

TEST_CASE("a fenced replica gives no vote, whatever happens; it executes and signs root shares") {
  Backup r;
  SUBCASE("fenced by a peer") { REQUIRE(r.fences(view_change_of(r, 1))); }
  SUBCASE("fenced by its own log") {
    r.start(true);
    REQUIRE(r.fenced());
    CHECK(r.fence_lines.back().find("unreadable") != std::string::npos);
  }
  r.sync_all();
  r.forget();
  const Proposal p2 = r.proposal(0, 2).proposal;
  const PrePrepare next = r.proposal(0, 4);
  r.from(0, next);
  for (ReplicaId peer : {1U, 3U}) r.from(peer, r.prepare(peer, next.proposal));
  for (const Proposal& p : {p2, r.proposal(0, 3).proposal, next.proposal})
    for (ReplicaId peer : {0U, 1U, 3U}) r.from(peer, messages::Commit{p});
  CHECK(r.machine->executed_seq() == 4);
  CHECK(r.said<messages::RootShare>().size() == 3);
  r.certify_newest();
  CHECK(r.core->certified_seq() == 4);

  // It is asked for everything, and its patience is tried.
  messages::PeerStatus poor;
  for (ReplicaId peer : {0U, 1U, 3U}) {
    r.now_us += kStatusIdle;
    r.from(peer, poor);
    r.from(peer, messages::FetchNewView{});
    r.from(peer, messages::FetchPrepared{5});
  }
  r.submit_open();
  r.from(0, r.proposal(0, 5));
  for (int i = 0; i < 40; ++i) r.tick(kStatusIdle);
  for (const auto& status : r.said<messages::PeerStatus>())
    CHECK(status.suspects == messages::Reason::none);
  // It follows to a view, also to one whose primary it is.
  for (ReplicaId peer : {0U, 1U, 3U}) r.from(peer, r.view_change(peer, 2));
  r.enter(3);
  CHECK(r.core->view() == 3);
  r.from(3, r.proposal(3, 5));
  r.sync_all();
  for (int i = 0; i < 40; ++i) r.tick(kStatusIdle);
  r.sync_all();
  CHECK(r.votes_said() == 0);
  CHECK(r.said<messages::PreparedData>().empty());
  CHECK(r.halts.empty());
}

TEST_CASE(
    "without room for the log: no vote, no record, reads and peers are served; then it goes on") {
  Backup r;
  r.start_and_hear();
  const std::size_t before = r.disk.records.size();
  r.step(event::Space{false});
  r.forget();
  r.from(0, r.proposal(0, 4));
  for (const Proposal& p : {r.proposal(0, 2).proposal, r.proposal(0, 3).proposal})
    for (ReplicaId peer : {0U, 1U, 3U}) r.from(peer, messages::Commit{p});
  for (ReplicaId peer : {0U, 1U, 3U}) r.from(peer, r.view_change(peer, 1));
  for (int i = 0; i < 40; ++i) r.tick(kStatusIdle);
  CHECK(r.disk.records.size() == before);
  CHECK(r.votes_said() == 0);
  CHECK_FALSE(r.votes());
  CHECK_FALSE(r.core->deadline() < r.now_us);  // it does not spin
  r.from(3, messages::FetchHistory{0});
  CHECK(r.said<messages::HistoryData>().size() == 1);

  r.step(event::Space{true});
  CHECK(r.votes());
  r.from(0, r.proposal(0, 4));
  r.sync_all();
  CHECK(r.said<Prepare>().size() == 1);
  r.check_never_contradicted();
}

TEST_CASE("a full disk stops nothing that needs no record: certificates of what was executed") {
  Backup r;
  r.start_and_hear();
  const Proposal p2 = r.proposal(0, 2).proposal;
  for (ReplicaId peer : {0U, 1U, 3U}) r.from(peer, messages::Commit{p2});
  REQUIRE(r.machine->executed_seq() == 2);
  const messages::CertBody body = r.said<messages::RootShare>().back().body;
  r.step(event::Space{false});
  r.from(1, r.certificate(50));
  CHECK(r.core->certified_seq() == 1);
  r.from(1, r.certificate(body));
  CHECK(r.core->certified_seq() == 2);  // so that a flush can let log segments go
}
