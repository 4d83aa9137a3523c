// Ways out of a view and into the next, schedule by schedule (protocol §5.3, §5.8): cores driven by
// hand, with the test in the place of whoever misbehaves. What needs no number of replicas runs
// with four and seven.
#include "hand.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::Reason;

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
