// Batches, headers, history, determinism and restarts (protocol §2.5, §4.1).
#include "execution/engine.hpp"

#include <doctest/doctest.h>

#include <random>
#include <set>

#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
namespace keys = schema::keys;

namespace {

// A few hundred batches in which everything of this room happens, from one seed.
void live(World& w, std::uint64_t seed, int batches) {
  std::mt19937_64 rng(seed);
  std::vector<std::pair<Id16, std::uint64_t>> sessions;
  std::vector<Item> old;
  std::uint64_t names = 0;
  for (int i = 0; i < batches; ++i) {
    if (rng() % 20 == 0) {
      w.run_null();
      continue;
    }
    std::vector<Item> items;
    std::set<Hash> digests;
    const auto add = [&](const Item& item) {
      if (digests.insert(item.digest()).second) items.push_back(item);
    };
    if (rng() % 6 == 0) add(w.open_item(static_cast<std::uint32_t>(rng() % 2), rng()));
    for (auto& [id, next] : sessions) {
      if (rng() % 3 == 0) continue;
      std::vector<schema::OperationBody> ops = {World::make("n" + std::to_string(names++))};
      if (rng() % 4 == 0) ops.push_back(World::make("n0"));
      if (rng() % 25 == 0) ops.push_back(schema::CloseSession{});
      World::Options o;
      o.ack_upto = next - rng() % 4;
      o.all_or_nothing = rng() % 3 == 0;
      if (rng() % 10 == 0) o.valid_for_us = rng() % 2000;
      const auto client = static_cast<std::uint32_t>(rng() % 12 == 0 ? 1 : 0);
      const std::uint64_t no = rng() % 10 == 0 ? next + 1 : next++;
      add(w.bundle(client, id, no, ops, o));
    }
    if (!old.empty() && rng() % 3 == 0) add(old[rng() % old.size()]);
    old.insert(old.end(), items.begin(), items.end());
    const Executed e = w.run(items, rng() % 30 == 0 ? kHour : rng() % (3 * kSecond));
    for (std::size_t k = 0; k < e.results.size(); ++k)
      if (outcome_of(e, k) == BundleOutcome::session_opened && e.results[k].first_time)
        sessions.emplace_back(result_of(e, k).session_id, 1);
    if (sessions.size() > 6) sessions.erase(sessions.begin());
  }
}

}  // namespace

TEST_CASE("genesis: two engines, the same body; another cluster, another root") {
  World a, b;
  CHECK(a.engine.body() == b.engine.body());
  CHECK(a.engine.executed_seq() == 0);
  CHECK(a.engine.body().seq == 0);
  CHECK(a.engine.time_us() == a.cluster.genesis.time_us);
  Cluster other(4);
  other.genesis.nonce[0] ^= 1;
  const auto engine = Engine::from_genesis(other.genesis, other.verifier);
  REQUIRE(engine.has_value());
  CHECK(engine->body().state_root != a.engine.body().state_root);
  other.genesis.config.replicas.pop_back();
  CHECK_FALSE(Engine::from_genesis(other.genesis, other.verifier).has_value());
}

TEST_CASE("agreed time never stands still and never goes back") {
  World w;
  const std::uint64_t start = w.now;
  CHECK(w.run({}, 5000).header.time_us == start + 5000);
  CHECK(w.run({}, 0).header.time_us == start + 5001);
  messages::Batch late;
  late.seq = 3;
  late.time_us = start;  // proposed before its predecessor became what it is
  const auto parsed = messages::parse_batch(w.cluster.context, late);
  REQUIRE(parsed.has_value());
  CHECK(w.engine.execute(*parsed)->header.time_us == start + 5002);
  CHECK(w.run_null().header.time_us == start + 5003);
  CHECK(w.engine.body().time_us == start + 5003);
}

TEST_CASE("behind a state transfer a batch with an old time gets the agreed one (T7.9)") {
  World w;
  w.open();
  const auto cert = w.cluster.certify(w.engine.body(), w.cluster.quorum_bitmap());
  const auto state = execution::certified_state(w.engine.checkpoint(), cert);
  auto behind = Engine::from_checkpoint(w.cluster.genesis.cluster_id(), w.cluster.verifier,
                                        execution::checkpoint_of(state), w.engine.version());
  REQUIRE(behind.has_value());
  messages::Batch late;
  late.seq = cert.body.seq + 1;
  late.time_us = w.now - kHour;
  const auto parsed = messages::parse_batch(w.cluster.context, late);
  REQUIRE(parsed.has_value());
  const auto here = w.engine.execute(*parsed);
  const auto there = behind->execute(*parsed);
  REQUIRE(here.has_value());
  REQUIRE(there.has_value());
  CHECK(here->header.time_us == cert.body.time_us + 1);
  CHECK(there->header == here->header);
  CHECK(there->body == here->body);
}

TEST_CASE("header, body and reply tree belong together") {
  World w;
  const Id16 s = w.open();
  std::vector<Item> items;
  for (std::uint64_t no = 1; no <= 7; ++no)
    items.push_back(w.bundle(0, s, no, {World::make("f" + std::to_string(no))}));
  const Hash before = w.engine.body().history_hash;
  const Executed e = w.run(items);
  CHECK(e.header.seq == 2);
  CHECK(e.header.batch_digest == w.log().back().digest);
  CHECK(e.header.reply_count == 7);
  CHECK(e.history_before == before);
  CHECK(e.body == w.engine.body());
  CHECK(e.body.history_hash == messages::extend_history(before, e.header));
  CHECK(e.body.state_root == e.header.state_root);
  CHECK(e.body.reply_root == e.header.reply_root);
  CHECK(e.body.config_hash == w.cluster.config().hash());
  for (std::size_t i = 0; i < items.size(); ++i) {
    CHECK(e.results[i].request_digest == items[i].digest());
    CHECK(messages::verify_merkle_path(e.results[i].leaf(), i, e.header.reply_count,
                                       reply_path(e, i), e.header.reply_root,
                                       messages::reply_node));
  }
  const Executed empty = w.run_null();
  CHECK(empty.header.reply_count == 0);
  CHECK(empty.header.reply_root == Hash{});
}

TEST_CASE("history_root is the RFC 6962 root over all headers so far") {
  World w;
  std::vector<Hash> leaves;
  Hash chain = messages::history_start(w.cluster.context.cluster_id);
  CHECK(w.engine.body().history_hash == chain);
  for (int i = 0; i < 70; ++i) {
    const Executed e = i % 3 == 0 ? w.run_null() : w.run({});
    leaves.push_back(messages::history_leaf(e.header));
    chain = messages::extend_history(chain, e.header);
    CHECK(e.body.history_root == messages::merkle_root(leaves, messages::history_node));
    CHECK(e.body.history_hash == chain);
  }
}

TEST_CASE("the same batches: equal certificates, also from a checkpoint in the middle") {
  for (const std::uint64_t seed : {1ULL, 2ULL, 3ULL}) {
    World w;
    live(w, seed, 250);
    auto again = Engine::from_genesis(w.cluster.genesis, w.cluster.verifier);
    REQUIRE(again.has_value());
    tree::MemoryPageStore store;
    std::vector<Engine> restored;
    for (const messages::ParsedBatch& batch : w.log()) {
      const auto e = again->execute(batch);
      REQUIRE(e.has_value());
      for (Engine& r : restored) {
        const auto x = r.execute(batch);
        REQUIRE(x.has_value());
        REQUIRE(x->body == e->body);
        REQUIRE(x->leaves == e->leaves);
      }
      if (batch.batch.seq == 90 || batch.batch.seq == 200)
        restored.push_back(reopened(w.cluster, *again, store));
    }
    CHECK(again->body() == w.engine.body());
    CHECK(restored.size() == 2);
    const auto rebuilt = execution::load_indexes(restored[0].version());
    const auto direct = execution::load_indexes(w.engine.version());
    REQUIRE(rebuilt.has_value());
    REQUIRE(direct.has_value());
    CHECK(*rebuilt == *direct);
  }
}

TEST_CASE("a checkpoint of another cluster, another tree or with contradictions is refused") {
  World w;
  live(w, 5, 20);
  const Bytes good = encode(w.engine.checkpoint());
  REQUIRE(execution::decode_checkpoint(good).has_value());
  const auto start = [&](const config::Genesis& genesis, const tree::Version& version) {
    return Engine::from_checkpoint(genesis.cluster_id(), w.cluster.verifier, w.engine.checkpoint(),
                                   version);
  };
  CHECK(start(w.cluster.genesis, w.engine.version()).has_value());
  auto refused = start(w.cluster.genesis, World().engine.version());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Errc::corrupt);
  Cluster other(4);
  other.genesis.nonce[0] ^= 1;
  refused = start(other.genesis, w.engine.version());
  REQUIRE_FALSE(refused.has_value());
  CHECK(refused.error().code == Errc::identity);

  execution::Checkpoint c = w.engine.checkpoint();
  c.header.state_root[0] ^= 1;
  CHECK_FALSE(execution::decode_checkpoint(encode(c)).has_value());
  c = w.engine.checkpoint();
  c.seq += 1;
  CHECK_FALSE(execution::decode_checkpoint(encode(c)).has_value());
  c = w.engine.checkpoint();
  c.cert.emplace().body.seq = c.seq + 1;
  CHECK_FALSE(execution::decode_checkpoint(encode(c)).has_value());
}

TEST_CASE("a store that fails during a batch: an error, and the engine stands where it stood") {
  World w;
  const Id16 s = w.open();
  for (std::uint64_t no = 1; no <= 40; ++no)
    w.run({w.bundle(0, s, no, {World::make("f" + std::to_string(no))})});
  tree::MemoryPageStore store;
  Engine engine = reopened(w.cluster, w.engine, store);
  const messages::ParsedBatch batch =
      w.next_batch({w.open_item(0, 1), w.bundle(0, s, 41, {World::make("x")})});

  Bytes kept;
  REQUIRE(engine.version().get(keys::session(s), kept) == tree::Found::value);
  Bytes rotten = kept;
  rotten[5] ^= 1;
  store.tamper_leaf(keys::session(s), rotten);
  const messages::CertBody before = engine.body();
  const auto failed = engine.execute(batch);
  REQUIRE_FALSE(failed.has_value());
  CHECK(failed.error().message.find("42") != std::string::npos);
  CHECK(engine.executed_seq() == 41);
  CHECK(engine.body() == before);

  // The disk is well again: the same batch executes as everywhere else.
  store.tamper_leaf(keys::session(s), kept);
  const auto retried = engine.execute(batch);
  REQUIRE(retried.has_value());
  CHECK(retried->body == w.engine.execute(batch)->body);
}
