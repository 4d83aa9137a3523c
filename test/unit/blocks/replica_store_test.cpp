// The client and the replica side of the block port together, over loopback.
#include "blocks/replica_store.hpp"

#include <doctest/doctest.h>

#include "blocks/block_server.hpp"
#include "crypto/hash.hpp"
#include "net/auth.hpp"
#include "support/temp_dir.hpp"
#include "watched_file_system.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t kN = 4;
constexpr std::size_t kHosts = 7;  // the first kN are the members, at first

// One replica's block port, honest, failing on demand, or answering in its own way.
struct Host {
  crypto::LinkKey key = crypto::generate_link_key();
  test::WatchedFileSystem fs;
  std::unique_ptr<blocks::BlockDirectory> directory;
  std::unique_ptr<blocks::BlockServer> server;
};

struct Cluster {
  test::TempDir temp;
  net::Context context;
  net::Authenticator authenticator{context};
  crypto::Context identity{Hash{1, 2, 3}, 0};
  crypto::LinkKey client = crypto::generate_link_key();
  crypto::LinkKey member = crypto::generate_link_key();
  std::array<Host, kHosts> hosts;
  std::vector<config::Replica> cards;
  config::Config config;
  std::mutex mutex;
  std::vector<std::string> reports;
  std::vector<Hash> missed;  // by clients, at all replicas

  Cluster() {
    for (std::uint32_t i = 0; i < kHosts; ++i) {
      auto directory = blocks::BlockDirectory::open(
          hosts[i].fs, temp / ("replica-" + std::to_string(i)), nullptr);
      REQUIRE(directory);
      hosts[i].directory = std::move(*directory);
      config::Replica replica;
      replica.id = i;
      replica.link_key = hosts[i].key.public_key;
      replica.host = "127.0.0.1";
      replica.port = static_cast<std::uint16_t>(start(i) - 2);
      cards.push_back(replica);
    }
    config = of(0, {0, 1, 2, 3});
  }
  config::Config of(std::uint64_t epoch, const std::vector<std::uint32_t>& members) const {
    config::Config c;
    c.epoch = epoch;
    for (const std::uint32_t host : members) {
      c.replicas.push_back(cards[host]);
      c.replicas.back().id = static_cast<std::uint32_t>(c.replicas.size() - 1);
    }
    return c;
  }
  net::ServerOptions options(std::size_t i) {
    net::ServerOptions options = net::block_port_options();
    options.domain = authenticator.domain("blocks-" + std::to_string(i), 4);
    options.domain->set_allowed({{client.public_key, "client"}, {member.public_key, "replica 9"}});
    options.host = "127.0.0.1";
    return options;
  }
  blocks::BlockServerContext around() {
    return {identity, [this](const Hash& digest) {
              const std::lock_guard lock(mutex);
              missed.push_back(digest);
            }};
  }
  std::uint16_t start(std::size_t i) {
    auto server = blocks::BlockServer::start(context, hosts[i].key, options(i), around(),
                                             *hosts[i].directory);
    REQUIRE(server);
    hosts[i].server = std::move(*server);
    hosts[i].server->set_members({member.public_key});
    return hosts[i].server->port();
  }
  std::unique_ptr<blocks::ReplicaStore> open(std::chrono::milliseconds timeout = 10s) {
    return open(client, timeout);
  }
  std::unique_ptr<blocks::ReplicaStore> open(const crypto::LinkKey& key,
                                             std::chrono::milliseconds timeout) {
    blocks::ReplicaStoreOptions store_options;
    store_options.timeout = timeout;
    store_options.report = [this](const std::string& line) {
      std::lock_guard lock(mutex);
      reports.push_back(line);
    };
    auto store = blocks::ReplicaStore::open(context, key, config, identity, store_options);
    REQUIRE(store);
    return std::move(*store);
  }
  std::size_t holders(const Hash& digest) {
    std::size_t count = 0;
    for (Host& host : hosts) count += *host.directory->has(digest) ? 1 : 0;
    return count;
  }
};

}  // namespace

TEST_CASE("a put is held by at least 2f+1 replicas when it returns, a get verifies") {
  Cluster cluster;
  const auto store = cluster.open();
  for (const std::size_t size :
       {std::size_t{1}, std::size_t{70'000}, std::size_t{limits::kBlockSize}}) {
    Bytes content(size);
    crypto::random_bytes(content);
    const auto digest = store->put(content);
    REQUIRE(digest);
    CHECK(*digest == crypto::sha256(content));
    CHECK(cluster.holders(*digest) >= 3);
    const auto block = store->get(*digest);
    REQUIRE(block);
    CHECK(**block == content);
    CHECK(*store->has(*digest));
  }
  const Hash unknown = crypto::sha256(to_bytes("never stored"));
  CHECK(store->get(unknown).error().code == Errc::not_found);
  CHECK_FALSE(*store->has(unknown));
  CHECK(store->put({}).error().code == Errc::invalid_argument);
}

TEST_CASE("one replica away: everything works; two away: a put fails within its timeout") {
  Cluster cluster;
  cluster.hosts[0].server.reset();
  {
    const auto store = cluster.open();
    const auto digest = store->put(to_bytes("content"));
    INFO((digest ? std::string() : digest.error().message));
    REQUIRE(digest);
    CHECK(cluster.holders(*digest) == 3);
    CHECK(store->get(*digest));
  }
  cluster.hosts[1].server.reset();
  const auto store = cluster.open(500ms);
  const auto refused = store->put(to_bytes("more"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::unreachable);
  CHECK(refused.error().message.find("3 are needed") != std::string::npos);
  // What is durable stays readable from either of those that are left.
  CHECK(store->get(crypto::sha256(to_bytes("content"))));
}

TEST_CASE("a replica without the block, or with a rotten one, is passed over") {
  Cluster cluster;
  const auto store = cluster.open();
  const Bytes content = to_bytes("not on the first");
  const Hash digest = crypto::sha256(content);
  REQUIRE(cluster.hosts[3].directory->put(content));
  REQUIRE(cluster.hosts[1].directory->put(content));
  REQUIRE(cluster.hosts[2].directory->put(content));
  const std::string hex = to_hex(digest);
  test::write_text(cluster.temp / ("replica-2/" + hex.substr(0, 2) + "/" + hex.substr(2)), "rot");
  const auto block = store->get(digest);
  REQUIRE(block);
  CHECK(**block == content);
}

TEST_CASE("full disks: within f they do not matter, beyond f the put says so") {
  Cluster cluster;
  const auto full = [](const std::string& call) -> Status {
    if (call.starts_with("write")) return fail(Errc::disk_full, "no space");
    return {};
  };
  const auto store = cluster.open();
  cluster.hosts[2].fs.before = full;
  const auto digest = store->put(to_bytes("a"));
  REQUIRE(digest);
  CHECK(cluster.holders(*digest) == 3);
  cluster.hosts[1].fs.before = full;
  const auto refused = store->put(to_bytes("b"));
  REQUIRE_FALSE(refused);
  CHECK(refused.error().code == Errc::disk_full);
}

TEST_CASE("a replica that returns other content is reported and another one serves") {
  Cluster cluster;
  const Bytes content = to_bytes("the truth");
  const Hash digest = crypto::sha256(content);
  for (Host& host : cluster.hosts) REQUIRE(host.directory->put(content));
  // Three liars, so that one of them is asked first most likely; served until the test ends.
  std::atomic<bool> stop{false};
  std::vector<std::thread> liars;
  for (std::size_t i = 0; i < 3; ++i) {
    const std::uint16_t port = cluster.hosts[i].server->port();
    cluster.hosts[i].server.reset();
    liars.emplace_back([&cluster, &stop, i, port] {
      net::Poller poller;
      net::ServerOptions options = cluster.options(i);
      options.port = port;
      auto server =
          net::Server::bind(cluster.context, cluster.hosts[i].key, options, poller.waker());
      if (!server) return;
      poller.add(**server);
      while (!stop) {
        poller.wait(20ms);
        (*server)->receive([&](const net::Route& from, ByteView message) {
          const auto request = messages::decode_block_request_frame(cluster.identity, message);
          if (!request) return;
          const auto* get = std::get_if<messages::GetBlock>(&*request);
          if (get == nullptr) return;
          (*server)->send(from, messages::encode_frame(cluster.identity,
                                                       messages::BlockReply(messages::BlockContent{
                                                           get->digest, to_bytes("a lie")})));
        });
        (*server)->flush();
      }
    });
  }
  {
    const auto store = cluster.open();
    // 2f+1 liars are more than the model allows; they can refuse service but not be believed.
    const auto block = store->get(digest);
    INFO((block ? std::string() : block.error().message));
    if (block)
      CHECK(**block == content);
    else
      CHECK(block.error().code == Errc::not_found);
    std::lock_guard lock(cluster.mutex);
    if (!block) CHECK(cluster.reports.size() >= 3);
    for (const std::string& line : cluster.reports)
      CHECK(line.find("does not match its digest") != std::string::npos);
  }
  stop = true;
  for (std::thread& liar : liars) liar.join();
}

TEST_CASE("many writers at once") {
  Cluster cluster;
  const auto store = cluster.open();
  std::vector<std::thread> writers;
  std::atomic<int> good{0};
  for (int w = 0; w < 6; ++w) {
    writers.emplace_back([&, w] {
      for (int i = 0; i < 10; ++i) {
        const Bytes content(20'000 + static_cast<std::size_t>(i), static_cast<std::uint8_t>(w));
        const auto digest = store->put(content);
        if (!digest) continue;
        const auto block = store->get(*digest);
        if (block && **block == content) ++good;
      }
    });
  }
  for (std::thread& writer : writers) writer.join();
  CHECK(good == 60);
}

TEST_CASE("frames: digest checked before storing, strict codec, own cap") {
  Cluster cluster;
  const crypto::Context& id = cluster.identity;
  const messages::BlockRequest put = messages::PutBlock{Hash{9}, Bytes(limits::kBlockSize, 1)};
  Bytes frame = messages::encode_frame(id, put);
  CHECK(*messages::decode_block_request_frame(id, frame) == put);
  CHECK(frame.size() <= limits::kMaxBlockFrame);
  frame.push_back(0);
  CHECK(messages::decode_block_request_frame(id, frame).error().code == Errc::malformed);
  CHECK(messages::decode_block_reply_frame(id, messages::encode_frame(id, put)).error().code ==
        Errc::malformed);
  const crypto::Context other{Hash{7}, 0};
  CHECK(messages::decode_block_request_frame(other, messages::encode_frame(id, put)).error().code ==
        Errc::identity);
}

TEST_CASE(
    "a member reads blocks and stores none; what a client misses is told, what a member misses "
    "not") {
  Cluster cluster;
  const auto client = cluster.open();
  const auto member = cluster.open(cluster.member, 10s);
  const auto digest = client->put(to_bytes("content"));
  REQUIRE(digest);
  CHECK(member->get(*digest));
  CHECK(member->put(to_bytes("other")).error().code == Errc::io);
  CHECK(cluster.holders(crypto::sha256(to_bytes("other"))) == 0);
  const Hash unknown = crypto::sha256(to_bytes("never stored"));
  CHECK_FALSE(member->get(unknown));
  {
    const std::lock_guard lock(cluster.mutex);
    CHECK(cluster.missed.empty());
  }
  CHECK_FALSE(client->get(unknown));
  const std::lock_guard lock(cluster.mutex);
  CHECK_FALSE(cluster.missed.empty());
  CHECK(std::ranges::all_of(cluster.missed, [&](const Hash& d) { return d == unknown; }));
}

TEST_CASE("the members of the next epoch hold and give what is put and got from then on") {
  Cluster cluster;
  const auto store = cluster.open();
  const auto before = store->put(to_bytes("before"));
  REQUIRE(before);
  CHECK(store->holders() == 0);
  SUBCASE("four others") { store->follow(cluster.of(1, {0, 4, 5, 6})); }
  SUBCASE("seven, and again four") {
    store->follow(cluster.of(1, {0, 1, 2, 3, 4, 5, 6}));
    const auto seven = store->put(to_bytes("seven"));
    REQUIRE(seven);
    CHECK(cluster.holders(*seven) >= 5);
    store->follow(cluster.of(2, {5, 0, 6, 4}));
  }
  CHECK(store->holders() >= 1);
  for (const std::size_t left : {1U, 2U, 3U}) cluster.hosts[left].server.reset();
  const auto after = store->put(to_bytes("after"));
  REQUIRE_MESSAGE(after, (after ? "" : after.error().message));
  CHECK(cluster.holders(*after) >= 3);
  for (const std::size_t left : {1U, 2U, 3U})
    CHECK_FALSE(*cluster.hosts[left].directory->has(*after));
  CHECK(store->get(*after));
  CHECK(store->get(*before));  // of the one who stays
}

TEST_CASE("what is under way at the end of an epoch goes on with the members of the next") {
  Cluster cluster;
  for (const std::size_t away : {2U, 3U}) cluster.hosts[away].server.reset();
  const auto store = cluster.open(20s);
  const Bytes content = to_bytes("content");
  const Hash digest = crypto::sha256(content);
  const Bytes late = to_bytes("of a new member");
  REQUIRE(cluster.hosts[5].directory->put(late));  // alone: it is asked although 2f + 1 deny
  std::optional<Result<Hash>> put;
  std::optional<Result<blocks::Block>> got;
  std::thread putter([&] { put = store->put(content); });
  std::thread getter([&] { got = store->get(crypto::sha256(late)); });
  const auto asked = [&](std::size_t host) {
    const blocks::BlockServerCounters c = cluster.hosts[host].server->counters();
    return c.stored == 1 && c.missing == 1;
  };
  const auto end = std::chrono::steady_clock::now() + 10s;
  while (!(asked(0) && asked(1)) && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(10ms);
  CHECK(asked(0));
  CHECK(asked(1));
  // Whoever stays has another position, and is not asked again.
  store->follow(cluster.of(1, {4, 0, 1, 5}));
  putter.join();
  getter.join();
  REQUIRE_MESSAGE(*put, (*put ? "" : put->error().message));
  REQUIRE_MESSAGE(*got, (*got ? "" : got->error().message));
  CHECK(***got == late);
  CHECK(cluster.holders(digest) >= 3);
  CHECK(asked(0));
  CHECK(asked(1));
}
