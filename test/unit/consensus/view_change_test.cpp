// View changes, schedule by schedule (protocol §5.8): several cores driven by hand, with the test
// in the place of whoever misbehaves. What needs no number of replicas runs with four and seven.
#include "hand.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::Reason;

namespace {

std::set<ReplicaId> all_but(std::uint32_t n, std::set<ReplicaId> without) {
  std::set<ReplicaId> ids;
  for (ReplicaId r = 0; r < n; ++r)
    if (!without.contains(r)) ids.insert(r);
  return ids;
}

// The primary of view 0 proposes nothing and is otherwise correct.
bool from_silent_primary(const Mail& m) {
  const auto* p = m.get<PrePrepare>();
  return p != nullptr && p->proposal.view == 0 && m.from == 0;
}

// VIEW-CHANGEs to `view` of the first Q replicas that are not `without`.
std::vector<ViewChange> votes_for(const Hand& h, View view, ReplicaId without) {
  std::vector<ViewChange> votes;
  for (ReplicaId r = 0; votes.size() < h.config.quorum(); ++r)
    if (r != without) votes.push_back(h.view_change(r, view));
  return votes;
}

}  // namespace

TEST_CASE("T5.1 bases that differ by more than a window: the highest counts, it proves itself") {
  Hand h(4, {2});
  const messages::RootCert base = h.certificate(3 * limits::kWindow);
  const std::vector<ViewChange> votes = {h.view_change(0, 1, base), h.view_change(1, 1),
                                         h.view_change(3, 1)};
  for (const ViewChange& vc : votes) h.send(vc.replica, 2, vc);
  h.send(1, 2, h.new_view(1, votes));
  CHECK(h.core(2).active());
  CHECK(h.core(2).view() == 1);
  CHECK(h.core(2).certified_seq() == base.body.seq);
}

TEST_CASE("T5.2 a new primary sends one NEW-VIEW per view, whatever leads it there") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n);
    h.pass = [](Mail& m) { return !from_silent_primary(m); };
    for (ReplicaId r = 0; r < n; ++r) h.submit(r, h.open());
    REQUIRE(h.run_until([&] { return h.common_view() == View{1}; }, 10 * kSecond));
    // All that led there comes once more.
    for (ReplicaId r = 0; r < n; ++r)
      if (r != 1) h.send(r, 1, h.view_change(r, 1));
    h.run(2 * kSecond);
    CHECK(h.sent_new_views[1] == 1);
    for (ReplicaId r = 0; r < n; ++r)
      if (r != 1) CHECK(h.sent_new_views[r] == 0);
    CHECK(h.executed_by_all(1));
    CHECK(h.common_view() == View{1});
  }
}

TEST_CASE("T5.3 O covers exactly what lies above the base, up to the highest entry") {
  const Hand h(4, {0});
  for (Seq base = 0; base <= 2; ++base)
    for (std::uint32_t seqs = 0; seqs < 32; ++seqs) {  // bit i: an entry at base + 1 + i
      std::vector<messages::PreparedCert> entries;
      Seq highest = base;
      for (Seq i = 0; i < 5; ++i)
        if ((seqs >> i & 1) != 0) {
          highest = base + 1 + i;
          entries.push_back(h.prepared({0, highest, Hash{static_cast<std::uint8_t>(i + 1)}}));
        }
      const auto cert = base == 0 ? std::nullopt : std::optional(h.certificate(base));
      // A vote with an older base and entries at and below the highest base must not matter.
      const std::vector<ViewChange> votes = {
          h.view_change(0, 1, cert, entries), h.view_change(1, 1),
          h.view_change(2, 1, std::nullopt, {h.prepared({0, std::max<Seq>(base, 1), Hash{99}})})};
      const auto plan = plan_reproposals(
          h.context(), base == 0 ? std::vector<const ViewChange*>{&votes[0], &votes[1]}
                                 : std::vector<const ViewChange*>{&votes[0], &votes[1], &votes[2]});
      REQUIRE(plan.has_value());
      CHECK(plan->base_seq == base);
      REQUIRE(plan->digests.size() == highest - base);
      for (Seq s = base + 1; s <= highest; ++s) {
        REQUIRE(plan->digests.contains(s));
        const bool entry = (seqs >> (s - base - 1) & 1) != 0;
        CHECK(plan->digests.at(s) == (entry ? Hash{static_cast<std::uint8_t>(s - base)}
                                            : messages::batch_digest(h.context(), Batch::null(s))));
      }
    }
}

TEST_CASE("T5.4 committed at one replica that is then cut off: every later view keeps the batch") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n);
    // Everybody prepares; the COMMITs arrive at the last replica alone.
    const ReplicaId lucky = n - 1;
    bool cut = false;
    h.pass = [&](Mail& m) {
      if (cut && (m.from == lucky || m.to == lucky)) return false;
      const auto* commit = m.get<messages::Commit>();
      return commit == nullptr || commit->proposal.view != 0 || m.to == lucky;
    };
    for (ReplicaId r = 0; r < n; ++r) h.submit(r, h.open());
    REQUIRE(h.run_until([&] { return h.machine(lucky).executed_seq() == 1; }, kSecond));
    for (ReplicaId r = 0; r < lucky; ++r) REQUIRE(h.machine(r).executed_seq() == 0);
    cut = true;
    REQUIRE(h.run_until(
        [&] {
          for (ReplicaId r = 0; r < lucky; ++r)
            if (h.core(r).view() == 0 || h.machine(r).executed_seq() < 1) return false;
          return true;
        },
        60 * kSecond));
    h.pass = nullptr;
    REQUIRE(h.run_until([&] { return h.common_view().has_value() && h.core(lucky).view() > 0; },
                        60 * kSecond));
    h.open_session(1);
    for (ReplicaId r = 0; r < n; ++r)
      CHECK(h.machine(r).history_hash() == h.machine(lucky).history_hash());
    CHECK(h.halted.empty());
  }
}

TEST_CASE("T5.6 a NEW-VIEW that names what nobody has costs T_newview and no more") {
  Hand h(4, all_but(4, {1}));
  for (const ReplicaId r : h.live()) h.send(1, r, h.view_change(1, 1));
  h.pass = [&](Mail& m) { return !from_silent_primary(m); };
  for (const ReplicaId r : h.live()) h.submit(r, h.open());
  REQUIRE(h.run_until(
      [&] { return h.core(0).view() == 1 && h.core(2).view() == 1 && h.core(3).view() == 1; },
      10 * kSecond));
  NewView nv;
  nv.view = 1;
  for (ReplicaId r : {0U, 1U, 2U}) nv.votes.push_back({r, Hash{static_cast<std::uint8_t>(r + 1)}});
  h.sign(nv);
  for (const ReplicaId r : h.live()) h.send(1, r, nv);
  CHECK(h.run_until([&] { return h.common_view() == View{2}; }, 5 * kSecond));
  CHECK(h.run_until([&] { return h.executed_by_all(1); }, kSecond));
}

TEST_CASE("T5.7 proposals that overtake their NEW-VIEW are voted on once it is entered") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n, {2});
    const std::vector<ViewChange> votes = votes_for(h, 1, 2);
    std::vector<PrePrepare> early;
    for (Seq s = 1; s <= EarlyProposals::kMaxPerSender + 4; ++s)
      early.push_back(h.propose(1, h.batch(s)));
    h.send(1, 2, early[0]);  // while view 0 is active
    for (const ViewChange& vc : votes) h.send(vc.replica, 2, vc);
    for (std::size_t i = 1; i < early.size(); ++i) h.send(1, 2, early[i]);  // while none is
    h.send(3, 2, h.propose(3, h.batch(1)));  // another view's take nobody's room
    h.deliver();
    h.outside.clear();
    h.send(1, 2, h.new_view(1, votes));
    h.deliver();
    std::set<Seq> voted;
    for (const messages::Prepare& p : h.take_outside<messages::Prepare>()) {
      CHECK(p.proposal.view == 1);
      CHECK(p.proposal == early[p.proposal.seq - 1].proposal);
      voted.insert(p.proposal.seq);
    }
    CHECK(voted.size() == EarlyProposals::kMaxPerSender);  // bounded; STATUS brings the others
  }
}

TEST_CASE(
    "T5.7 only the primary of a view can have its proposals kept, and only its newest view's") {
  EarlyProposals early;
  const Hand h(4, {0});
  early.keep(1, h.propose(1, h.batch(1)));
  early.keep(1, h.propose(5, h.batch(1)));
  early.keep(1, h.propose(1, h.batch(2)));
  CHECK(early.take(1, 1).empty());
  CHECK(early.take(1, 5).size() == 1);
  CHECK(early.take(1, 5).empty());
  Hand core(4, {2});
  core.send(3, 2, core.propose(1, core.batch(1)));
  const auto votes = votes_for(core, 1, 2);
  for (const ViewChange& vc : votes) core.send(vc.replica, 2, vc);
  core.deliver();
  core.outside.clear();
  core.send(1, 2, core.new_view(1, votes));
  core.deliver();
  CHECK(core.take_outside<messages::Prepare>().empty());
}

TEST_CASE("T5.8 a VIEW-CHANGE counts for its signature, not for its link") {
  Hand h(4, {2});
  ViewChange forged = h.view_change(3, 1);
  forged.replica = 0;
  h.send(0, 2, forged);
  ViewChange changed = h.view_change(1, 1);
  changed.reason = Reason::joined;
  h.send(1, 2, changed);
  CHECK(h.core(2).view() == 0);
  // True ones count whoever brings them.
  h.send(3, 2, h.view_change(0, 4));
  h.send(3, 2, h.view_change(1, 5));
  CHECK(h.core(2).view() >= 1);
}

TEST_CASE("T5.9 primaries of several views are silent: the first correct one gets the work done") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n);
    // f silent ones; messages get through only after 30 s.
    const std::uint64_t gst = h.now_us + 30 * kSecond;
    h.pass = [&](Mail& m) {
      const bool silent =
          m.from < h.f() && (m.get<PrePrepare>() != nullptr || m.get<NewView>() != nullptr);
      return h.now_us >= gst && !silent;
    };
    for (ReplicaId r = 0; r < n; ++r) h.submit(r, h.open());
    h.run(29 * kSecond);
    CHECK_FALSE(h.executed_by_all(1));
    CHECK(h.run_until([&] { return h.executed_by_all(1); }, 30 * kSecond));
    CHECK(h.core(n - 1).view() >= h.f());
  }
}

TEST_CASE("T5.10 VIEW-CHANGEs that NEW-VIEW names come from anybody who has them") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n);
    const ReplicaId starved = n - 1;
    // Nobody sends VIEW-CHANGEs of others to the starved one except the last but one; the primary
    // never answers it.
    h.pass = [&](Mail& m) {
      if (from_silent_primary(m)) return false;
      if (m.to != starved) return true;
      if (m.from == 1) return m.get<NewView>() != nullptr;
      const auto* vc = m.get<ViewChange>();
      return vc == nullptr || m.from == starved - 1;
    };
    for (ReplicaId r = 0; r < n; ++r) h.submit(r, h.open());
    CHECK(h.run_until([&] { return h.common_view() == View{1}; }, 20 * kSecond));
  }
}

TEST_CASE("T5.10 every replica is asked for a missing VIEW-CHANGE, not only who named it") {
  Hand h(4, {2});
  const std::vector<ViewChange> votes = {h.view_change(0, 1), h.view_change(1, 1),
                                         h.view_change(3, 1)};
  h.send(0, 2, votes[0]);
  h.send(3, 2, votes[2]);
  h.send(1, 2, h.new_view(1, votes));
  h.outside.clear();
  h.run(500 * kMs);
  std::set<ReplicaId> asked;
  for (const Mail& m : h.outside)
    if (const auto* fetch = m.get<messages::FetchViewChange>()) {
      CHECK(fetch->digest == votes[1].digest());
      asked.insert(m.to);
    }
  CHECK(asked == std::set<ReplicaId>{0, 1, 3});
  h.send(0, 2, votes[1]);
  CHECK(h.core(2).active());
  // Now it hands all of them on itself.
  h.outside.clear();
  h.send(0, 2, messages::FetchViewChange{votes[1].digest()});
  h.deliver();
  CHECK(h.take_outside<ViewChange>().size() == 1);
}

TEST_CASE("T5.11 what was proposed to one replica and not prepared is proposed again") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n);
    // Only the primary gets the item, only replica 1 its proposal; then the primary is gone.
    const messages::Item item = h.open();
    h.pass = [](Mail& m) {
      const auto* p = m.get<PrePrepare>();
      return p == nullptr || p->proposal.view != 0 || (m.from == 0 && m.to == 1);
    };
    h.submit(0, item);
    h.deliver();
    h.crash(0);
    REQUIRE(h.last_status(1).has_value());
    for (const ReplicaId r : h.live()) h.submit(r, h.open(1));  // somebody else is waiting
    const auto executed = [&](ReplicaId r) {
      for (Seq s = 1; s <= h.machine(r).executed_seq(); ++s)
        for (const sim::Outcome& o : h.machine(r).outcomes(s))
          if (o.request_digest == item.digest()) return true;
      return false;
    };
    CHECK(h.run_until(
        [&] {
          const auto ids = h.live();
          return std::ranges::all_of(ids, executed);
        },
        60 * kSecond));
    CHECK(h.core(1).view() >= 1);
  }
}

TEST_CASE("T5.12 one crashed, one gone ahead: the two that are left notice that nothing commits") {
  Hand h(4);
  h.open_session();
  h.run(kSecond);
  h.crash(3);
  // Replica 2 has left view 0; its VIEW-CHANGE reaches nobody.
  bool lost = true;
  h.pass = [&](Mail& m) { return !lost || m.from != 2; };
  for (ReplicaId r : {0U, 1U}) h.send(3, 2, h.view_change(r, 1));
  REQUIRE(h.core(2).view() == 1);
  h.submit(0, h.open(1));  // a proposal, accepted by replica 1, and never committed
  h.deliver();
  REQUIRE(h.core(0).view() == 0);
  REQUIRE(h.run_until(
      [&] {
        return h.last_status(0)->suspects == Reason::proposal_timeout &&
               h.last_status(1)->suspects == Reason::proposal_timeout;
      },
      10 * kSecond));
  lost = false;
  h.pass = nullptr;
  CHECK(h.run_until([&] { return h.common_view().has_value() && h.executed_by_all(2); },
                    30 * kSecond));
}

TEST_CASE("T5.13 another bundle of the same number at the backups is no fault of the primary") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n);
    const Id16 session = h.open_session();
    h.submit(0, h.bundle(session, 1, 1));
    for (ReplicaId r = 1; r < n; ++r) h.submit(r, h.bundle(session, 1, 2));
    h.run(20 * kSecond);
    for (ReplicaId r = 0; r < n; ++r) {
      CHECK(h.core(r).view() == 0);
      CHECK(h.core(r).pending() == 0);
      CHECK(h.machine(r).last_bundle(session) == 1);
    }
  }
}

TEST_CASE("T5.15 a VIEW-CHANGE to one correct replica alone does not drive the targets apart") {
  Hand h(4, all_but(4, {3}));
  bool lost = true;
  h.pass = [&](Mail& m) { return !from_silent_primary(m) && !(lost && m.from == 2); };
  for (const ReplicaId r : h.live()) h.submit(r, h.open());
  // Without replica 2 the other two have no W: the Byzantine one pushes them.
  REQUIRE(h.run_until([&] { return h.last_status(0)->suspects != Reason::none; }, 10 * kSecond));
  for (const ReplicaId r : h.live()) {
    PeerStatus suspects;
    suspects.suspects = Reason::request_timeout;
    h.send(3, r, suspects);
  }
  h.deliver();
  REQUIRE(h.core(2).view() == 1);
  h.send(3, 2, h.view_change(3, 1));
  // It has Q, and goes on; the others have two for 1, and one for 2.
  REQUIRE(h.run_until([&] { return h.core(2).view() == 2; }, 10 * kSecond));
  REQUIRE(h.core(0).view() == 1);
  REQUIRE(h.core(1).view() == 1);
  lost = false;
  CHECK(h.run_until([&] { return h.common_view().has_value() && h.executed_by_all(1); },
                    60 * kSecond));
}

TEST_CASE("T5.16 a named VIEW-CHANGE stays to be had when its sender has sent a higher one") {
  Hand h(4, all_but(4, {3}));
  // The new primary hears of replica 0 only what it needs not; its NEW-VIEW reaches 2 alone.
  h.pass = [&](Mail& m) {
    if (from_silent_primary(m)) return false;
    if (m.to == 1 && m.from == 0) return m.get<ViewChange>() == nullptr;
    return !(m.from == 1 && m.to == 0);
  };
  for (const ReplicaId r : h.live()) h.submit(r, h.open());
  REQUIRE(h.run_until([&] { return h.core(1).view() == 1; }, 10 * kSecond));
  h.send(3, 1, h.view_change(3, 1));
  REQUIRE(h.core(1).active());
  for (const ReplicaId r : h.live()) h.send(3, r, h.view_change(3, 4));
  h.deliver();
  CHECK(h.run_until([&] { return h.common_view() == View{1}; }, 900 * kMs));
  h.pass = [&](Mail& m) { return !from_silent_primary(m); };
  CHECK(h.run_until([&] { return h.executed_by_all(1); }, kSecond));
}

TEST_CASE("T5.18 a client over its limits at the primary alone does not make it suspected") {
  Hand h(4);
  std::vector<Id16> sessions;
  for (std::uint8_t i = 0; i < 24; ++i) sessions.push_back(h.open_session(i));
  // 60 KiB each, and none of them in line: they stay in the primary's queue.
  const auto large = [&](const Id16& session, std::uint64_t number) {
    messages::Bundle b;
    b.session_id = session;
    b.client = h.client->public_key();
    b.bundle_no = number;
    b.valid_until_us = ~0ULL >> 1;
    for (int i = 0; i < 15; ++i) {
      schema::SetXattr set;
      set.name = to_bytes("user.k");
      set.value = Bytes(limits::kMaxXattrValue);
      b.operations.push_back({{}, set});
    }
    return messages::sign_bundle(*h.client, h.cluster_id, b);
  };
  for (std::size_t s = 1; s < sessions.size(); ++s)
    for (std::uint64_t number = 2; number <= limits::kSessionWindow; ++number)
      h.submit(0, large(sessions[s], number));
  const std::size_t full = h.core(0).pending();
  REQUIRE(full < (sessions.size() - 1) * (limits::kSessionWindow - 1));  // it refused some
  h.submit(0, large(sessions[0], 1));
  REQUIRE(h.core(0).pending() == full);
  // What is first in line and known to backups finds room there, sooner or later.
  for (ReplicaId r = 1; r < 4; ++r) h.submit(r, large(sessions[0], 1));
  CHECK(h.run_until([&] { return h.machine(1).last_bundle(sessions[0]) >= 1; }, kSecond));
  h.run(10 * kSecond);
  CHECK(h.common_view() == View{0});
  for (ReplicaId r = 1; r < 4; ++r) CHECK(h.last_status(r)->suspects == Reason::none);
}

TEST_CASE("T5.19 a hole that the primary never fills is noticed, and the next view fills it") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n, all_but(n, {0}));
    const PrePrepare second = h.propose(0, h.batch(2));
    for (const ReplicaId r : h.live()) h.send(0, r, second);
    h.run(500 * kMs);
    for (const ReplicaId r : h.live()) CHECK(h.last_status(r)->slots.at(0).prepared);
    REQUIRE(h.run_until(
        [&] {
          return h.last_status(1)->suspects == Reason::proposal_timeout || h.core(1).view() > 0;
        },
        10 * kSecond));
    CHECK(h.run_until([&] { return h.executed_by_all(2); }, 10 * kSecond));
    CHECK(h.machine(1).outcomes(1).empty());
    CHECK(h.common_view() == View{1});
  }
}

TEST_CASE("T5.22 a NEW-VIEW to one replica that crashes leaves nobody behind") {
  for (const bool relayed : {false, true}) {
    CAPTURE(relayed);
    Hand h(4, all_but(4, {1}));
    // What replica 0 sends does not arrive before it has crashed.
    bool lost = true;
    h.pass = [&](Mail& m) {
      if (from_silent_primary(m)) return false;
      if (m.from != 0) return true;
      // Without relays only its STATUS is left to tell that it is there.
      return m.to == 1 || (!lost && (relayed || m.get<PeerStatus>() != nullptr));
    };
    for (const ReplicaId r : h.live()) h.submit(r, h.open());
    h.send(1, 0, h.view_change(1, 1));
    for (const ReplicaId r : h.live()) {
      PeerStatus suspects;
      suspects.suspects = Reason::request_timeout;
      h.send(1, r, suspects);
    }
    REQUIRE(h.run_until(
        [&] { return h.core(0).view() == 1 && h.core(2).view() == 1 && h.core(3).view() == 1; },
        10 * kSecond));
    // The Byzantine primary makes its NEW-VIEW of what it got.
    std::map<ReplicaId, ViewChange> got;
    for (const ViewChange& vc : h.take_outside<ViewChange>())
      if (vc.new_view == 1) got[vc.replica] = vc;
    REQUIRE(got.contains(0));
    REQUIRE(got.contains(2));
    const std::vector<ViewChange> votes = {got[0], h.view_change(1, 1), got[2]};
    for (const ViewChange& vc : votes) h.send(1, 0, vc);
    h.send(1, 0, h.new_view(1, votes));
    REQUIRE(h.core(0).active());
    h.mail.clear();
    h.crash(0);
    lost = false;
    h.run(3 * kSecond);
    CHECK(h.core(2).view() == 1);  // two do not advance alone
    h.restart(0);
    REQUIRE(h.run_until([&] { return h.core(2).view() >= 2 || h.core(2).active(); }, 10 * kSecond));
    h.pass = [&](Mail& m) { return !from_silent_primary(m); };
    CHECK(h.run_until([&] { return h.common_view().has_value() && h.executed_by_all(1); },
                      60 * kSecond));
  }
}

TEST_CASE("T5.5 strategy 34: a new primary that gives each half another NEW-VIEW splits nobody") {
  Hand h(4, all_but(4, {1}));
  // Seq 1 is prepared at replica 3 alone: no COMMIT gets through, and PREPAREs only to it.
  bool first = true;
  h.pass = [&](Mail& m) {
    if (!first) return true;
    if (const auto* s = m.get<PeerStatus>()) return s == nullptr || m.to == 1;
    return m.get<messages::Commit>() == nullptr &&
           (m.get<messages::Prepare>() == nullptr || m.to == 3);
  };
  const messages::Item item = h.open();
  h.submit(0, item);
  h.deliver();
  const PrePrepare d = [&] {
    const auto proposals = h.take_outside<PrePrepare>();
    REQUIRE(proposals.size() == 1);
    return proposals[0];
  }();
  h.send(1, 3, h.prepare(1, d.proposal));
  h.deliver();
  h.outside.clear();
  // The Byzantine one abets everybody's departure, and builds two sets of votes.
  for (const ReplicaId r : h.live()) {
    PeerStatus suspects;
    suspects.suspects = Reason::request_timeout;
    h.send(1, r, suspects);
  }
  REQUIRE(h.run_until(
      [&] { return h.core(0).view() == 1 && h.core(2).view() == 1 && h.core(3).view() == 1; },
      20 * kSecond));
  std::map<ReplicaId, ViewChange> got;
  for (const ViewChange& vc : h.take_outside<ViewChange>())
    if (vc.new_view == 1) got[vc.replica] = vc;
  REQUIRE(got.size() == 3);
  REQUIRE(got[3].prepared.size() == 1);
  REQUIRE(got[0].prepared.empty());
  REQUIRE(got[2].prepared.empty());
  const ViewChange own = h.view_change(1, 1);
  const std::vector<ViewChange> without = {got[0], own, got[2]};
  const std::vector<ViewChange> with = {own, got[2], got[3]};
  const NewView empty = h.new_view(1, without);
  const NewView full = h.new_view(1, with);
  REQUIRE(empty.proposals.empty());
  REQUIRE(full.proposals.size() == 1);
  for (const ViewChange& vc : without) h.send(1, 0, vc);
  h.send(1, 0, empty);
  for (const ReplicaId r : {2U, 3U}) {
    for (const ViewChange& vc : with) h.send(1, r, vc);
    h.send(1, r, full);
  }
  // Another batch for seq 1 where O has none, and its COMMIT for both.
  const PrePrepare other = h.propose(1, h.batch(1, {}, 5));
  h.send(1, 0, other);
  first = false;
  for (const ReplicaId r : h.live()) {
    h.send(1, r, messages::Commit{r == 0 ? other.proposal : Proposal{1, 1, d.proposal.digest}});
    if (r != 0) h.send(1, r, messages::Commit{{1, 1, d.proposal.digest}});
  }
  h.run(60 * kSecond);
  CHECK(h.halted.empty());
  CHECK(h.executed_by_all(1));
  for (const ReplicaId r : h.live())
    CHECK(h.machine(r).history_hash() == h.machine(0).history_hash());
}

TEST_CASE("strategy 35: an invalid NEW-VIEW is suspected at once, without waiting for T_newview") {
  enum class Defect { omits_entry, nulls_entry, extra_entry, other_base, unsigned_entry, bad_vote };
  for (const Defect defect : {Defect::omits_entry, Defect::nulls_entry, Defect::extra_entry,
                              Defect::other_base, Defect::unsigned_entry, Defect::bad_vote}) {
    CAPTURE(static_cast<int>(defect));
    Hand h(4, {2, 3});
    // Prepared at 2 and 3, not committed; both are on their way to view 1.
    const PrePrepare first = h.propose(0, h.batch(1));
    for (const ReplicaId r : h.live()) h.send(0, r, first);
    h.deliver();
    for (const ReplicaId r : h.live())
      for (const ReplicaId other : {0U, 1U}) h.send(other, r, h.view_change(other, 1));
    h.deliver();
    std::map<ReplicaId, ViewChange> got;
    for (const ViewChange& vc : h.take_outside<ViewChange>()) got[vc.replica] = vc;
    REQUIRE(got[2].prepared.size() == 1);
    REQUIRE(got[3].prepared.size() == 1);

    std::vector<ViewChange> votes = {h.view_change(0, 1), got[2], got[3]};
    if (defect == Defect::bad_vote) {
      messages::PreparedCert broken = got[2].prepared[0];
      broken.signatures[0][0] ^= 1;
      votes[0] = h.view_change(0, 1, std::nullopt, {broken});
    }
    NewView nv = h.new_view(1, votes);
    const auto entry = [&](Seq seq, const Hash& digest) {
      const Proposal p{1, seq, digest};
      return messages::Reproposal{seq, digest,
                                  messages::sign_pre_prepare(h.signer(1), h.context(), p)};
    };
    if (defect == Defect::omits_entry) nv.proposals.clear();
    if (defect == Defect::nulls_entry)
      nv.proposals = {entry(1, messages::batch_digest(h.context(), Batch::null(1)))};
    if (defect == Defect::extra_entry) nv.proposals.push_back(entry(2, Hash{8}));
    if (defect == Defect::other_base) {
      nv.base_seq = 1;
      nv.proposals.clear();
    }
    if (defect == Defect::unsigned_entry) nv.proposals[0].signature[0] ^= 1;
    h.sign(nv);
    const std::uint64_t begin = h.now_us;
    for (const ReplicaId r : h.live()) {
      h.send(1, r, nv);
      for (const ViewChange& vc : votes) h.send(1, r, vc);
    }
    CHECK(h.run_until([&] { return h.core(2).view() >= 2 && h.core(3).view() >= 2; }, 500 * kMs));
    CHECK(h.now_us - begin < kSecond);
  }
}

TEST_CASE("the primary of a pending view that says that it leaves is not waited for") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n, all_but(n, {0, 1}));
    for (const ReplicaId r : h.live()) h.send(1, r, h.view_change(1, 5));
    CHECK(h.core(2).view() == 0);
    for (const ReplicaId r : h.live()) h.send(0, r, h.view_change(0, 1));
    h.deliver();
    h.run(100 * kMs);
    for (const ReplicaId r : h.live()) CHECK(h.core(r).view() >= 2);
  }
}

TEST_CASE("T_newview doubles with every view that fails, up to a minute") {
  const std::uint32_t n = 31;
  Hand h(n, {30});
  std::vector<std::uint64_t> seconds;
  for (View v = 1; v <= 9; ++v) {
    for (ReplicaId r = 0; r < h.config.quorum(); ++r)
      if (r != h.config.primary(v)) h.send(r, 30, h.view_change(r, v));
    REQUIRE(h.core(30).view() == v);
    const std::uint64_t begin = h.now_us;
    REQUIRE(h.run_until([&] { return h.core(30).view() > v; }, 100 * kSecond));
    seconds.push_back((h.now_us - begin + kSecond / 2) / kSecond);
  }
  CHECK(seconds == std::vector<std::uint64_t>{1, 2, 4, 8, 16, 32, 60, 60, 60});
}
