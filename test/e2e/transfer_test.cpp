// State transfer with real processes (protocol §7.7): a replica without a state store, of which
// nobody's log has the beginning, comes back under load.
#include "block_files.hpp"
#include "large_state.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kEmptied = 3;
const std::string kFetched = "fetched the state of sequence number";

// The replica has executed what was certified when this was called.
bool follows(client::Client& client) {
  const auto root = client.root();
  return root && test::catches_up(client, kEmptied, root->body.seq, 60s);
}

// Stops the replica and leaves it behind: no log of the others has the beginning any more.
void leave_behind(test::ProcessCluster& cluster, test::CreateLoad& load) {
  REQUIRE(load.wait_acknowledged(200, 20s));
  REQUIRE(cluster.stop(kEmptied) == 0);
  // Each start of the others takes a new segment; the oldest goes when the one behind it is whole,
  // and what it holds is flushed.
  for (std::uint32_t start = 0; start < 3 * kEmptied; ++start) {
    REQUIRE(cluster.stop(start % kEmptied) == 0);
    cluster.start(start % kEmptied);
    REQUIRE(load.wait_acknowledged(400, 60s));
    load.run_for(800ms);
  }
  std::filesystem::remove_all(cluster.settings(kEmptied).data_dir + "/state");
}

const test::ProcessCluster::Options kShortLogs{
    .log_segment_bytes = 4ULL << 20, .log_retain_bytes = 0, .flush_interval_ms = 500};

}  // namespace

TEST_CASE("T7.3 an emptied state store and a gap in all logs: the state is fetched under load") {
  test::ProcessCluster cluster(BFTMETAD, kShortLogs);
  cluster.start_all();
  const auto client = cluster.open();
  test::BlockFiles files(cluster, *client);
  files.write("data", 8);
  test::CreateLoad load(*client, "f");
  leave_behind(cluster, load);
  std::filesystem::remove_all(files.directory(kEmptied));

  cluster.start(kEmptied);
  REQUIRE(load.wait_acknowledged(200, 60s));
  CHECK(follows(*client));
  CHECK(cluster.errors(kEmptied).find(kFetched) != std::string::npos);
  CHECK(files.wait_held_by(kEmptied, 60s));  // the blocks follow the state
  // It is needed now: with another one away there is no quorum without it.
  cluster.kill(0);
  CHECK(load.wait_acknowledged(200, 60s));
  load.stop();
  CHECK(load.failures().empty());
  CHECK(test::missing(*client, load.acknowledged()).empty());
  CHECK(test::certificate_of(cluster.client_options(1), kEmptied, 10s).has_value());

  // What it fetched is what it starts from.
  REQUIRE(cluster.stop(kEmptied) == 0);
  cluster.start(kEmptied);
  CHECK(follows(*client));
  const std::string errors = cluster.errors(kEmptied);
  CHECK(errors.find(kFetched) == errors.rfind(kFetched));
}

TEST_CASE("T7.5 a replica that is killed while it fetches the state goes on from there") {
  test::ProcessCluster::Options tuning = kShortLogs;
  tuning.state_fetch_rate = 1 << 20;
  test::ProcessCluster cluster(BFTMETAD, tuning);
  cluster.start_all();
  const auto client = cluster.open();
  test::make_large_state(*client, 13 << 20);
  test::CreateLoad load(*client, "f");
  leave_behind(cluster, load);
  load.stop();

  cluster.start(kEmptied);
  const auto fetching = [&](const std::function<bool(const messages::TransferProgress&)>& so_far) {
    messages::TransferProgress progress;
    REQUIRE(test::within(30s, [&] {
      const auto status = client->status(kEmptied, 500ms);
      if (!status || !status->transfer.running) return false;
      progress = status->transfer;
      return so_far(progress);
    }));
    return progress;
  };
  // What it has is stored every 4 MiB.
  const auto before = fetching([](const auto& t) { return t.received_bytes > 6 << 20; });
  cluster.kill(kEmptied);
  cluster.start(kEmptied);
  const auto again = fetching([&](const auto& t) {
    return t.target_leaves != 0 && t.received_bytes < before.received_bytes;
  });
  CHECK(again.leaves > before.leaves / 2);
  CHECK(follows(*client));
  CHECK(cluster.errors(kEmptied).find(kFetched) != std::string::npos);
}
