// Replicas that are killed, stand still and come back while clients work (protocol §11.4): nothing
// acknowledged is lost, no call fails, and what clients see is linearizable (S10).
#include <doctest/doctest.h>
#include <signal.h>

#include <random>
#include <thread>

#include "e2e/chaos.hpp"
#include "support/create_load.hpp"
#include "support/process_cluster.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;
using test::catches_up;
using test::CreateLoad;
using test::ProcessCluster;
using test::chaos::Line;
using test::chaos::settings;

namespace {

constexpr auto kServiceTimeout = 25s;

// By what the replicas say; the newest view in which one of them works.
std::uint32_t primary_of(client::Client& client) {
  std::optional<messages::View> newest;
  for (std::uint32_t r = 0; r < client.genesis().config.n(); ++r) {
    const auto status = client.status(r, 2s);
    if (status && status->active) newest = std::max(status->view, newest.value_or(0));
  }
  REQUIRE(newest.has_value());
  return client.genesis().config.primary(*newest);
}

messages::Seq executed_by(client::Client& client, std::uint32_t replica) {
  const auto status = client.status(replica, 5s);
  REQUIRE_MESSAGE(status.has_value(), status.error().message);
  return status->executed_seq;
}

// No call failed, and a client that has seen nothing finds all that was acknowledged.
void check_kept(Line& line, const ProcessCluster& cluster, const CreateLoad& load) {
  line.violations("a call failed", load.failures());
  const auto fresh = cluster.open(1);
  line.violation_unless(fresh->root(client::ReadMode::linearizable).has_value(),
                        "no linearizable read");
  line.violations("acknowledged and lost", test::missing(*fresh, load.acknowledged()));
  line.add_acknowledged(load.acknowledged().size());
}

void wait_random(std::mt19937_64& random, std::uint64_t most_ms) {
  std::this_thread::sleep_for(std::chrono::milliseconds(random() % (most_ms + 1)));
}

}  // namespace

TEST_CASE("kill -9 of the primary under 64-way load: another view, no error, nothing lost") {
  Line line("kill -9 of the primary, 64 outstanding");
  std::mt19937_64 random(settings().seed);
  ProcessCluster cluster(BFTMETAD);
  cluster.start_all();
  const auto client = cluster.open();
  CreateLoad load(*client, "f", 64);
  for (std::uint32_t round = 0; round < settings().few(); ++round) {
    REQUIRE(load.wait_acknowledged(500, kServiceTimeout));
    wait_random(random, 500);
    const std::uint32_t primary = primary_of(*client);
    load.watch_gaps();
    cluster.kill(primary);
    REQUIRE(load.wait_acknowledged(500, kServiceTimeout));
    const auto gap = load.longest_gap();
    line.note_gap(gap);
    line.violation_unless(gap < std::chrono::milliseconds(settings().gap_ms),
                          std::to_string(gap.count()) + " ms without service");
    line.violation_unless(primary_of(*client) != primary, "a dead replica is the primary");
    cluster.start(primary);
    const messages::Seq goal = executed_by(*client, (primary + 1) % cluster.n());
    line.violation_unless(catches_up(*client, primary, goal, kServiceTimeout),
                          "the killed replica does not catch up");
    line.add_round();
  }
  load.stop();
  check_kept(line, cluster, load);
  line.finished();
}

TEST_CASE("kill -9 of all replicas at random moments: nothing acknowledged is lost") {
  Line line("kill -9 of all four at random moments");
  std::mt19937_64 random(settings().seed + 1);
  ProcessCluster cluster(BFTMETAD);
  cluster.start_all();
  const auto client = cluster.open();
  CreateLoad load(*client, "f", 64);
  std::vector<std::uint32_t> order{0, 1, 2, 3};
  for (std::uint32_t round = 0; round < settings().rounds; ++round) {
    REQUIRE(load.wait_acknowledged(100, kServiceTimeout));
    wait_random(random, 700);
    std::ranges::shuffle(order, random);
    load.watch_gaps();
    for (const std::uint32_t replica : order) {
      cluster.kill(replica);
      wait_random(random, 30);
    }
    cluster.start_all();
    REQUIRE(load.wait_acknowledged(100, kServiceTimeout));
    line.note_gap(load.longest_gap());
    line.add_round();
  }
  load.stop();
  check_kept(line, cluster, load);
  line.finished();
}

TEST_CASE("a replica stands still under load and goes on: no error, it catches up") {
  Line line("SIGSTOP of one replica, " + std::to_string(settings().seconds) + " s");
  std::mt19937_64 random(settings().seed + 2);
  ProcessCluster cluster(BFTMETAD);
  cluster.start_all();
  const auto client = cluster.open();
  CreateLoad load(*client, "f", 64);
  REQUIRE(load.wait_acknowledged(200, kServiceTimeout));
  const std::uint32_t stopped = static_cast<std::uint32_t>(random() % cluster.n());
  load.watch_gaps();
  cluster.child(stopped).signal(SIGSTOP);
  load.run_for(std::chrono::seconds(settings().seconds));
  cluster.child(stopped).signal(SIGCONT);
  // What it missed, and beyond: the load does not wait for it.
  REQUIRE(load.wait_acknowledged(200, kServiceTimeout));
  line.note_gap(load.longest_gap());
  const messages::Seq goal = executed_by(*client, (stopped + 1) % cluster.n());
  const std::size_t before = load.acknowledged().size();
  line.violation_unless(catches_up(*client, stopped, goal, kServiceTimeout),
                        "the replica that stood still does not catch up");
  REQUIRE(load.wait_acknowledged(200, kServiceTimeout));
  CHECK(load.acknowledged().size() > before);
  load.stop();
  line.add_round();
  check_kept(line, cluster, load);
  line.finished();
}
