// Members come and go with real processes, under load (protocol §9.2).
#include <doctest/doctest.h>

#include <thread>

#include "admin/keyring.hpp"
#include "block_files.hpp"
#include "crypto/keys.hpp"
#include "large_state.hpp"
#include "verify/epoch_chain.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;

namespace {

struct Members {
  test::ProcessCluster cluster;
  std::atomic<int> faults{0};  // every replica here is correct
  std::unique_ptr<client::Client> client;
  std::vector<std::uint32_t> members{0, 1, 2, 3};  // their numbers in `cluster`, by position

  explicit Members(std::uint64_t state_fetch_rate = config::ReplicaSettings().state_fetch_rate)
      : cluster(BFTMETAD, {.flush_interval_ms = 500,
                           .state_fetch_rate = state_fetch_rate,
                           .block_fetch_rate = 20 << 20}) {
    cluster.start_all();
    client::Options options = cluster.client_options();
    options.on_fault = [this](const client::Fault& fault) {
      MESSAGE("replica ", fault.replica, " was blamed at ", fault.seq, ": ", fault.why);
      ++faults;
    };
    client = cluster.open(std::move(options));
  }
  ~Members() { CHECK(faults == 0); }

  std::uint32_t learner() {
    const std::uint32_t id = cluster.add_replica();
    cluster.launch(id);
    REQUIRE_MESSAGE(cluster.child(id).wait_for_output("learns", 20s), cluster.errors(id));
    return id;
  }
  bool says(std::uint32_t replica, const std::string& line) {
    return test::within(20s,
                        [&] { return cluster.errors(replica).find(line) != std::string::npos; });
  }
  std::uint64_t epoch() { return client->membership()->config.epoch; }
  std::vector<config::Replica> members_now() { return client->membership()->config.replicas; }
  // These are the members; with no load a read finds out.
  void change(const std::vector<std::uint32_t>& next) {
    const std::uint64_t before = epoch();
    REQUIRE(cluster.propose(*client, next) == schema::Code::ok);
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (epoch() == before && std::chrono::steady_clock::now() < end) {
      std::ignore = client->root(client::ReadMode::linearizable);
      std::this_thread::sleep_for(10ms);
    }
    std::string all;
    for (const std::uint32_t m : members)
      all += "replica " + std::to_string(m) + ":\n" + cluster.errors(m);
    all += cluster.errors(next.back());
    REQUIRE_MESSAGE(epoch() == before + 1, all);
    members = next;
  }
  // All of them have executed what is certified now.
  bool all_follow() {
    const auto root = client->root();
    if (!root) return false;
    for (std::uint32_t position = 0; position < members.size(); ++position)
      if (!test::catches_up(*client, position, root->body.seq, 60s)) {
        MESSAGE("behind: replica ", members[position], "\n", cluster.errors(members[position]));
        return false;
      }
    return true;
  }
};

struct SlowMembers : Members {
  SlowMembers() : Members(1 << 20) {}
};

using PortOf = std::uint16_t (config::Replica::*)() const;

crypto::LinkKey link_key(const std::string& directory) {
  auto none = crypto::PassphraseSource::descriptor(-2);
  auto key = crypto::load_link_key(directory + "/" + admin::kLinkKeyFile, none);
  REQUIRE(key);
  return *key;
}

// Whether the replica takes a connection of this key at this port.
bool lets_in(const config::Replica& replica, PortOf port, const crypto::LinkKey& key) {
  const net::Context context;
  net::Poller poller;
  net::LinkOptions to = net::client_link_options();
  to.host = replica.host;
  to.port = (replica.*port)();
  to.server_key = replica.link_key;
  const auto link = net::ClientLink::open(context, key, std::move(to), poller.waker());
  REQUIRE(link);
  poller.add(**link);
  const auto until = std::chrono::steady_clock::now() + 10s;
  while ((*link)->state() == net::LinkState::connecting &&
         std::chrono::steady_clock::now() < until) {
    poller.wait(50ms);
    (*link)->receive([](ByteView) {});
  }
  poller.remove(**link);
  REQUIRE((*link)->state() != net::LinkState::connecting);
  return (*link)->state() == net::LinkState::connected;
}

}  // namespace

// Of the members that it knew one is left, of those of its genesis none.
TEST_CASE_FIXTURE(Members, "T6.2 a client that was away for five epochs comes back by its state") {
  const auto replace = [this](std::uint32_t position) {
    std::vector<std::uint32_t> next = members;
    next[position] = learner();
    const std::uint32_t old = members[position];
    change(next);
    cluster.kill(old);
  };
  replace(0);
  client::Options options = cluster.client_options(1);
  options.state_file = cluster.dir() / "client.state";
  options.on_fault = [this](const client::Fault&) { ++faults; };
  {
    const auto away = cluster.open(options);
    CHECK(away->execute(test::create_file("before")));
    REQUIRE(away->membership()->config.epoch == 1);
    REQUIRE(away->close());
  }
  // A new one has to find a member of its genesis, so the last of these leaves last.
  for (const std::uint32_t position : {1U, 2U, 1U, 2U, 3U}) replace(position);
  const auto back = cluster.open(options);
  CHECK(back->execute(test::create_file("after"))->code == schema::Code::ok);
  CHECK(test::missing(*back, {"before", "after"}).empty());
  const auto led = back->membership();
  REQUIRE(led);
  CHECK(led->config == client->membership()->config);
  REQUIRE(led->steps.size() == 6);
  const auto proven = verify::follow_chain(crypto::Ed25519Verifier(),
                                           verify::TrustAnchor::of(cluster.genesis()), led->steps);
  REQUIRE_MESSAGE(proven, (proven ? "" : proven.error().message));
  CHECK(proven->config == led->config);
  REQUIRE(back->close());

  // It is the state that led it: the genesis alone leads nowhere.
  options.state_file.clear();
  const auto lost = client::Client::connect(options);
  REQUIRE(lost);
  CHECK((*lost)->wait_ready(2s).error().code == Errc::unreachable);
}

TEST_CASE_FIXTURE(Members, "the link key of a member that has left opens no port of the others") {
  const crypto::LinkKey retired = link_key(cluster.replica_dir(0));
  const crypto::LinkKey stays = link_key(cluster.replica_dir(1));
  const crypto::LinkKey guest = link_key(cluster.client_dir(1));
  for (const config::Replica& r : members_now()) {
    if (r.id == 0) continue;
    CAPTURE(r.id);
    CHECK(lets_in(r, &config::Replica::peer_port, retired));
    CHECK(lets_in(r, &config::Replica::block_port, retired));
    CHECK_FALSE(lets_in(r, &config::Replica::client_port, retired));  // no replica is a client
  }
  change({learner(), 1, 2, 3});
  REQUIRE(all_follow());
  for (const config::Replica& r : members_now()) {
    CAPTURE(r.id);
    CHECK_FALSE(lets_in(r, &config::Replica::client_port, retired));
    CHECK_FALSE(lets_in(r, &config::Replica::block_port, retired));
    CHECK(test::within(60s, [&] { return !lets_in(r, &config::Replica::peer_port, retired); }));
    CHECK(lets_in(r, &config::Replica::client_port, guest));
    CHECK(lets_in(r, &config::Replica::block_port, guest));
    if (r.id == 1) continue;
    CHECK(lets_in(r, &config::Replica::peer_port, stays));
    CHECK(lets_in(r, &config::Replica::block_port, stays));
  }
}

TEST_CASE_FIXTURE(Members, "all four replicas are replaced, one after the other, under load") {
  test::CreateLoad load(*client, "f");
  REQUIRE(load.wait_acknowledged(200, 20s));
  for (std::uint32_t position = 0; position < 4; ++position) {
    std::vector<std::uint32_t> next = members;
    const std::uint32_t old = next[position];
    next[position] = learner();
    change(next);
    REQUIRE(load.wait_acknowledged(200, 30s));
    CHECK(all_follow());
    // As its disk says, too.
    CHECK_MESSAGE(says(old, "has left the configuration"), cluster.errors(old));
    cluster.kill(old);
    REQUIRE(load.wait_acknowledged(200, 30s));
  }
  load.stop();
  CHECK(load.failures().empty());
  CHECK(test::missing(*client, load.acknowledged()).empty());
  CHECK(members == std::vector<std::uint32_t>{4, 5, 6, 7});

  // The old keys are worth nothing any more, and say so.
  for (std::uint32_t old = 0; old < 4; ++old) {
    CAPTURE(old);
    cluster.launch(old);
    CHECK(cluster.child(old).wait_exit(20s) == static_cast<int>(exit_code_of(Errc::identity)));
    CHECK(cluster.errors(old).find("has left the configuration") != std::string::npos);
  }
}

// Nobody but the members knows, and its link key is none of theirs any more.
TEST_CASE_FIXTURE(Members,
                  "a member that was down when it was replaced hears of it, or says what it sees") {
  cluster.kill(2);
  change({0, 1, learner(), 3});
  SUBCASE("from members that let it in to be told") {
    cluster.launch(2);
    CHECK_MESSAGE(says(2, "has left the configuration"), cluster.errors(2));
  }
  SUBCASE("from nobody after half a minute: it tells of the refusals") {
    std::this_thread::sleep_for(32s);
    cluster.launch(2);
    CHECK_MESSAGE(says(2, " members refuse this replica's link key"), cluster.errors(2));
    CHECK_FALSE(cluster.child(2).wait_exit(0ms));
  }
}

TEST_CASE_FIXTURE(Members, "a new member has the file data, so all may be replaced in a row") {
  test::BlockFiles files(cluster, *client);
  std::vector<std::uint32_t> learners;
  for (int i = 0; i < 4; ++i) learners.push_back(learner());
  files.write("f", 60);
  for (std::uint32_t position = 0; position < 4; ++position) {
    CAPTURE(position);
    const std::uint32_t old = members[position];
    std::vector<std::uint32_t> next = members;
    next[position] = learners[position];
    change(next);
    // Nobody waits for anything: what was there when it joined is there now.
    CHECK(files.held_by(learners[position]) == files.blocks());
    cluster.kill(old);
    files.write("f" + std::to_string(position), 5);
  }
  CHECK(files.all_readable());
  CHECK(files.read_all() == files.blocks());
  for (const std::uint32_t member : members) CHECK(files.wait_held_by(member, 30s));
}

// A receiver stores what it has every 4 MiB.
TEST_CASE_FIXTURE(SlowMembers,
                  "a new member that is killed while it fetches the state goes on from there") {
  constexpr std::size_t kBytes = 13 << 20;
  test::make_large_state(*client, kBytes);
  const std::uint32_t joins = learner();
  REQUIRE(cluster.propose(*client, {0, 1, 2, joins}) == schema::Code::ok);
  // As a member tells of it, once it is so far.
  const auto heard = [this](const std::function<bool(const messages::TransferProgress&)>& so_far) {
    messages::Learning learning;
    REQUIRE(test::within(30s, [&] {
      const auto status = client->status(0, 500ms);
      if (!status || status->joining.size() != 1 || status->joining[0].replica != 3) return false;
      learning = status->joining[0].learning;
      return so_far(learning.transfer);
    }));
    return learning;
  };
  const messages::Learning before = heard([](const auto& t) { return t.received_bytes > 5 << 20; });
  CHECK(before.transfer.target_leaves > kBytes / limits::kMaxXattrValue);
  CHECK(before.transfer.left_us != messages::kUnknownUs);
  CHECK(before.seq == 0);
  CHECK_FALSE(before.ready);
  cluster.kill(joins);
  cluster.launch(joins);
  const messages::Learning again = heard([&](const auto& t) {
    return t.target_leaves != 0 && t.received_bytes < before.transfer.received_bytes;
  });
  CHECK(again.transfer.leaves > before.transfer.leaves / 2);
  REQUIRE(says(joins, "has the state of sequence number"));
  const std::string line = cluster.errors(joins);
  const std::size_t bytes = line.find('(', line.find("has the state of sequence number")) + 1;
  CHECK(std::stoul(line.substr(bytes)) < kBytes - (3 << 20));
  CHECK(says(0, "epoch 1 begins"));
}

// What is complete stays so over the end of an epoch: nobody looks at all files again.
TEST_CASE_FIXTURE(Members, "members that stay go on with their blocks without another pass") {
  test::BlockFiles files(cluster, *client);
  files.write("f", 20);
  const std::string pass = "a pass over the certified files has ended";
  for (std::uint32_t member = 0; member < 4; ++member) {
    REQUIRE(files.wait_held_by(member, 30s));
    REQUIRE(says(member, pass));
  }
  change({learner(), 1, 2, 3});
  REQUIRE(all_follow());
  std::this_thread::sleep_for(1s);  // one that begins with the epoch ends within it
  int stayed = 0;
  for (std::uint32_t member = 1; member < 4; ++member) {
    const std::string errors = cluster.errors(member);
    if (errors.find("fetching the state") != std::string::npos) continue;  // it was behind
    ++stayed;
    CHECK_MESSAGE(errors.find(pass) == errors.rfind(pass), errors);
    CHECK(client->status(member, 5s)->blocks.finished_s != 0);
  }
  CHECK(stayed > 0);
}

// It was ready for a change that was taken back: what was named since then counts, too.
TEST_CASE_FIXTURE(Members, "what was named before a proposal is there when it is in force") {
  test::BlockFiles files(cluster, *client);
  const std::uint32_t joins = learner();
  files.write("f", 20);
  const std::uint32_t down = cluster.add_replica();
  const std::uint32_t down_too = cluster.add_replica();
  REQUIRE(cluster.propose(*client, {0, 1, 2, 3, joins, down, down_too}) == schema::Code::ok);
  REQUIRE(says(joins, "is ready; waits for the other members"));
  CHECK(files.held_by(joins) == files.blocks());
  REQUIRE(cluster.propose(*client, members) == schema::Code::ok);
  files.write("g", 20);
  change({joins, 1, 2, 3});
  CHECK(files.held_by(joins) == files.blocks());
}

TEST_CASE_FIXTURE(Members, "four become seven, and four again, under load") {
  test::CreateLoad load(*client, "f");
  REQUIRE(load.wait_acknowledged(200, 20s));
  change({0, 1, 2, 3, learner(), learner(), learner()});
  REQUIRE(load.wait_acknowledged(200, 30s));
  CHECK(all_follow());
  // Seven bear two that are gone.
  cluster.kill(0);
  cluster.kill(5);
  REQUIRE(load.wait_acknowledged(200, 60s));
  cluster.start(0);
  cluster.start(5);
  CHECK(all_follow());
  change({4, 1, 5, 6});
  REQUIRE(load.wait_acknowledged(200, 30s));
  CHECK(all_follow());
  load.stop();
  CHECK(load.failures().empty());
  CHECK(test::missing(*client, load.acknowledged()).empty());
}

TEST_CASE_FIXTURE(Members, "a disk is lost: the replica comes back under a new key") {
  test::CreateLoad load(*client, "f");
  REQUIRE(load.wait_acknowledged(200, 20s));
  cluster.kill(2);
  REQUIRE(load.wait_acknowledged(200, 60s));
  change({0, 1, learner(), 3});
  CHECK(all_follow());
  // Now it is needed.
  cluster.kill(3);
  REQUIRE(load.wait_acknowledged(200, 60s));
  load.stop();
  CHECK(load.failures().empty());
  CHECK(test::missing(*client, load.acknowledged()).empty());
}

TEST_CASE_FIXTURE(Members,
                  "a learner whose state store is damaged fetches the state again, and joins") {
  test::CreateLoad load(*client, "f");
  REQUIRE(load.wait_acknowledged(500, 20s));
  load.stop();
  const std::uint32_t joins = learner();
  const std::uint32_t down = cluster.add_replica();
  const std::uint32_t down_too = cluster.add_replica();
  REQUIRE(cluster.propose(*client, {0, 1, 2, 3, joins, down, down_too}) == schema::Code::ok);
  REQUIRE(says(joins, "has the state of sequence number"));
  cluster.kill(joins);
  const std::string data_dir = cluster.settings(joins).data_dir;
  test::write_text(data_dir + "/state/data.mdb", std::string(64 * 1024, 'x'));
  cluster.launch(joins);
  REQUIRE(says(joins, "state.damaged now"));
  CHECK(test::read_text(data_dir + "/state.damaged/data.mdb").starts_with("xxx"));
  REQUIRE(says(joins, "is ready; waits for the other members"));
  REQUIRE(cluster.propose(*client, members) == schema::Code::ok);
  change({0, 1, joins, 3});
  CHECK(all_follow());
  CHECK(test::missing(*client, load.acknowledged()).empty());
}
