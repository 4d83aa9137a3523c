// A cluster with one bftmetad-evil that lies to whoever fetches state and blocks: to a replica that
// joins, and to a member that has lost both. Each strategy in turn: all of it arrives, in time, and
// as it should be; no correct replica is blamed.
#include "e2e/block_files.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;

namespace {

using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

constexpr std::uint32_t kLiar = 0;
constexpr std::uint32_t kPosition = 3;  // of the member that is replaced and emptied
const std::string kFetched = "fetched the state of sequence number";

std::uint64_t number_behind(const std::string& word, const std::string& output) {
  const std::size_t at = output.find(word);
  REQUIRE_MESSAGE(at != std::string::npos, output);
  return std::stoull(output.substr(at + word.size()));
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t times = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; ++at) ++times;
  return times;
}

struct Round {
  Seconds joined{};    // from the start of a new replica until it is a member
  Seconds restored{};  // from the start without stores until it follows and has all blocks
};

class Lied {
 public:
  Lied() {
    cluster.start_all();
    client = cluster.open(watched(0));
    files.emplace(cluster, *client);
    files->write("blocks", 40);
    test::CreateLoad load(*client, "before");
    REQUIRE(load.wait_acknowledged(4000, 60s));
  }
  ~Lied() { CHECK(wrongly_blamed == 0); }

  // With a liar, or, without a strategy, nobody who lies.
  Round round(const std::string& strategy) {
    test::CreateLoad load(*client, "f" + std::to_string(rounds_++), 16);
    Round took;
    become(strategy);
    REQUIRE(load.wait_acknowledged(100, 30s));
    took.joined = join();
    become(strategy);
    REQUIRE(load.wait_acknowledged(100, 30s));
    took.restored = restore();
    become("");
    REQUIRE(load.wait_acknowledged(100, 30s));
    load.stop();
    CHECK(load.failures().empty());
    check_alone(load.acknowledged());
    CHECK(files->read_all() == files->blocks());
    return took;
  }

  test::ProcessCluster cluster{BFTMETAD, {.flush_interval_ms = 300, .block_fetch_rate = 64 << 20}};
  std::unique_ptr<client::Client> client;
  std::optional<test::BlockFiles> files;
  std::atomic<int> wrongly_blamed{0};

 private:
  // Replica kLiar is started anew. Each life of a liar has to be one: it lied about state and
  // blocks.
  void become(const std::string& strategy) {
    std::string output;
    REQUIRE(cluster.stop(kLiar, &output) == 0);
    if (lies_) {
      CHECK(number_behind("lies: ", output) > 0);
      CHECK(number_behind("wrong blocks: ", output) > 0);
    }
    lies_ = !strategy.empty();
    if (lies_)
      cluster.start(kLiar, BFTMETAD_EVIL, {"--strategy", strategy});
    else
      cluster.start(kLiar);
  }

  client::Options watched(std::uint32_t account) {
    client::Options options = cluster.client_options(account);
    options.on_fault = [this](const client::Fault& fault) {
      if (fault.replica == kLiar) return;
      MESSAGE("replica ", fault.replica, " was blamed at ", fault.seq, ": ", fault.why);
      ++wrongly_blamed;
    };
    return options;
  }

  Seconds join() {
    const std::uint32_t old = member_;
    member_ = cluster.add_replica();
    const auto begin = Clock::now();
    cluster.launch(member_);
    const std::uint64_t before = client->membership()->config.epoch;
    REQUIRE(cluster.propose(*client, {kLiar, 1, 2, member_}) == schema::Code::ok);
    while (client->membership()->config.epoch == before && Clock::now() < begin + 60s)
      std::this_thread::sleep_for(5ms);
    const auto took = Clock::now() - begin;
    REQUIRE_MESSAGE(client->membership()->config.epoch == before + 1, cluster.errors(member_));
    CHECK(files->intact_at(member_) == files->blocks());
    cluster.kill(old);
    return took;
  }

  // Nobody has history of an earlier epoch for it, so without a store it has to fetch the state.
  Seconds restore() {
    const std::size_t fetched = count(cluster.errors(member_), kFetched);
    REQUIRE(cluster.stop(member_) == 0);
    std::filesystem::remove_all(cluster.settings(member_).data_dir + "/state");
    std::filesystem::remove_all(files->directory(member_));
    const auto begin = Clock::now();
    cluster.start(member_);
    const auto root = client->root();
    REQUIRE(root);
    const bool follows = test::catches_up(*client, kPosition, root->body.seq, 60s);
    REQUIRE_MESSAGE(follows, cluster.errors(member_));
    CHECK(files->wait_held_by(member_, 60s));
    const auto took = Clock::now() - begin;
    CHECK(count(cluster.errors(member_), kFetched) == fetched + 1);
    CHECK(files->intact_at(member_) == files->blocks());
    return took;
  }

  // A client that reaches this replica and no other finds there what is certified.
  void check_alone(const std::vector<std::string>& names) {
    client::Options options = watched(1);
    options.state_file = cluster.dir() / "alone.state";
    REQUIRE(cluster.open(options)->close());  // leads it to the members of today
    for (std::uint32_t position = 0; position < kPosition; ++position)
      options.endpoints.push_back({position, "127.0.0.1", 1});
    const auto alone = client::Client::connect(std::move(options));
    REQUIRE(alone);
    CHECK(test::missing(**alone, names).empty());
    std::optional<Result<messages::RootCert>> there;
    std::optional<Result<messages::RootCert>> everywhere;
    const auto same = [&] {
      return *there && *everywhere && (*there)->body == (*everywhere)->body;
    };
    for (const auto until = Clock::now() + 20s; Clock::now() < until;) {
      there = (*alone)->root();
      everywhere = client->root();
      if (same()) break;
    }
    CHECK(same());
  }

  std::uint32_t member_ = kPosition;  // its number in `cluster`
  bool lies_ = false;
  int rounds_ = 0;
};

}  // namespace

TEST_CASE("a source of state and blocks that lies: replicas that join or lost all are whole soon") {
  Lied lied;
  std::map<std::string, Round> took;
  Round honest = lied.round("");
  for (const std::string strategy : {"state-transfer-lies", "wrong-fragments", "leafless-fragments",
                                     "trickling-fragments", "gone-fragments", "old-targets"}) {
    CAPTURE(strategy);
    took[strategy] = lied.round(strategy);
  }
  // Every round leaves a longer chain and more files, so honest ones stand at both ends.
  const Round last = lied.round("");
  honest = {std::max(honest.joined, last.joined), std::max(honest.restored, last.restored)};
  // How long exactly is a matter of virtual time (T7.4); here processes share a busy machine.
  constexpr Seconds kNoise{10};
  MESSAGE("honest: joined in ", honest.joined.count(), " s, restored in ", honest.restored.count());
  for (const auto& [strategy, t] : took) {
    MESSAGE(strategy, ": joined in ", t.joined.count(), " s, restored in ", t.restored.count());
    CHECK(t.joined <= 2 * honest.joined + kNoise);
    CHECK(t.restored <= 2 * honest.restored + kNoise);
  }
}
