// The receiver against peers of every kind (T7.3 to T7.5): whatever they do, it ends at a certified
// state, or goes on; and its store is then exactly that state.
#include "transfer/receiver.hpp"

#include <doctest/doctest.h>

#include <bit>

#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;

namespace {

Transfer::Setup peers(std::vector<Behaviour> behaviours) {
  Transfer::Setup setup;
  setup.peers = std::move(behaviours);
  return setup;
}
Transfer::Setup honest() { return peers({kHonest, kHonest, kHonest}); }

std::shared_ptr<tree::MemoryPageStore> nothing() {
  return std::make_shared<tree::MemoryPageStore>();
}

// Some of the states, the newest among them; the receiver's store holds one of the older, or none.
struct Random {
  explicit Random(std::uint64_t seed, std::uint32_t n = 4) : world(seed, n, 1 + seed % 2000) {
    Rng& rng = world.rng();
    const std::size_t states = 1 + rng() % 5;
    for (std::size_t i = 0; i < states; ++i) {
      if (rng() % 10 == 0)
        world.clear();
      else
        world.grow(rng() % 600, static_cast<unsigned>(rng() % 90));
    }
    store = rng() % 3 == 0 ? nothing() : stored(world.state(rng() % states).version);
  }
  World world;
  std::shared_ptr<tree::MemoryPageStore> store;
};

}  // namespace

TEST_CASE("from any tree to the certified one, at whatever speed peers answer") {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    CAPTURE(seed);
    Random r(seed);
    Transfer::Setup setup = honest();
    setup.latency_us = 100 << seed % 11;
    Transfer t(r.world, r.store, setup);
    REQUIRE(t.run(20 * kSecond));
    t.check_store();
    CHECK(t.receiver().banned() == 0);
    CHECK(t.targets() == 1);
  }
}

TEST_CASE("f liars of every kind, in any place: they are banned, or do not matter (T7.4)") {
  const std::set<Behaviour> found_out{Behaviour::flips_bits,    Behaviour::other_subtree,
                                      Behaviour::redacts,       Behaviour::too_many,
                                      Behaviour::forged_target, Behaviour::mixed_target};
  for (int kind = 1; kind <= static_cast<int>(Behaviour::mixed_target); ++kind) {
    std::size_t banned = 0;
    for (std::uint64_t seed = 0; seed < 12; ++seed) {
      CAPTURE(kind);
      CAPTURE(seed);
      const auto lie = static_cast<Behaviour>(kind);
      const bool seven = seed % 3 == 0;
      Random r(seed * 31 + static_cast<std::uint64_t>(kind), seven ? 7 : 4);
      r.world.grow(2000, 5);
      std::vector<Behaviour> behaviours(seven ? 6 : 3, kHonest);
      behaviours[seed % behaviours.size()] = lie;
      if (seven) behaviours[(seed + 2) % behaviours.size()] = lie;
      Transfer t(r.world, r.store, peers(behaviours));
      REQUIRE(t.run(30 * kSecond));
      t.check_store();
      for (std::size_t i = 0; i < behaviours.size(); ++i)
        if ((t.receiver().banned() >> i & 1) != 0) CHECK(behaviours[i] == lie);
      banned += static_cast<std::size_t>(std::popcount(t.receiver().banned()));
    }
    CHECK((banned > 0) == found_out.contains(static_cast<Behaviour>(kind)));
  }
}

// A second for each: what an answer may take (Timing::answer).
TEST_CASE("f liars cost at most twice the time and a second each (T7.4)") {
  for (const std::size_t f : {1U, 2U})
    for (const bool stale : {false, true}) {
      World world(17, static_cast<std::uint32_t>(3 * f + 1), 20'000);
      world.grow(12'000, 0);
      const auto begin = [&, at = world.newest().version] {
        return stale ? stored(at) : nothing();
      };
      world.grow(4'000, 20);
      const auto took = [&](Behaviour liars) {
        std::vector<Behaviour> behaviours(3 * f, kHonest);
        for (std::size_t i = 0; i < f; ++i) behaviours[i] = liars;
        Transfer::Setup setup = peers(behaviours);
        setup.latency_us = 40'000;
        Transfer t(world, begin(), setup);
        CHECK(t.run(60 * kSecond));
        t.check_store();
        return t.took_us();
      };
      const std::uint64_t honest = took(kHonest);
      for (int kind = 1; kind <= static_cast<int>(Behaviour::mixed_target); ++kind) {
        CAPTURE(f);
        CAPTURE(stale);
        CAPTURE(kind);
        CHECK(took(static_cast<Behaviour>(kind)) <= 2 * honest + f * kSecond);
      }
    }
}

TEST_CASE("under load it ends at a state that the cluster was in meanwhile (T7.3)") {
  for (std::uint64_t seed = 0; seed < 6; ++seed) {
    CAPTURE(seed);
    World world(seed, 4, 30'000);
    world.grow(15'000, 0);
    Transfer::Setup setup =
        seed % 2 == 0 ? honest() : peers({kHonest, kHonest, static_cast<Behaviour>(2 + seed)});
    setup.load_us = 30'000;
    setup.load_updates = 100;
    setup.latency_us = 100'000;
    Transfer t(world, nothing(), setup);
    REQUIRE(t.run(60 * kSecond));
    t.check_store();
  }
}

// Half of all leaves change while a state is served, and a round trip takes a second at worst: it
// gets nowhere before the writers are stalled, and then at once, with what it has got.
TEST_CASE("a target that nobody serves any more is followed by the next; nothing is lost (T7.3)") {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    CAPTURE(seed);
    World world(seed, 4, 30'000);
    world.grow(15'000, 0);
    Transfer::Setup setup = honest();
    setup.load_us = 30'000;
    setup.load_updates = 100;
    setup.load_until_us = 12 * kSecond;
    setup.latency_us = 450'000;
    Transfer t(world, nothing(), setup);
    REQUIRE(t.run(40 * kSecond));
    t.check_store();
    if (seed == 0) CHECK(t.targets() > 1);
  }
}

TEST_CASE("a crash at each write, before it or behind it, and every 100 ms (T7.5)") {
  World world(3, 4, 40'000);
  world.grow(25'000, 0);
  Transfer::Setup small = honest();
  small.write_bytes = 1024 * 1024;
  Transfer undisturbed(world, nothing(), small);
  REQUIRE(undisturbed.run(60 * kSecond));
  undisturbed.check_store();
  const std::size_t writes = undisturbed.writes();
  REQUIRE(writes >= 3);
  // What was fetched and written is not fetched again: beside what the crash took there is only the
  // way through the own tree to where it goes on, hashes without leaves.
  const auto again = [&](const Transfer& t) {
    return static_cast<std::int64_t>(t.received()) -
           static_cast<std::int64_t>(undisturbed.received() + t.lost());
  };
  const auto walk = static_cast<std::int64_t>(undisturbed.received() / 20);
  for (std::size_t i = 0; i < writes; ++i) {
    CAPTURE(i);
    Transfer::Setup before = small;
    before.crash_before_write = {i};
    Transfer lost(world, nothing(), before);
    REQUIRE(lost.run(60 * kSecond));
    lost.check_store();
    CHECK(lost.crashes() == 1);
    CHECK(again(lost) <= walk);
    Transfer::Setup after = small;
    after.crash_after_write = {i};
    Transfer kept(world, nothing(), after);
    REQUIRE(kept.run(60 * kSecond));
    kept.check_store();
    CHECK(kept.crashes() == 1);
    CHECK(again(kept) <= walk);
  }
  Transfer::Setup often = small;
  often.crash_every_us = 100'000;
  often.latency_us = 2'000;
  Transfer t(world, nothing(), often);
  REQUIRE(t.run(120 * kSecond));
  t.check_store();
}

TEST_CASE("a write that fails is tried again a second later, the last one too") {
  World world(4, 4, 60'000);
  world.grow(30'000, 0);
  Transfer undisturbed(world, nothing(), honest());
  REQUIRE(undisturbed.run(60 * kSecond));
  for (std::size_t i = 0; i < undisturbed.writes(); ++i) {
    CAPTURE(i);
    Transfer::Setup setup = honest();
    setup.failing_writes = {i};
    Transfer t(world, nothing(), setup);
    REQUIRE(t.run(60 * kSecond));
    CHECK(t.took_us() >= transfer::Timing().write_again);
    t.check_store();
  }
}

TEST_CASE("writes are parts of the whole, whatever is fetched or erased") {
  World world(5, 4, 200'000);
  world.grow(150'000, 0);
  const std::size_t leaves = world.newest().version.leaf_count();
  Transfer all(world, nothing(), honest());
  REQUIRE(all.run(60 * kSecond));
  CHECK(all.writes() >= 4);
  CHECK(all.largest_write() * 2 < leaves);
  const auto full = stored(world.newest().version);
  world.clear();
  Transfer none(world, full, honest());
  REQUIRE(none.run(60 * kSecond));
  none.check_store();
  CHECK(none.writes() >= 4);
  CHECK(none.largest_write() * 2 < leaves);
  CHECK(full->leaf_keys().empty());
}

TEST_CASE("a small difference costs a small part of the whole") {
  World world(6, 4, 60'000);
  world.grow(40'000, 0);
  const auto store = stored(world.newest().version);
  for (int i = 0; i < 3; ++i) world.grow(4, 20);
  Transfer whole(world, nothing(), honest());
  REQUIRE(whole.run(60 * kSecond));
  Transfer part(world, store, honest());
  REQUIRE(part.run(60 * kSecond));
  part.check_store();
  CAPTURE(whole.received());
  CAPTURE(part.received());  // 30 KB of 1.8 MB
  CHECK(part.received() * 50 < whole.received());
}

TEST_CASE("nobody serves the target any more, and nobody but liars offers others: it goes on") {
  // The only peers that can be had are one honest and one that says gone to everything.
  Random r(11);
  r.world.grow(3000, 0);
  Transfer t(r.world, r.store, peers({Behaviour::gone, Behaviour::silent, kHonest}));
  REQUIRE(t.run(60 * kSecond));
  t.check_store();
}

TEST_CASE("all peers lie: nothing is accepted, and it neither ends nor stops") {
  Random r(12);
  r.world.grow(1000, 0);
  Transfer t(r.world, r.store,
             peers({Behaviour::flips_bits, Behaviour::other_subtree, Behaviour::too_many}));
  CHECK_FALSE(t.run(60 * kSecond));
  CHECK_FALSE(t.receiver().failure());
}

TEST_CASE("states below the floor are not taken, however much they are certified") {
  World world(13);
  world.grow(300, 0);
  world.grow(300, 0);
  Transfer t(world, nothing(),
             peers({Behaviour::old_target, Behaviour::old_target, Behaviour::old_target}));
  CHECK_FALSE(t.run(20 * kSecond));
  CHECK(t.targets() == 0);
}

// A state that the chain of epochs proves needs no certificate to be believed; what is stored of it
// is shown to clients and read by the next start.
TEST_CASE("of the state at an epoch's end the chain's certificate is kept, not the offer's") {
  World world(16);
  world.grow(300, 0);
  constexpr auto kForged = Behaviour::forged_target;
  Transfer::Setup setup = peers({kForged, kForged, kForged});
  setup.epoch_over = true;
  Transfer t(world, nothing(), setup);
  REQUIRE(t.run(20 * kSecond));
  t.check_store();
  CHECK(t.receiver().state() == world.newest().state);
}

TEST_CASE("T7.7 an own store of which nothing can be read is fetched anew") {
  World world(14);
  world.grow(2000, 0);
  const auto store = stored(world.newest().version);
  world.grow(400, 0);
  Transfer t(world, store, honest());
  for (const Key& key : store->leaf_keys()) store->tamper_leaf(key, Bytes{1});
  REQUIRE(t.run(20 * kSecond));
  CHECK(t.receiver().repairs() > 0);
  t.check_store();
}

TEST_CASE("answers to nobody, of somebody else, or to an earlier start are not looked at") {
  World world(15);
  world.grow(300, 0);
  transfer::Options options;
  options.self = 3;
  options.cluster_id = world.cluster().context.cluster_id;
  options.config = world.cluster().config();
  options.first_id = 100;
  transfer::Receiver receiver(options, world.cluster().verifier, tree::Version::empty());
  transfer::Actions actions;
  receiver.tick(1000, actions);
  REQUIRE(actions.size() == 3);
  const auto first = std::get<transfer::action::Send>(actions[0]);
  actions.clear();
  messages::NodesData answer;
  answer.state = world.newest().state;
  answer.id = 99;
  receiver.on(first.to, answer, 1001, actions);
  answer.id = first.message.id;
  receiver.on((first.to + 1) % 3, answer, 1001, actions);
  CHECK(receiver.received_bytes() == 0);
  receiver.on(first.to, answer, 1001, actions);
  CHECK(receiver.received_bytes() > 0);
  CHECK(receiver.deadline() > 1001);
}
