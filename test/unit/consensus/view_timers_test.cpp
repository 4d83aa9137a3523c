// What the timers of a view notice, and what they must not take for a fault (protocol §5.4): cores
// driven by hand, with the test in the place of whoever misbehaves.
#include "hand.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::Reason;

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

TEST_CASE("T5.13 nor is one that can never be executed, because the other closed the session") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    Hand h(n);
    const Id16 session = h.open_session();
    h.submit(0, h.bundle_of(session, 1, {{{}, schema::CloseSession{}}}));
    for (ReplicaId r = 1; r < n; ++r) h.submit(r, h.bundle(session, 1));
    h.run(20 * kSecond);
    for (ReplicaId r = 0; r < n; ++r) {
      CHECK(h.core(r).view() == 0);
      CHECK(h.core(r).pending() == 0);
    }
    h.open_session(1);
  }
}

TEST_CASE("T5.18 a client over its limits at the primary alone does not make it suspected") {
  Hand h(4);
  std::vector<Id16> sessions;
  for (std::uint8_t i = 0; i < 24; ++i) sessions.push_back(h.open_session(i));
  // 60 KiB each, and none of them in line: they stay in the primary's queue.
  const auto large = [&](const Id16& session, std::uint64_t number) {
    schema::SetXattr set;
    set.name = to_bytes("user.k");
    set.value = Bytes(limits::kMaxXattrValue);
    return h.bundle_of(session, number, std::vector<schema::Operation>(15, {{}, set}));
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

namespace {

// From the silence of this view's primary until the others are in the next one.
std::uint64_t patience_with_silent_primary(Hand& h) {
  const View view = *h.common_view();
  const ReplicaId primary = h.config.primary(view);
  h.crash(primary);
  for (const ReplicaId r : h.live()) h.submit(r, h.open(static_cast<std::uint8_t>(100 + view)));
  const std::uint64_t begin = h.now_us;
  REQUIRE(h.run_until([&] { return h.common_view() > view; }, 120 * kSecond));
  return h.now_us - begin;
}

}  // namespace

TEST_CASE("restarts of primaries do not lengthen the patience with the next one that fails") {
  Hand h(4);
  h.open_session();
  for (View v = 0; v < 8; ++v) {
    REQUIRE(h.common_view() == v);
    const ReplicaId primary = h.config.primary(v);
    h.crash(primary);
    h.restart(primary);
    REQUIRE(h.run_until([&] { return h.common_view() > v; }, 5 * kSecond));
  }
  CHECK(patience_with_silent_primary(h) < 2 * kSecond);
}

TEST_CASE("a primary that leaves for another reason than a restart does lengthen it") {
  Hand h(7, all_but(7, {0}));
  ViewChange vc = h.view_change(0, 1);
  vc.reason = Reason::new_view_timeout;
  messages::sign_view_change(h.signer(0), h.context(), vc);
  for (const ReplicaId r : h.live()) h.send(0, r, vc);
  REQUIRE(h.run_until([&] { return h.common_view() == View{1}; }, 5 * kSecond));
  CHECK(patience_with_silent_primary(h) >= 2 * kSecond);
}
