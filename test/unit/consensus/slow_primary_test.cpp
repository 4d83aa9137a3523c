// Primaries that work, but slowly: the throughput floor and the request timeout, with the test as
// the primary of view 0.
#include "hand.hpp"

using namespace bftmeta;
using namespace bftmeta::consensus;
using namespace bftmeta::consensus::testing;
using messages::Reason;

namespace {

// Replica 0 is the test; the others are real, and every client sends to all of them.
struct SlowPrimary {
  explicit SlowPrimary(std::uint32_t n) : h(n, all_but(n, {0})) {
    h.pass = [](Mail& m) { return m.get<PeerStatus>() == nullptr || m.to != 0; };
    for (std::uint8_t i = 0; i < 2; ++i) {
      propose({h.open(i)});
      sessions.push_back(h.session_of(h.open(i), next - 1));
    }
  }

  void propose(std::vector<messages::Item> items) {
    const PrePrepare m = h.propose(0, h.batch(next++, std::move(items)));
    for (ReplicaId r = 1; r < h.n(); ++r) h.send(0, r, m);
    h.deliver();
    h.outside.clear();
  }
  // The client's next bundle of this session, known to all backups.
  messages::Item submit(std::size_t session) {
    const messages::Item item = h.bundle(sessions[session], ++numbers[session]);
    for (ReplicaId r = 1; r < h.n(); ++r) h.submit(r, item);
    h.deliver();
    return item;
  }
  bool left() { return h.core(1).view() != 0; }
  Reason suspicion() const { return h.last_status(1)->suspects; }

  Hand h;
  Seq next = 1;
  std::vector<Id16> sessions;
  std::uint64_t numbers[2] = {0, 0};
};

}  // namespace

TEST_CASE("T5.14 a primary that fills its batches with replayed bundles is slow, not busy") {
  for (const std::uint32_t n : {4U, 7U}) {
    CAPTURE(n);
    SlowPrimary s(n);
    // Forty bundles a second, at once.
    std::vector<messages::Item> old;
    for (int step = 0; step < 14 * 20; ++step) {
      s.h.run(50 * kMs);
      old = {s.submit(0), s.submit(1)};
      s.propose(old);
    }
    REQUIRE_FALSE(s.left());
    CHECK(s.suspicion() == Reason::none);

    // Now one bundle in 400 ms, and as many replays as there were bundles before.
    std::vector<messages::Item> waiting = {s.submit(0), s.submit(1)};
    std::set<Reason> reasons;
    for (int step = 0; step < 10 * 20 && !s.left(); ++step) {
      s.h.run(50 * kMs);
      std::vector<messages::Item> items = old;
      if (step % 8 == 0) {
        const std::size_t session = step / 8 % 2;
        items.push_back(waiting[session]);
        waiting[session] = s.submit(session);
      }
      s.propose(items);
      reasons.insert(s.suspicion());
    }
    CHECK(s.left());
    for (ReplicaId r = 1; r < n; ++r) CHECK(s.h.core(r).view() >= 1);
    CHECK(reasons.contains(Reason::slow_primary));
    CHECK_FALSE(reasons.contains(Reason::request_timeout));
  }
}

TEST_CASE("L4 a primary as fast as ever under the same backlog stays") {
  SlowPrimary s(4);
  std::vector<messages::Item> waiting = {s.submit(0), s.submit(1)};
  for (int step = 0; step < 60 * 20; ++step) {
    s.h.run(50 * kMs);
    if (step % 10 == 0) continue;  // a hiccup now and then
    s.propose(waiting);
    waiting = {s.submit(0), s.submit(1)};
  }
  CHECK_FALSE(s.left());
  CHECK(s.suspicion() == Reason::none);
}

TEST_CASE("T5.20 a primary that delays everything to just under the timeout cannot stretch it") {
  SlowPrimary s(4);
  std::uint64_t delay = 950 * kMs;
  for (std::uint64_t begin = s.h.now_us; s.h.now_us - begin < 3600 * kSecond;) {
    const messages::Item item = s.submit(0);
    s.h.run(delay);
    REQUIRE_FALSE(s.left());
    REQUIRE(s.suspicion() == Reason::none);
    s.propose({item});
    delay = std::min(7 * delay, 7'900 * kMs);
  }
  // One that it leaves out altogether is noticed after the cap.
  s.submit(1);
  CHECK_FALSE(s.h.run_until([&] { return s.suspicion() != Reason::none; }, 7'900 * kMs));
  CHECK(s.h.run_until([&] { return s.suspicion() == Reason::request_timeout; }, 300 * kMs));
}

TEST_CASE("T5.17 serving others, or replaying a session, does not lower a suspicion") {
  SlowPrimary s(4);
  const messages::Item first = s.submit(1);
  s.propose({first});
  // One bundle that only replica 1 knows, and that the primary never proposes.
  const messages::Item starved = s.h.bundle(s.sessions[1], ++s.numbers[1]);
  s.h.submit(1, starved);
  std::set<Reason> before;
  std::set<Reason> after;
  for (int step = 0; step < 40 * 20; ++step) {
    s.h.run(50 * kMs);
    // Commits become slower and slower, which lengthens the timeout, and the session is replayed.
    if (step % 20 == 0) s.propose({s.submit(0), first});
    (s.h.now_us < 3'500 * kMs ? before : after).insert(s.suspicion());
  }
  CHECK(before.contains(Reason::request_timeout));
  CHECK(after == std::set<Reason>{Reason::request_timeout});
  CHECK_FALSE(s.left());  // alone it stays, and votes
  CHECK(s.h.machine(1).executed_seq() == s.next - 1);
  s.propose({starved});
  s.h.run(100 * kMs);
  CHECK(s.suspicion() == Reason::none);
}
