// What becomes of a bundle: exactly once, in order, before its time is over (protocol §8.2).
#include <doctest/doctest.h>

#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
namespace keys = schema::keys;

TEST_CASE_FIXTURE(OneSession, "a bundle executes once; ordered again it has its stored result") {
  const Item one = bundle(0, s, 1, {make("a")});
  const Executed first = run({one});
  CHECK(outcome_of(first) == BundleOutcome::done);
  CHECK(result_of(first).results[0].code == Code::ok);
  CHECK(first.results[0].first_time);
  for (int i = 0; i < 3; ++i) {
    const Executed again = run({one});
    CHECK(again.results[0].result == first.results[0].result);
    CHECK_FALSE(again.results[0].first_time);
    CHECK(again.leaves[0] == first.leaves[0]);
  }
  CHECK(session_record(s)->last_bundle == 1);
  CHECK(engine.counters()->inodes == 2);
}

TEST_CASE("T2.3 a batch with duplicates leaves the state of one without") {
  World with, without;
  const Id16 s = with.open();
  REQUIRE(without.open() == s);
  const Item one = with.bundle(0, s, 1, {World::make("a")});
  const Item two = with.bundle(0, s, 2, {World::make("b")});
  with.run({one});
  without.run({one});
  const Executed a = with.run({one, two});
  const Executed b = without.run({two});
  CHECK(a.header.state_root == b.header.state_root);
  CHECK(a.results[1].result == b.results[0].result);
  CHECK(a.header.reply_root != b.header.reply_root);
}

TEST_CASE_FIXTURE(OneSession,
                  "an equivocating client gets the first bundle's outcome, and is told") {
  run({bundle(0, s, 1, {make("a")})});
  const BundleResult r = result_of(run({bundle(0, s, 1, {make("b")})}));
  CHECK(r.outcome == BundleOutcome::done);
  CHECK(r.code == Code::exists);
  CHECK_FALSE(exists("b"));
}

TEST_CASE_FIXTURE(OneSession, "FIFO: a number that is not the next is skipped, not consumed") {
  std::vector<Item> items;
  for (std::uint64_t no = 1; no <= 4; ++no)
    items.push_back(bundle(0, s, no, {make("f" + std::to_string(no))}));
  const Executed e = run({items[2], items[0], items[1], items[3]});
  CHECK(outcome_of(e, 0) == BundleOutcome::skipped);
  CHECK(outcome_of(e, 1) == BundleOutcome::done);
  CHECK(outcome_of(e, 2) == BundleOutcome::done);
  CHECK(outcome_of(e, 3) == BundleOutcome::skipped);
  CHECK_FALSE(e.results[0].first_time);
  CHECK_FALSE(exists("f3"));
  const Executed chain = run({items[2], items[3]});
  CHECK(outcome_of(chain, 0) == BundleOutcome::done);
  CHECK(outcome_of(chain, 1) == BundleOutcome::done);
  CHECK(exists("f4"));
  CHECK(session_record(s)->last_bundle == 4);
}

TEST_CASE_FIXTURE(OneSession, "T8.5 expiry consumes its number: the chain goes on behind it") {
  const Item one = bundle(0, s, 1, {make("one")});
  const Item two = bundle(0, s, 2, {make("two")}, {.valid_for_us = 500});
  const Item three = bundle(0, s, 3, {make("three")});
  const Executed e = run({one, two, three}, 501);
  CHECK(outcome_of(e, 0) == BundleOutcome::done);
  CHECK(outcome_of(e, 1) == BundleOutcome::expired);
  CHECK(outcome_of(e, 2) == BundleOutcome::done);
  CHECK(exists("three"));
  CHECK_FALSE(exists("two"));
  CHECK(run({two}).results[0].result == e.results[1].result);  // EXPIRED is final
}

TEST_CASE_FIXTURE(OneSession, "a bundle is valid up to and including valid_until") {
  CHECK(outcome_of(run({bundle(0, s, 1, {make("a")}, {.valid_for_us = 500})}, 500)) ==
        BundleOutcome::done);
}

TEST_CASE_FIXTURE(OneSession,
                  "T8.5 an executed bundle ordered after valid_until keeps its outcome") {
  const Item one = bundle(0, s, 1, {make("a")}, {.valid_for_us = kSecond});
  const Executed first = run({one});
  const Executed late = run({one}, 10 * kSecond);
  CHECK(late.results[0].result == first.results[0].result);
  CHECK(outcome_of(late) == BundleOutcome::done);
}

TEST_CASE_FIXTURE(OneSession, "T8.1 past valid_until there is a proof either way") {
  const Item lost = bundle(0, s, 1, {make("a")}, {.valid_for_us = kSecond});
  run({}, 2 * kSecond);
  // Not ordered: the record proves that number 1 is open, agreed time that it never executes.
  CHECK(session_record(s)->last_bundle == 0);
  CHECK(outcome_of(run({lost})) == BundleOutcome::expired);
  const Id16 t = open();
  run({bundle(0, t, 1, {make("b")}, {.valid_for_us = kSecond})});
  run({}, 2 * kSecond);
  CHECK(session_record(t)->last_bundle == 1);
  CHECK(leaves_under(keys::session_result(t, 1)) == 1);
}

TEST_CASE_FIXTURE(OneSession, "a session is its principal's alone") {
  CHECK(outcome_of(run({bundle(1, s, 1, {make("a")})})) == BundleOutcome::no_session);
  CHECK(outcome_of(run({bundle(0, Id16{1}, 1, {make("a")})})) == BundleOutcome::no_session);
  CHECK_FALSE(exists("a"));
  CHECK(session_record(s)->last_bundle == 0);
}

TEST_CASE_FIXTURE(OneSession, "acknowledged results are dropped, at most a window is kept") {
  for (std::uint64_t no = 1; no <= 6; ++no) run({bundle(0, s, no, {schema::Noop{}})});
  CHECK(leaves_under(keys::session_results(s)) == 6);
  const Item third = bundle(0, s, 3, {schema::Noop{}});
  run({bundle(0, s, 7, {schema::Noop{}}, {.ack_upto = 4})});
  CHECK(session_record(s)->ack_upto == 4);
  CHECK(leaves_under(keys::session_results(s)) == 3);
  CHECK(outcome_of(run({third})) == BundleOutcome::result_gone);
  // An acknowledgement of what has not happened yet frees what has, not more.
  run({bundle(0, s, 8, {schema::Noop{}}, {.ack_upto = ~0ULL})});
  CHECK(session_record(s)->ack_upto == 7);
  CHECK(leaves_under(keys::session_results(s)) == 1);
  for (std::uint64_t no = 9; no <= 30; ++no) run({bundle(0, s, no, {schema::Noop{}})});
  CHECK(leaves_under(keys::session_results(s)) == limits::kSessionWindow);
  CHECK(session_record(s)->ack_upto == 30 - limits::kSessionWindow);
}

TEST_CASE_FIXTURE(OneSession,
                  "all or nothing: one failure undoes the bundle, which is still done") {
  run({bundle(0, s, 1, {make("there")})});
  const std::uint64_t next_ino = engine.counters()->next_ino;
  const std::vector<schema::OperationBody> operations = {make("x"), make("there"), make("y"),
                                                         schema::CloseSession{}};
  const BundleResult r = result_of(run({bundle(0, s, 2, operations, {.all_or_nothing = true})}));
  CHECK(r.outcome == BundleOutcome::done);
  REQUIRE(r.results.size() == 4);
  CHECK(r.results[0].code == Code::rolled_back);
  CHECK_FALSE(r.results[0].inode.has_value());
  CHECK(r.results[1].code == Code::exists);
  CHECK(r.results[2].code == Code::rolled_back);
  CHECK(r.results[3].code == Code::rolled_back);
  CHECK_FALSE(exists("x"));
  CHECK_FALSE(exists("y"));
  CHECK(engine.counters()->inodes == 2);
  CHECK(engine.counters()->next_ino == next_ino);  // T10.1: "x" and "y" took no number
  CHECK(session_record(s)->last_bundle == 2);      // the close was undone too

  const BundleResult each = result_of(run({bundle(0, s, 3, operations)}));
  CHECK(each.results[0].code == Code::ok);
  CHECK(each.results[1].code == Code::exists);
  CHECK(each.results[2].code == Code::ok);
  CHECK(exists("y"));
  CHECK_FALSE(session_record(s).has_value());
  CHECK(tombstone(s)->last_bundle == 3);
}

TEST_CASE_FIXTURE(OneSession, "results above 4 KiB are answered once in full, then by digest") {
  std::vector<schema::OperationBody> many;
  for (int i = 0; i < 60; ++i) many.push_back(make("f" + std::to_string(i)));
  const Item one = bundle(0, s, 1, many);
  const Executed first = run({one});
  REQUIRE(first.results[0].result.size() > limits::kMaxStoredResult);
  CHECK(result_of(first).results.size() == 60);
  const BundleResult again = result_of(run({one}));
  CHECK(again.outcome == BundleOutcome::digest_only);
  CHECK(again.results.empty());
  Bytes value;
  REQUIRE(engine.version().get(keys::session_result(s, 1), value) == tree::Found::value);
  const auto stored = schema::decode_record<schema::StoredResult>(value, "stored result");
  REQUIRE(stored.has_value());
  CHECK_FALSE(stored->complete);
  CHECK(stored->results_digest == messages::results_digest(first.results[0].result));
}
