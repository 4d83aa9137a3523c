// The block keeper over loopback, with two honest members and one that lies.
#include "replica/block_keeper.hpp"

#include <thread>

#include "blocks/block_server.hpp"
#include "net/auth.hpp"
#include "support/temp_dir.hpp"
#include "world.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;

namespace {

constexpr std::uint32_t kSelf = 0;
constexpr std::uint32_t kLiar = 1;
constexpr std::size_t kBlocks = 40;

// A member that answers every question with the same wrong bytes.
class Liar {
 public:
  Liar(const net::Context& context, const crypto::LinkKey& key, net::ServerOptions options,
       crypto::Context cluster)
      : cluster_(std::move(cluster)) {
    auto server = net::Server::bind(context, key, std::move(options), poller_.waker());
    REQUIRE(server);
    server_ = std::move(*server);
    poller_.add(*server_);
    thread_ = std::thread([this] { run(); });
  }
  ~Liar() {
    stopping_ = true;
    poller_.waker()->wake();
    thread_.join();
  }
  std::uint16_t port() const { return server_->port(); }
  std::uint64_t lies() const { return lies_; }

 private:
  void run() {
    while (!stopping_) {
      poller_.wait(50ms);
      server_->receive([this](const net::Route& from, ByteView message) {
        const auto request = messages::decode_block_request_frame(cluster_, message);
        const auto* get = request ? std::get_if<messages::GetBlock>(&*request) : nullptr;
        if (get == nullptr) return;
        ++lies_;
        const messages::BlockContent wrong{get->digest, to_bytes("a lie")};
        server_->send(from, messages::encode_frame(cluster_, messages::BlockReply(wrong)));
      });
      server_->flush();
    }
  }

  const crypto::Context cluster_;
  net::Poller poller_;
  std::unique_ptr<net::Server> server_;
  std::atomic<std::uint64_t> lies_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

struct Members {
  test::TempDir temp;
  net::Context context;
  net::Authenticator authenticator{context};
  crypto::Context cluster{Hash{1, 2, 3}, 0};
  std::array<crypto::LinkKey, 4> keys;
  std::array<std::unique_ptr<blocks::BlockDirectory>, 4> directories;
  std::array<std::unique_ptr<blocks::BlockServer>, 4> servers;
  std::unique_ptr<Liar> liar;
  config::Config config;
  test::Files files;

  Members() {
    for (crypto::LinkKey& key : keys) key = crypto::generate_link_key();
    files.add(1, kBlocks, 100'000);
    for (std::uint32_t id = 0; id < keys.size(); ++id) {
      auto directory = blocks::BlockDirectory::open(storage::posix_file_system(),
                                                    temp / std::to_string(id), nullptr);
      REQUIRE(directory);
      directories[id] = std::move(*directory);
      if (id != kSelf && id != kLiar)
        for (const auto& [digest, content] : files.contents())
          REQUIRE(directories[id]->put(content));
      config::Replica member;
      member.id = id;
      member.link_key = keys[id].public_key;
      member.host = "127.0.0.1";
      member.port = static_cast<std::uint16_t>(start(id) - 2);
      config.replicas.push_back(member);
    }
  }

  std::uint16_t start(std::uint32_t id) {
    net::ServerOptions options = net::block_port_options();
    options.domain = authenticator.domain("blocks-" + std::to_string(id), 4);
    options.domain->set_allowed({{keys[kSelf].public_key, "replica 0"}});
    options.host = "127.0.0.1";
    if (id == kLiar) {
      liar = std::make_unique<Liar>(context, keys[id], options, cluster);
      return liar->port();
    }
    auto server =
        blocks::BlockServer::start(context, keys[id], options, {cluster, {}}, *directories[id]);
    REQUIRE(server);
    (*server)->set_members({keys[kSelf].public_key});
    servers[id] = std::move(*server);
    return servers[id]->port();
  }

  std::unique_ptr<replica::BlockKeeper> open() {
    replica::BlockKeeperOptions options;
    options.self = kSelf;
    options.config = config;
    options.cluster = cluster;
    options.record_path = temp / "0/pass";
    options.bytes_per_second = 100'000'000;
    auto keeper = replica::BlockKeeper::open(context, keys[kSelf], storage::posix_file_system(),
                                             *directories[kSelf], options);
    REQUIRE(keeper);
    return std::move(*keeper);
  }
  bool holds_all() const {
    for (const auto& [digest, content] : files.contents()) {
      const auto block = directories[kSelf]->get(digest);
      if (!block || **block != content) return false;
    }
    return true;
  }
};

bool wait_until(const std::function<bool()>& condition) {
  const auto until = std::chrono::steady_clock::now() + 20s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(10ms);
  }
  return true;
}

}  // namespace

TEST_CASE("keeper: an empty store is filled although a member lies; the pass is remembered") {
  Members members;
  {
    const auto keeper = members.open();
    keeper->publish(members.files.version(), {});
    REQUIRE(wait_until([&] {
      const auto progress = keeper->progress();
      return !progress.running && progress.finished_s != 0;
    }));
    CHECK(keeper->progress().fetched == kBlocks);
    CHECK(keeper->progress().missing == 0);
    CHECK(keeper->complete());
  }
  CHECK(members.holds_all());
  CHECK(members.liar->lies() > 0);
  CHECK(members.liar->lies() <= refill::Fetcher::kPerPeer);
  const auto file = storage::read_file(storage::posix_file_system(), members.temp / "0/pass", 4096);
  REQUIRE(file);
  const auto record = refill::decode_record(*file);
  REQUIRE(record);
  CHECK_FALSE(record->running);
  CHECK(record->finished_s != 0);
}

TEST_CASE("keeper: what a client misses comes without a version, the rest after a transfer") {
  Members members;
  const auto keeper = members.open();
  const Hash missed = members.files.contents().rbegin()->first;
  keeper->missed(missed);
  REQUIRE(wait_until([&] { return *members.directories[kSelf]->named(missed); }));
  CHECK_FALSE(members.holds_all());
  CHECK_FALSE(keeper->complete());
  keeper->transferred();
  keeper->publish(members.files.version(), {});
  CHECK(wait_until([&] { return members.holds_all(); }));
  CHECK(wait_until([&] { return keeper->complete(); }));
  keeper->transferred();
  CHECK_FALSE(keeper->complete());
}

TEST_CASE("keeper: a record that has rotted means a look at everything") {
  Members members;
  test::write_text(members.temp / "0/pass", "rot");
  const auto keeper = members.open();
  keeper->publish(members.files.version(), {});
  CHECK(wait_until([&] { return members.holds_all(); }));
}
