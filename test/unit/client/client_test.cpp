#include <doctest/doctest.h>

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "client/state_file.hpp"
#include "client/transport.hpp"
#include "fake_cluster.hpp"
#include "support/temp_dir.hpp"

using namespace bftmeta;
using namespace bftmeta::client;
using namespace bftmeta::client::testing;
using schema::Code;

namespace {

constexpr std::chrono::milliseconds kPatience(10'000);

std::uint64_t clock_us(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 +
         static_cast<std::uint64_t>(t.tv_nsec) / 1000;
}

// The fake cluster behind the real thread, in real time. Only that thread touches the cluster.
class LiveTransport final : public Transport {
 public:
  explicit LiveTransport(FakeCluster& cluster) : cluster_(cluster) { set_time(); }

  void send(ReplicaId to, ByteView message) override {
    set_time();
    cluster_.send(to, message);
  }
  ReplicaSet connected() const override { return cluster_.connected(); }
  void follow(const config::Config& config) override { cluster_.follow(config); }

  void wait(Micros timeout) override {
    const Micros next = cluster_.next_delivery();
    set_time();
    const Micros mail = next <= cluster_.now.mono ? 0 : next - cluster_.now.mono;
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::microseconds(std::min(timeout, mail)),
                      [this] { return woken_; });
    woken_ = false;
  }
  void receive(const Sink& sink) override {
    set_time();
    cluster_.deliver(sink);
  }
  void flush() override {}
  void wake() override {
    const std::lock_guard lock(mutex_);
    woken_ = true;
    changed_.notify_one();
  }

 private:
  void set_time() { cluster_.now = {clock_us(CLOCK_BOOTTIME), clock_us(CLOCK_REALTIME)}; }

  FakeCluster& cluster_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
};

struct Live {
  FakeCluster cluster;
  Options options;
  std::unique_ptr<Client> client;

  explicit Live(const std::string& state_file = "", int timeout_ms = 10'000) {
    options.genesis = cluster.keys.genesis;
    options.signer = test::test_signer("client 0");
    options.timeout = std::chrono::milliseconds(timeout_ms);
    options.state_file = state_file;
    connect();
  }
  void connect() {
    auto connected = connect_over(options, std::make_unique<LiveTransport>(cluster));
    REQUIRE(connected);
    client = std::move(*connected);
  }
};

}  // namespace

TEST_CASE("many threads share a client; each gets its own answers") {
  Live live;
  REQUIRE(live.client->wait_ready(std::chrono::seconds(10)));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        const std::string name = std::to_string(t) + "-" + std::to_string(i);
        const auto made = live.client->execute({root_user(), make_file(name)});
        if (!made || made->code != Code::ok) ++wrong;
        const auto read = live.client->read({{root_user(), path(name)}});
        if (!read || read->answers.front().code != Code::ok) ++wrong;
        const auto again = live.client->execute({root_user(), make_file(name)});
        if (!again || again->code != Code::exists) ++wrong;
      }
    });
  for (std::thread& t : threads) t.join();
  CHECK(wrong == 0);
  CHECK(live.client->read({{root_user(), path("0-0")}}, ReadMode::linearizable));
  CHECK(live.client->root());
  CHECK(live.client->prove(root_user(), {}));
  CHECK(live.client->status(1, std::chrono::seconds(5))->replica == 1);
  CHECK(live.client->close());
}

TEST_CASE("callbacks may submit; close waits for what is outstanding and then takes nothing") {
  Live live;
  std::atomic<int> done{0};
  for (int i = 0; i < 50; ++i)
    live.client->submit(
        {root_user(), make_file("a" + std::to_string(i))},
        [&, i](const Result<schema::OpResult>& r) {
          CHECK(r);
          ++done;
          if (i == 0)
            live.client->submit({root_user(), make_file("nested")}, [&](const auto&) { ++done; });
        });
  while (done == 0) std::this_thread::yield();
  CHECK(live.client->close());
  CHECK(done >= 50);
  CHECK(live.client->close());
  const auto late = live.client->execute({root_user(), make_file("late")});
  REQUIRE_FALSE(late);
  CHECK_FALSE(live.client->read({{root_user(), path("")}}));
}

TEST_CASE("closing a client of a dead cluster ends in time; everything is answered") {
  Live live("", 300);
  for (ReplicaId r = 0; r < 4; ++r) live.cluster.replica(r).silent = true;
  std::atomic<int> failed{0};
  for (int i = 0; i < 5; ++i)
    live.client->submit({root_user(), make_file("a")},
                        [&](const Result<schema::OpResult>& r) { failed += r ? 0 : 1; });
  CHECK_FALSE(live.client->wait_ready(std::chrono::milliseconds(50)));
  std::ignore = live.client->close();
  CHECK(failed == 5);
}

TEST_CASE("the newest certificate is kept in the state file and believed after a restart") {
  const test::TempDir dir;
  const std::string file = dir.path() + "/state";
  Live live(file);
  REQUIRE(live.client->execute({root_user(), make_file("a")}));
  REQUIRE(live.client->close());
  const messages::Seq seen = live.cluster.seq();
  CHECK(std::filesystem::exists(file));
  live.connect();
  const auto before = live.cluster.reads.size();
  CHECK(live.client->read({{root_user(), path("a")}}));
  live.client.reset();
  CHECK(live.cluster.reads[before].second.min_seq == seen);

  SUBCASE("damaged") {
    std::string state = test::read_text(file);
    state[100] ^= 1;
    test::write_text(file, state);
  }
  SUBCASE("of another cluster") { live.options.genesis.name = "other"; }
  CHECK_FALSE(connect_over(live.options, std::make_unique<LiveTransport>(live.cluster)));
}

TEST_CASE(
    "a state file that cannot be written, or is of no use, is told of; nothing waits for it") {
  const test::TempDir dir;
  std::string file = dir.path() + "/state";
  std::vector<Errc> unsaved;
  Live live;
  const auto connect = [&] {
    live.client.reset();
    live.options.state_file = file;
    live.options.on_unsaved = [&](const Error& why) { unsaved.push_back(why.code); };
    live.connect();
  };
  SUBCASE("no directory") {
    file = dir.path() + "/nowhere/state";
    connect();
    CHECK(live.client->execute({root_user(), make_file("a")}));
    CHECK(live.client->close().error().code == Errc::not_found);
    CHECK(unsaved == std::vector<Errc>{Errc::not_found});
  }
  SUBCASE("locked by a process that does not go on") {
    const int lock = open((file + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(lock >= 0);
    REQUIRE(flock(lock, LOCK_EX) == 0);
    connect();
    CHECK(live.client->execute({root_user(), make_file("b")}));
    CHECK(live.client->close().error().code == Errc::busy);
    CHECK(unsaved == std::vector<Errc>{Errc::busy});
    CHECK(load_state(file)->empty());
    connect();
    CHECK(live.client->execute({root_user(), make_file("c")}));
    close(lock);
    CHECK(live.client->close());
    CHECK_FALSE(load_state(file)->empty());
  }
  SUBCASE("rotten") {
    live.options.state_file = file;
    test::write_text(file, "rot");
    const auto refused = connect_over(live.options, std::make_unique<LiveTransport>(live.cluster));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message.find(file) != std::string::npos);
    CHECK(refused.error().message.find("without the file") != std::string::npos);
  }
}

TEST_CASE("clients that share a state file leave the newest state in it") {
  const test::TempDir dir;
  const std::string file = dir.path() + "/state";
  Live live(file);
  REQUIRE(live.client->execute({root_user(), make_file("a")}));
  REQUIRE(live.client->close());
  const Bytes older = *load_state(file);
  live.connect();
  REQUIRE(live.client->execute({root_user(), make_file("b")}));
  REQUIRE(live.client->close());
  const Bytes newer = *load_state(file);
  CHECK(verify::Certificates::newer(newer, older));
  CHECK_FALSE(verify::Certificates::newer(older, newer));
  CHECK_FALSE(verify::Certificates::newer(newer, newer));
  REQUIRE(store_state(file, older, kPatience));
  CHECK(*load_state(file) == newer);
  test::write_text(file, "rot");
  REQUIRE(store_state(file, older, kPatience));
  CHECK(*load_state(file) == older);
  std::vector<std::thread> writers;
  for (int i = 0; i < 8; ++i)
    writers.emplace_back([&, i] {
      for (int n = 0; n < 20; ++n)
        CHECK(store_state(file, i == 3 && n == 10 ? newer : older, kPatience).has_value());
    });
  for (std::thread& writer : writers) writer.join();
  CHECK(*load_state(file) == newer);
}

TEST_CASE("the epochs that a client was led through are kept in the state file") {
  const test::TempDir dir;
  const std::string file = dir.path() + "/state";
  Live live(file);
  REQUIRE(live.client->execute({root_user(), make_file("a")}));
  CHECK(live.client->membership()->steps.empty());
  REQUIRE(live.client->close());
  live.client.reset();
  live.cluster.move_to({0, 1, 2, 4});
  SUBCASE("also when the last certificate of the epoch before is all that is new") {
    for (ReplicaId r = 0; r < 4; ++r) live.cluster.replica(r).epoch = 0;
    live.connect();
    CHECK(live.client->read({{root_user(), path("a")}}));
    CHECK(live.client->membership()->steps.empty());
    live.client.reset();
    for (ReplicaId r = 0; r < 4; ++r) live.cluster.replica(r).epoch.reset();
  }
  live.connect();
  CHECK(live.client->read({{root_user(), path("a")}}));
  const auto membership = live.client->membership();
  REQUIRE(membership);
  CHECK(membership->config.epoch == 1);
  CHECK(membership->steps == live.cluster.steps());
  live.client.reset();

  verify::Certificates kept(live.cluster.keys.verifier,
                            verify::TrustAnchor::of(live.options.genesis));
  REQUIRE(kept.restore(*load_state(file)));
  CHECK(kept.steps() == live.cluster.steps());
  // Who was in the first epoch only is not needed any more.
  for (const ReplicaId r : {0U, 3U}) live.cluster.replica(r).silent = true;
  const std::size_t asked = live.cluster.epochs_sent;
  live.connect();
  CHECK(live.client->execute({root_user(), make_file("b")}));
  CHECK(live.cluster.epochs_sent == asked);
}

TEST_CASE("who watches the members is told of them before anything that they have certified") {
  Live live;
  REQUIRE(live.client->execute({root_user(), make_file("a")}));
  std::atomic<std::uint64_t> epoch{~std::uint64_t{0}};
  std::atomic<int> calls{0};
  live.client->watch_members([&](const config::Config& members) {
    epoch = members.epoch;
    ++calls;
  });
  REQUIRE(live.client->membership());
  CHECK(epoch == 0);
  REQUIRE(live.client->close());
  CHECK(calls == 1);
  live.client.reset();
  live.connect();
  live.client->watch_members([&](const config::Config& members) {
    if (calls == 1) live.cluster.move_to({0, 1, 2, 4});  // on the thread that has the cluster
    epoch = members.epoch;
    ++calls;
  });
  std::atomic<std::uint64_t> seen{0};
  std::atomic<bool> done{false};
  live.client->submit({root_user(), make_file("b")}, [&](Result<schema::OpResult> result) {
    CHECK(result);
    seen = epoch.load();
    done = true;
  });
  REQUIRE(live.client->close());
  CHECK(done);
  CHECK(seen == 1);
  CHECK(calls == 3);
  CHECK(epoch == 1);
}
