// Repair (protocol §7.8): what is rotten in the own store is fetched from peers, by the hash that
// its parent commits to, in a state transfer or to restore the tree as it was.
#include <doctest/doctest.h>

#include "transfer/receiver.hpp"
#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;

namespace {

// Values flipped, leaves gone, leaves that nobody wrote, node records flipped or gone.
void rot(tree::MemoryPageStore& store, Rng& rng, std::size_t places) {
  const auto keys = store.leaf_keys();
  const auto ids = store.node_ids();
  const auto snapshot = *store.snapshot();
  const auto flip = [&](Bytes bytes) {
    bytes[rng() % bytes.size()] ^= static_cast<std::uint8_t>(1U << rng() % 8);
    return bytes;
  };
  for (std::size_t i = 0; i < places; ++i) {
    const Key& key = keys[rng() % keys.size()];
    switch (rng() % 5) {
      case 0:
        if (const auto value = *snapshot->leaf(key); value && !value->empty())
          store.tamper_leaf(key, flip(*value));
        break;
      case 1: store.tamper_leaf(key, std::nullopt); break;
      case 2: {
        Bytes other(key.data(), key.data() + key.size());
        other.back() ^= 1;
        store.tamper_leaf(Key(other), Bytes{1});
        break;
      }
      case 3:
        if (!ids.empty()) store.tamper_node(ids[rng() % ids.size()], std::nullopt);
        break;
      default:
        if (ids.empty()) break;
        if (const auto& id = ids[rng() % ids.size()]; const auto record = *snapshot->node(id))
          store.tamper_node(id, flip(*record));
    }
  }
}

// All of the store, read and checked, whatever is rotten on the way.
std::vector<tree::Subtree> rotten_in(const tree::MemoryPageStore& store) {
  const auto version = tree::Version::open(*store.snapshot(), {.pinned_nodes = 0});
  REQUIRE(version);
  std::vector<tree::Subtree> all;
  Key from;
  while (!version->read_range(from, std::nullopt, [](const Key&, ByteView) { return true; })) {
    const auto met = version->take_rotten();
    REQUIRE(met.size() == 1);
    all.push_back(met.front());
    const auto behind = met.front().region.end();
    if (!behind) break;
    from = *behind;
  }
  return all;
}

Transfer::Setup restoring(std::size_t state, std::vector<tree::Subtree> damaged,
                          std::vector<Behaviour> peers = {kHonest, kHonest, kHonest}) {
  Transfer::Setup setup;
  setup.peers = std::move(peers);
  setup.damaged = std::move(damaged);
  setup.restore = state;
  return setup;
}

// One leaf is gone: its key, and where that is noticed.
struct Rotten {
  explicit Rotten(tree::MemoryPageStore& store) {
    const auto keys = store.leaf_keys();
    key = keys[keys.size() / 2];
    store.tamper_leaf(key, std::nullopt);
    places = rotten_in(store);
    REQUIRE(places.size() == 1);
  }
  Key key;
  std::vector<tree::Subtree> places;
};

}  // namespace

TEST_CASE("T7.7 what is rotten in a store is fetched again, and the store is what it was") {
  std::size_t rounds = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    World world(seed, 4, 1 + seed * 40 % 2000);
    world.grow(1 + seed * 37 % 900, 10);
    const std::size_t state = world.size() - 1;
    const auto store = stored(world.newest().version);
    rot(*store, world.rng(), 1 + seed % 12);
    for (int round = 0; round < 20; ++round) {
      const auto damaged = rotten_in(*store);
      if (damaged.empty()) break;
      ++rounds;
      Transfer::Setup setup = restoring(state, damaged);
      if (seed % 3 == 0) setup.write_bytes = 2048;
      if (seed % 4 == 0) setup.failing_writes = {0};
      Transfer t(world, store, setup);
      REQUIRE(t.run(20 * kSecond));
      CHECK(t.receiver().repairs() >= damaged.size());
    }
    REQUIRE(rotten_in(*store).empty());
    Transfer(world, store, restoring(state, {})).check_holds(world.newest().state.cert.body);
  }
  CHECK(rounds > 40);
}

TEST_CASE("what an older version meets after the repair is not damaged") {
  World world(5, 4, 500);
  world.grow(500, 0);
  const auto store = stored(world.newest().version);
  const Rotten rotten(*store);
  const auto& damaged = rotten.places;
  const auto older = tree::Version::open(*store->snapshot(), {.pinned_nodes = 0});
  REQUIRE(Transfer(world, store, restoring(world.size() - 1, damaged)).run(10 * kSecond));
  CHECK_FALSE(older->read(rotten.key));
  const auto met = older->take_rotten();
  CHECK(met == damaged);
  CHECK(tree::unreadable(*older, met) == damaged);
  CHECK(older->take_rotten().empty());
  const auto now = tree::Version::open(*store->snapshot(), {.pinned_nodes = 0});
  CHECK(tree::unreadable(*now, met).empty());
}

// Who has the nodes above it in memory meets one leaf; who has not reads its whole subtree.
TEST_CASE("a sound part of what is rotten is not what is damaged") {
  World world(5, 4, 500);
  world.grow(500, 0);
  const auto store = stored(world.newest().version);
  const auto keys = store->leaf_keys();
  const auto damaged = Rotten(*store).places;
  const tree::Region& region = damaged[0].region;
  std::vector<tree::Subtree> parts;
  for (const Key& key : keys)
    if (region.covers(key, 8 * key.size())) parts.push_back({{key, 8 * key.size()}, Hash{1}});
  REQUIRE(parts.size() > 1);
  const auto now = tree::Version::open(*store->snapshot(), {.pinned_nodes = 0});
  CHECK(tree::unreadable(*now, parts) == damaged);
  CHECK(now->take_rotten().empty());
}

TEST_CASE("a repair fetches what is damaged, and no more") {
  World world(3, 4, 3000);
  world.grow(3000, 0);
  const auto store = stored(world.newest().version);
  const auto damaged = Rotten(*store).places;
  Transfer t(world, store, restoring(world.size() - 1, damaged));
  REQUIRE(t.run(10 * kSecond));
  CHECK(t.received() < 32 * 1024);
  CHECK(t.writes() == 1);
  CHECK(t.largest_write() < 200);
  t.check_holds(world.newest().state.cert.body);
}

TEST_CASE("T7.7 f liars do not get into a repair, and do not stop it") {
  for (int kind = 1; kind <= static_cast<int>(Behaviour::mixed_target); ++kind) {
    CAPTURE(kind);
    World world(static_cast<std::uint64_t>(kind), 4, 1500);
    world.grow(1200, 0);
    const auto store = stored(world.newest().version);
    rot(*store, world.rng(), 6);
    for (int round = 0; round < 20; ++round) {
      const auto damaged = rotten_in(*store);
      if (damaged.empty()) break;
      Transfer t(
          world, store,
          restoring(world.size() - 1, damaged, {kHonest, static_cast<Behaviour>(kind), kHonest}));
      REQUIRE(t.run(30 * kSecond));
    }
    CHECK(rotten_in(*store).empty());
  }
}

TEST_CASE("what nobody serves any more is not restored: the state has to be fetched") {
  World world(5, 4, 800);
  world.grow(700, 0);
  const auto store = stored(world.newest().version);
  const std::size_t old = world.size() - 1;
  const auto keys = store->leaf_keys();
  store->tamper_leaf(keys.front(), Bytes{1});
  store->tamper_leaf(keys.back(), std::nullopt);
  const auto damaged = rotten_in(*store);
  world.clear();
  world.grow(500, 0);
  Transfer lost(world, store, restoring(old, damaged));
  REQUIRE_FALSE(lost.run(10 * kSecond));
  REQUIRE(lost.receiver().failure());
  CHECK(lost.receiver().failure()->code == Errc::not_found);

  Transfer::Setup setup;
  setup.peers = {kHonest, kHonest, kHonest};
  setup.damaged = damaged;
  Transfer t(world, store, setup);
  REQUIRE(t.run(20 * kSecond));
  t.check_store();
}

TEST_CASE("T7.7 a transfer onto a rotten store ends at the certified state") {
  std::size_t repairs = 0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    World world(seed, 4, 1 + seed * 50 % 1500);
    world.grow(1 + seed * 29 % 900, 0);
    const auto store = stored(world.newest().version);
    world.grow(200 + seed % 300, static_cast<unsigned>(seed % 60));
    rot(*store, world.rng(), 1 + seed % 9);
    Transfer::Setup setup;
    setup.peers = {kHonest, kHonest, kHonest};
    setup.damaged = rotten_in(*store);
    // Some of it only: the rest is met on the way, or is where nothing differs.
    if (setup.damaged.size() > 1) setup.damaged.resize(1);
    if (seed % 2 == 0) setup.write_bytes = 4096;
    Transfer t(world, store, setup);
    REQUIRE(t.run(30 * kSecond));
    repairs += t.receiver().repairs();
    for (int round = 0; round < 20; ++round) {
      const auto damaged = rotten_in(*store);
      if (damaged.empty()) break;
      REQUIRE(Transfer(world, store, restoring(world.size() - 1, damaged)).run(20 * kSecond));
    }
    REQUIRE(rotten_in(*store).empty());
    t.check_holds(t.receiver().state().cert.body);
  }
  CHECK(repairs > 100);
}
