// The engine as the core's state machine: what is known of executed batches, and for how long.
#include "replica/machine.hpp"

#include <doctest/doctest.h>

#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;

TEST_CASE("extents of batches are told once, also of those that too many others came behind") {
  World world;
  replica::Machine machine(
      std::move(*Engine::from_genesis(world.cluster.genesis, world.cluster.verifier)));
  const auto run = [&](const Item& item) {
    world.run({item});
    REQUIRE(machine.execute(world.log().back()).has_value());
    return machine.executed_seq();
  };
  run(world.open_item(0, 1));
  const Id16 session = result_of(machine.entry(machine.executed_seq())->executed).session_id;
  run(world.bundle(0, session, 1, {World::make("f")}));
  const auto made = result_of(machine.entry(machine.executed_seq())->executed).results.at(0);
  REQUIRE(made.inode.has_value());
  std::uint64_t bundle = 2;
  const auto commit = [&](std::uint64_t block) {
    schema::CommitData data;
    data.ino = made.inode->ino;
    data.new_size = (block + 1) * limits::kBlockSize;
    Hash digest{};
    store_be64(digest.data(), block + 1);
    data.extents.push_back({block * limits::kBlockSize, limits::kBlockSize, digest});
    const auto seq = run(world.bundle(0, session, bundle++, {data}));
    REQUIRE(result_of(machine.entry(seq)->executed).results.at(0).code == schema::Code::ok);
    return seq;
  };
  const auto extent = [&](std::uint64_t block) {
    return schema::keys::extent(made.inode->ino, block * limits::kBlockSize);
  };
  const messages::Seq first = commit(0);
  CHECK(machine.take_changed_extents().keys.empty());  // not certified yet
  REQUIRE(machine.take_version(first).has_value());
  CHECK(machine.take_changed_extents().keys == std::vector{extent(0)});
  CHECK(machine.take_changed_extents().keys.empty());

  commit(1);
  const messages::Seq forgotten = machine.executed_seq();
  while (machine.entry(forgotten) != nullptr) commit(2);
  const messages::Seq last = machine.executed_seq();
  REQUIRE(machine.take_version(last).has_value());
  const auto changed = machine.take_changed_extents();
  CHECK_FALSE(changed.lost);
  REQUIRE(changed.keys.size() == last - first);
  CHECK(changed.keys.front() == extent(1));
}
