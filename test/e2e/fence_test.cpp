// A data directory that went back in time, with real processes (protocol §3.5, §3.6).
#include <doctest/doctest.h>

#include <filesystem>
#include <thread>

#include "admin/cluster.hpp"
#include "e2e/chaos.hpp"
#include "support/create_load.hpp"
#include "support/process_cluster.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kRestored = 2;

void copy_directory(const std::string& from, const std::string& to) {
  std::filesystem::remove_all(to);
  std::filesystem::copy(from, to, std::filesystem::copy_options::recursive);
}

bool wait_for_condition(client::Client& client, std::uint32_t replica, const std::string& part) {
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  while (std::chrono::steady_clock::now() < deadline) {
    const auto status = client.status(replica, 500ms);
    if (status && status->condition.starts_with(part)) return true;
    std::this_thread::sleep_for(50ms);
  }
  return false;
}

}  // namespace

TEST_CASE("T3.9 an old copy of a data directory: fenced, shown, no vote; the cluster goes on") {
  test::chaos::Line line("an old data directory restored on one replica");
  test::ProcessCluster cluster(BFTMETAD);
  cluster.start_all();
  const auto client = cluster.open();
  test::CreateLoad load(*client, "f");
  REQUIRE(load.wait_acknowledged(100, 20s));
  const std::string data = cluster.settings(kRestored).data_dir;
  const std::string newest = cluster.dir() / "newest";
  const std::string backup = cluster.dir() / "backup";
  REQUIRE(cluster.stop(kRestored) == 0);
  copy_directory(data, backup);
  cluster.start(kRestored);
  REQUIRE(wait_for_condition(*client, kRestored, "ok"));
  REQUIRE(load.wait_acknowledged(300, 20s));
  REQUIRE(cluster.stop(kRestored) == 0);

  copy_directory(data, newest);
  copy_directory(backup, data);
  cluster.start(kRestored);
  REQUIRE(wait_for_condition(*client, kRestored, "fenced: "));
  CHECK(cluster.errors(kRestored).find("[error]") != std::string::npos);
  CHECK(cluster.errors(kRestored).find("the data directory is an old copy") != std::string::npos);
  const auto status = admin::ask_status(*client, 2000ms);
  CHECK(status.health == admin::Health::warn);
  CHECK(status.reason.starts_with("replica 2: fenced: "));
  CHECK(load.wait_acknowledged(200, 20s));

  // It follows and proves reads.
  const auto root = client->root();
  REQUIRE(root.has_value());
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  bool caught_up = false;
  while (!caught_up && std::chrono::steady_clock::now() < deadline) {
    const auto own = client->status(kRestored, 500ms);
    caught_up = own && own->executed_seq >= root->body.seq;
  }
  CHECK(caught_up);
  CHECK(test::certificate_of(cluster.client_options(1), kRestored, 10s).has_value());

  // Its vote is not there: with one more replica away, two voters are no quorum.
  cluster.kill(3);
  while (load.wait_acknowledged(1, 1s)) {
  }
  CHECK_FALSE(load.wait_acknowledged(1, 2s));
  cluster.start(3);
  CHECK(load.wait_acknowledged(100, 25s));

  // A restart does not forget it; the newest directory, put back, lifts it.
  REQUIRE(cluster.stop(kRestored) == 0);
  cluster.start(kRestored);
  CHECK(wait_for_condition(*client, kRestored, "fenced: "));
  REQUIRE(cluster.stop(kRestored) == 0);
  copy_directory(newest, data);
  cluster.start(kRestored);
  CHECK(wait_for_condition(*client, kRestored, "ok"));
  CHECK(load.wait_acknowledged(100, 20s));
  load.stop();
  line.add_round();
  line.add_acknowledged(load.acknowledged().size());
  line.violations("a call failed", load.failures());
  line.violations("acknowledged and lost", test::missing(*client, load.acknowledged()));
  line.finished();
}
