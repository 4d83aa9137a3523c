// The life of sessions (protocol §8.1, §8.3): opening, leases, eviction, tombstones, principals.
#include <doctest/doctest.h>

#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
namespace keys = schema::keys;

namespace {

// Lease time goes on by at most 2 s in a batch: this many batches end a lease.
void idle(World& w, std::uint64_t seconds) {
  for (std::uint64_t i = 0; i < seconds; i += 2) w.run({}, 2 * kSecond);
}

}  // namespace

TEST_CASE_FIXTURE(OneSession, "T8.5 replayed bundles do not keep a dead client's session alive") {
  const Item one = bundle(0, s, 1, {make("a")});
  run({one});
  int replays = 0;
  while (session_record(s)) {
    run({one}, 2 * kSecond);
    REQUIRE(++replays < 60);
  }
  CHECK(replays >= 30);  // no lease is shorter than 60 s
  CHECK(replays <= 34);  // nor longer than 65 s and a step
  CHECK(outcome_of(run({one})) == BundleOutcome::no_session);
}

TEST_CASE_FIXTURE(OneSession, "an expired bundle does not renew the lease, an executed one does") {
  idle(*this, 30);
  const std::uint64_t before = lease_left(s);
  run({bundle(0, s, 1, {make("a")}, {.valid_for_us = 0})});
  CHECK(lease_left(s) < before);
  run({bundle(0, s, 2, {schema::Noop{}})});
  CHECK(lease_left(s) >= limits::kLeaseUs);
  CHECK(lease_left(s) < limits::kLeaseUs + limits::kLeaseGranuleUs);
  CHECK(leaves_under(keys::leases()) == 1);
}

TEST_CASE_FIXTURE(OneSession, "T8.7 leases do not run while the cluster is off") {
  schema::Hold hold;
  hold.ino = result_of(run({bundle(0, s, 1, {make("open")})})).results[0].inode->ino;
  schema::Remove remove;
  remove.name.bytes = to_bytes("open");
  run({bundle(0, s, 2, {hold, remove})});
  REQUIRE(leaves_under(keys::holds(hold.ino)) == 1);

  run({}, kHour);  // one hour without power
  CHECK(session_record(s).has_value());
  CHECK(leaves_under(keys::holds(hold.ino)) == 1);
  CHECK(outcome_of(run({bundle(0, s, 3, {schema::Noop{}})})) == BundleOutcome::done);

  idle(*this, 68);  // the client is dead: its hold goes after one lease
  CHECK_FALSE(session_record(s).has_value());
  CHECK(leaves_under(keys::holds(hold.ino)) == 0);
  CHECK(leaves_under(keys::session_prefix(s)) == 0);
  CHECK(leaves_under(keys::leases()) == 0);
}

TEST_CASE("T8.2 after eviction neither the OPEN nor the bundles bring anything back") {
  World w;
  const Item open = w.open_item(0, 1);
  const Executed opened = w.run({open});
  const Id16 s = result_of(opened).session_id;
  const Item one = w.bundle(0, s, 1, {World::make("a")});
  const Item two = w.bundle(0, s, 2, {World::make("b")});
  w.run({one});
  idle(w, 68);
  REQUIRE_FALSE(w.session_record(s).has_value());
  REQUIRE(w.tombstone(s).has_value());
  CHECK(w.tombstone(s)->last_bundle == 1);

  const Executed replay = w.run({open, one, two});
  CHECK(replay.results[0].result == opened.results[0].result);  // the same answer, no session
  CHECK_FALSE(replay.results[0].first_time);
  CHECK(outcome_of(replay, 1) == BundleOutcome::no_session);
  CHECK(outcome_of(replay, 2) == BundleOutcome::no_session);
  CHECK_FALSE(w.session_record(s).has_value());
  CHECK_FALSE(w.exists("b"));

  // When the digest is forgotten, the statement itself is void.
  w.run({}, kHour + kSecond);
  CHECK(w.leaves_under(keys::open_digests()) == 0);
  const Executed late = w.run({open, two});
  CHECK(outcome_of(late, 0) == BundleOutcome::open_refused);
  CHECK(outcome_of(late, 1) == BundleOutcome::no_session);
  CHECK(w.engine.counters()->sessions == 0);
}

TEST_CASE("SESSION-OPEN: who may, until when, and that ids are fresh") {
  World w;
  const auto answer = [&](const Item& item) { return result_of(w.run({item})); };
  CHECK(answer(w.open_item(0, 1, 2 * kHour)).code == Code::invalid);
  CHECK(answer(w.open_item(0, 1, 0)).code == Code::stale_handle);
  CHECK(w.leaves_under(keys::open_digests()) == 0);

  messages::SessionOpen stranger;
  const auto key = test_signer("stranger");
  stranger.client = key->public_key();
  stranger.valid_until_us = w.now + kSecond;
  const BundleResult refused =
      answer(sign_session_open(*key, w.cluster.context.cluster_id, stranger));
  CHECK(refused.outcome == BundleOutcome::open_refused);
  CHECK(refused.code == Code::not_permitted);

  const Item item = w.open_item(0, 2);
  Item signed_again = item;
  signed_again.signature[0] ^= 1;  // its owner can sign the same body in many ways
  const Executed both = w.run({item, signed_again});
  CHECK(both.results[0].first_time);
  CHECK_FALSE(both.results[1].first_time);
  CHECK(result_of(both, 0) == result_of(both, 1));
  CHECK(w.engine.counters()->sessions == 1);
  CHECK(w.engine.principal(w.cluster.clients[0]->public_key())->sessions == 1);
  CHECK(w.open() != result_of(both, 0).session_id);
}

TEST_CASE_FIXTURE(OneSession, "closing: the answer, the tombstone for a day, then nothing") {
  const Item close = bundle(0, s, 1, {schema::CloseSession{}});
  CHECK(outcome_of(run({close, bundle(0, s, 2, {make("late")})}), 0) == BundleOutcome::done);
  CHECK_FALSE(exists("late"));
  CHECK_FALSE(engine.session(s).has_value());
  CHECK(engine.counters()->sessions == 0);
  CHECK(leaves_under(keys::session_prefix(s)) == 0);
  REQUIRE(tombstone(s).has_value());
  CHECK(tombstone(s)->last_bundle == 1);
  CHECK(outcome_of(run({close})) == BundleOutcome::no_session);
  run({}, limits::kTombstoneUs - kSecond);
  CHECK(tombstone(s).has_value());
  run({}, kSecond);
  CHECK_FALSE(tombstone(s).has_value());
  CHECK(leaves_under(keys::tombstone_expiries()) == 0);
}

TEST_CASE("removing a principal ends its sessions in the same batch") {
  World w;
  const Id16 admin = w.open(0);
  const Id16 a = w.open(1);
  const Id16 b = w.open(1);
  const Executed e = w.run({w.bundle(1, a, 1, {World::make("before")}),
                            w.bundle(0, admin, 1, {w.registration(1, true)}),
                            w.bundle(1, b, 1, {World::make("after")}), w.open_item(1, 77)});
  CHECK(outcome_of(e, 0) == BundleOutcome::done);
  CHECK(result_of(e, 1).results[0].code == Code::ok);
  CHECK(outcome_of(e, 2) == BundleOutcome::no_session);
  CHECK(result_of(e, 3).code == Code::not_permitted);
  CHECK(w.exists("before"));
  CHECK_FALSE(w.exists("after"));
  CHECK(w.engine.counters()->sessions == 1);
  CHECK(w.tombstone(a)->last_bundle == 1);
  CHECK(w.engine.session(admin).has_value());

  // Registered again: new sessions, with a right count.
  w.run({w.bundle(0, admin, 2, {w.registration(1, false)})});
  w.open(1);
  CHECK(w.engine.principal(w.cluster.clients[1]->public_key())->sessions == 1);
}

TEST_CASE("a principal removed and registered again in one bundle loses its sessions") {
  World w;
  const Id16 own = w.open(1);
  w.open(1);
  const Executed e =
      w.run({w.bundle(1, own, 1, {w.registration(1, true), w.registration(1, false)})});
  CHECK(outcome_of(e) == BundleOutcome::done);
  CHECK(w.engine.counters()->sessions == 0);
  CHECK(w.engine.principal(w.cluster.clients[1]->public_key())->sessions == 0);
}
