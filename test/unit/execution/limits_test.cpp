// Limits of the session table and what happens at them (protocol §8.3): the same at every replica.
#include <doctest/doctest.h>

#include <algorithm>

#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
namespace keys = schema::keys;

namespace {

// Execution does not check client signatures, so these need none.
Item unsigned_open(const World& w, std::uint32_t client, std::uint64_t nonce) {
  messages::SessionOpen open;
  open.client = w.cluster.clients[client]->public_key();
  store_be64(open.nonce.data(), nonce);
  open.valid_until_us = w.now + kHour / 2;
  Item item;
  item.kind = messages::ItemKind::session_open;
  item.body = encode(open);
  return item;
}

// Ids in the order in which they were opened, a full batch at a time.
std::vector<Id16> open_many(World& w, std::uint32_t client, std::size_t count,
                            std::uint64_t first_nonce) {
  std::vector<Id16> ids;
  while (ids.size() < count) {
    std::vector<Item> items;
    while (items.size() < limits::kMaxBundlesPerBatch && ids.size() + items.size() < count)
      items.push_back(unsigned_open(w, client, first_nonce++));
    const Executed e = w.run(items);
    for (std::size_t i = 0; i < items.size(); ++i) {
      const BundleResult r = result_of(e, i);
      REQUIRE(r.outcome == BundleOutcome::session_opened);
      ids.push_back(r.session_id);
    }
  }
  return ids;
}

}  // namespace

TEST_CASE("T8.3 a principal at its limit loses its idlest session, ties by id, everywhere alike") {
  World w;
  const Id16 others = w.open(1);
  const std::vector<Id16> ids = open_many(w, 0, limits::kMaxSessionsPerPrincipal, 1);
  // The first batch opened 256 sessions; those that act since are not the idlest.
  std::vector<Id16> idle(ids.begin(), ids.begin() + 256);
  std::ranges::sort(idle);
  const Id16 active = idle[0];
  w.run({w.bundle(0, active, 1, {schema::Noop{}})});

  tree::MemoryPageStore store;
  Engine restored = reopened(w.cluster, w.engine, store);
  const Executed e = w.run({unsigned_open(w, 0, 5000), unsigned_open(w, 0, 5001)});
  const auto elsewhere = restored.execute(w.log().back());
  REQUIRE(elsewhere.has_value());
  CHECK(elsewhere->body == e.body);

  CHECK(w.session_record(active).has_value());
  CHECK_FALSE(w.session_record(idle[1]).has_value());
  CHECK_FALSE(w.session_record(idle[2]).has_value());
  CHECK(w.session_record(idle[3]).has_value());
  CHECK(w.tombstone(idle[1]).has_value());
  CHECK(w.session_record(others).has_value());
  const auto principal = w.engine.principal(w.cluster.clients[0]->public_key());
  CHECK(principal->sessions == limits::kMaxSessionsPerPrincipal);
}

TEST_CASE("an eviction in a batch that failed is forgotten: the retry evicts the same session") {
  World w;
  const Id16 other = w.open(1);
  open_many(w, 0, limits::kMaxSessionsPerPrincipal, 1);
  tree::MemoryPageStore store;
  Engine engine = reopened(w.cluster, w.engine, store);
  const messages::ParsedBatch batch =
      w.next_batch({unsigned_open(w, 0, 5000), w.bundle(1, other, 1, {schema::Noop{}})});

  Bytes kept;
  REQUIRE(engine.version().get(keys::session(other), kept) == tree::Found::value);
  store.tamper_leaf(keys::session(other), std::nullopt);
  REQUIRE_FALSE(engine.execute(batch).has_value());
  store.tamper_leaf(keys::session(other), kept);
  const auto retried = engine.execute(batch);
  REQUIRE(retried.has_value());
  CHECK(retried->body == w.engine.execute(batch)->body);
}

TEST_CASE("leases that end together: 64 in a batch, and all of them dead at once") {
  World w;
  const std::vector<Id16> ids = open_many(w, 0, 200, 1);
  for (int i = 0; i < 29; ++i) w.run({}, 2 * kSecond);
  REQUIRE(w.engine.counters()->sessions == 200);
  std::size_t left = 200;
  while (left == 200) {
    w.run({}, 2 * kSecond);
    left = w.engine.counters()->sessions;
  }
  CHECK(left == 200 - limits::kMaxExpiriesPerBatch);
  std::vector<Item> items;
  for (const Id16& id : ids) {
    CHECK_FALSE(w.engine.session(id).has_value());  // past its lease, swept or not
    items.push_back(w.bundle(0, id, 1, {schema::Noop{}}));
  }
  const Executed e = w.run(items);
  for (std::size_t i = 0; i < items.size(); ++i)
    CHECK(outcome_of(e, i) == BundleOutcome::no_session);
  CHECK(w.engine.counters()->sessions == 200 - 2 * limits::kMaxExpiriesPerBatch);
  w.run({});
  w.run({});
  CHECK(w.engine.counters()->sessions == 0);
  CHECK(w.leaves_under(keys::sessions()) == 0);
  CHECK(w.leaves_under(keys::tombstone_expiries()) == 200);
}

TEST_CASE("a principal that opens and opens: bounded sessions, tombstones and digests") {
  World w;
  open_many(w, 0, limits::kMaxOpensPerPrincipal, 1);
  CHECK(w.leaves_under(keys::open_digests()) == limits::kMaxOpensPerPrincipal);
  CHECK(w.leaves_under(keys::leases()) == limits::kMaxSessionsPerPrincipal);
  CHECK(w.leaves_under(keys::tombstone_expiries()) == limits::kMaxTombstonesPerPrincipal);
  CHECK(w.leaves_under(keys::tombstone_table()) == limits::kMaxTombstonesPerPrincipal);
  CHECK(result_of(w.run({unsigned_open(w, 0, 999'999)})).code == Code::quota_exceeded);
  CHECK(outcome_of(w.run({unsigned_open(w, 1, 999'999)})) == BundleOutcome::session_opened);
  // The digests are forgotten with time, 64 in a batch, and then there is room again.
  w.run({}, kHour);
  CHECK(outcome_of(w.run({unsigned_open(w, 0, 1'000'000)})) == BundleOutcome::session_opened);
}

TEST_CASE("a full table takes the idlest session of the principal that has most") {
  constexpr std::uint32_t kHogs = limits::kMaxSessions / limits::kMaxSessionsPerPrincipal;
  World w(kHogs + 1);
  std::vector<std::vector<Id16>> of(kHogs);
  for (std::uint32_t c = 0; c < kHogs; ++c)
    of[c] = open_many(w, c, limits::kMaxSessionsPerPrincipal, 1);
  REQUIRE(w.engine.counters()->sessions == limits::kMaxSessions);

  std::uint32_t victim = 0;  // all have equally many: the smallest key
  for (std::uint32_t c = 1; c < kHogs; ++c)
    if (w.cluster.clients[c]->public_key() < w.cluster.clients[victim]->public_key()) victim = c;
  std::vector<Id16> idle(of[victim].begin(), of[victim].begin() + 256);
  std::ranges::sort(idle);
  CHECK(outcome_of(w.run({unsigned_open(w, kHogs, 1)})) == BundleOutcome::session_opened);
  CHECK(w.engine.counters()->sessions == limits::kMaxSessions);
  CHECK_FALSE(w.session_record(idle[0]).has_value());
  CHECK(w.session_record(idle[1]).has_value());
  CHECK(w.tombstone(idle[0]).has_value());
}
