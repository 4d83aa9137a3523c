// File blocks follow the state (protocol §7.7), with real processes.
#include "block_files.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;

TEST_CASE("blocks: each replica in turn loses all of them, and no file is lost") {
  test::ProcessCluster cluster(BFTMETAD);
  cluster.start_all();
  const auto client = cluster.open();
  test::BlockFiles files(cluster, *client);
  for (const char* name : {"a", "b", "c"}) files.write(name, 8);
  for (std::uint32_t replica = 0; replica < cluster.n(); ++replica) {
    CAPTURE(replica);
    REQUIRE(files.wait_held_by(replica, 10s));
    REQUIRE(cluster.stop(replica) == 0);
    std::filesystem::remove_all(files.directory(replica));
    cluster.start(replica);
    REQUIRE(test::pass_ends(*client, replica, 60s));
    CHECK(files.held_by(replica) == files.blocks());
    const auto status = client->status(replica, 1s);
    REQUIRE(status);
    CHECK(status->blocks.checked >= files.blocks());
    CHECK(status->blocks.fetched_bytes == files.blocks() * limits::kBlockSize);
    CHECK(status->blocks.permille == 1000);
  }
  CHECK(files.read_all() == files.blocks());
}

TEST_CASE("blocks: a scrub finds what has rotted, and it is fetched again") {
  test::ProcessCluster cluster(BFTMETAD);
  cluster.start_all();
  const auto client = cluster.open();
  test::BlockFiles files(cluster, *client);
  files.write("f", 8);
  REQUIRE(files.wait_held_by(2, 10s));
  const Hash block = files.some_block();
  files.rot(2, block);
  REQUIRE_FALSE(files.intact(2, block));
  REQUIRE(client->status(2, 5s, 64 << 20));
  const auto until = std::chrono::steady_clock::now() + 30s;
  while (!files.intact(2, block) && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(50ms);
  CHECK(files.intact(2, block));
  REQUIRE(test::pass_ends(*client, 2, 10s));
  const auto status = client->status(2, 5s);
  REQUIRE(status);
  CHECK(status->blocks.thorough);
  CHECK(status->blocks.checked == files.blocks());
  CHECK(status->blocks.fetched == 1);
}

TEST_CASE("blocks: written while a replica is down, read when it alone still has them") {
  test::ProcessCluster cluster(BFTMETAD);
  cluster.start_all();
  const auto client = cluster.open();
  test::BlockFiles files(cluster, *client);
  files.write("before", 4);
  REQUIRE(files.wait_held_by(3, 10s));
  REQUIRE(cluster.stop(3) == 0);
  files.write("meanwhile", 16);
  CHECK(files.held_by(3) == 4);
  cluster.start(3);
  REQUIRE(files.wait_held_by(3, 60s));
  for (const std::uint32_t other : {0, 1, 2}) {
    files.lose_blocks(other);
    REQUIRE(files.held_by(other) == 0);
  }
  // Until the link to the replica that was down is there again, all others deny it.
  const auto linked = std::chrono::steady_clock::now() + 30s;
  while (!files.all_readable() && std::chrono::steady_clock::now() < linked)
    std::this_thread::sleep_for(50ms);
  CHECK(files.read_all() == files.blocks());
  // Who is asked in vain fetches it at once.
  const Hash block = files.some_block();
  files.lose_blocks(0);
  REQUIRE(files.asks_in_vain(0, block));
  const auto until = std::chrono::steady_clock::now() + 5s;
  while (!files.held_by(0, block) && std::chrono::steady_clock::now() < until)
    std::this_thread::sleep_for(20ms);
  CHECK(files.held_by(0, block));
}

TEST_CASE("blocks: a replica that clients do not reach has what it executes, without a pass") {
  test::ProcessCluster cluster(BFTMETAD);
  cluster.start_all();
  const auto client = cluster.open();
  REQUIRE(client->execute(test::create_file("first")));
  REQUIRE(test::pass_ends(*client, 3, 20s));
  test::BlockFiles files(cluster, *client, 3);
  files.write("data", 4);
  CHECK(files.held_by(3) == 0);
  REQUIRE(files.wait_held_by(3, 20s));
  const auto status = client->status(3, 1s);
  REQUIRE(status);
  CHECK(status->blocks.checked == 0);  // by no pass
  CHECK(files.read_all() == files.blocks());
}
