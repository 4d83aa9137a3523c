#include "support/process_cluster.hpp"

#include <doctest/doctest.h>
#include <signal.h>

#include "admin/keyring.hpp"
#include "config/load.hpp"
#include "crypto/keys.hpp"
#include "messages/frame.hpp"
#include "net/client_link.hpp"
#include "net/context.hpp"
#include "support/free_ports.hpp"

namespace bftmeta::test {

namespace {

constexpr std::chrono::seconds kStartTimeout{20};
constexpr std::chrono::seconds kStopTimeout{20};

template <class T>
T must(Result<T> result) {
  REQUIRE_MESSAGE(result.has_value(), result.error().message);
  return std::move(*result);
}

void must(const Status& status) { REQUIRE_MESSAGE(status.has_value(), status.error().message); }

}  // namespace

config::ClientRules gateway_rules() {
  config::ClientRules rules;
  rules.gateway = true;
  rules.root_squash = false;
  rules.uid_last = 0xffffffff;
  return rules;
}

ProcessCluster::ProcessCluster(std::string program, Options options)
    : program_(std::move(program)), options_(options), children_(options.replicas) {
  const auto ports = free_port_blocks(options.replicas, 4);
  REQUIRE(ports.size() == options.replicas);
  std::vector<config::Card> cards;
  for (std::uint32_t r = 0; r < options.replicas; ++r)
    cards.push_back(must(admin::make_replica_keys(replica_dir(r), "127.0.0.1", ports[r], {})));
  cards.push_back(must(admin::make_admin_keys(dir_ / "admin", "admin", {})));
  for (std::uint32_t c = 0; c < options.clients; ++c)
    cards.push_back(must(
        admin::make_client_keys(client_dir(c), "client" + std::to_string(c), gateway_rules(), {})));
  genesis_ = must(admin::assemble_genesis("processes", cards, 1));
  cards_ = genesis_.config.replicas;
  must(config::write_genesis(dir_ / "genesis.toml", genesis_));
  for (std::uint32_t r = 0; r < options.replicas; ++r)
    must(config::write_replica(replica_toml(r), settings(r)));
  for (std::uint32_t c = 0; c < options.clients; ++c) {
    config::ClientSettings own;
    own.genesis = dir_ / "genesis.toml";
    own.sign_key = client_dir(c) + "/" + admin::kSignKeyFile;
    own.link_key = client_dir(c) + "/" + admin::kLinkKeyFile;
    own.admin_key = dir_ / (std::string("admin/") + admin::kAdminKeyFile);
    must(config::write_client(client_toml(c), own));
  }
}

std::uint32_t ProcessCluster::add_replica() {
  const auto id = static_cast<std::uint32_t>(cards_.size());
  const auto ports = free_port_blocks(1, 4);
  REQUIRE(ports.size() == 1);
  const config::ReplicaCard card =
      must(admin::make_replica_keys(replica_dir(id), "127.0.0.1", ports[0], {}));
  cards_.push_back({id, card.vote_key, card.link_key, card.host, card.port});
  children_.emplace_back();
  config::ReplicaSettings own = settings(id);
  own.card = replica_dir(id) + "/" + admin::kCardFile;
  must(config::write_replica(replica_toml(id), own));
  return id;
}

schema::Code ProcessCluster::propose(client::Client& client,
                                     const std::vector<std::uint32_t>& replicas) const {
  const config::Config now = must(client.membership()).config;
  auto no_passphrase = crypto::PassphraseSource::descriptor(-2);
  const auto admin = must(
      crypto::load_sign_key(dir_ / (std::string("admin/") + admin::kAdminKeyFile), no_passphrase));
  schema::ChangeConfig op;
  op.body.config_hash = now.hash();
  op.body.next = now;
  op.body.next.epoch += 1;
  op.body.next.replicas.clear();
  for (const std::uint32_t r : replicas) {
    op.body.next.replicas.push_back(cards_.at(r));
    op.body.next.replicas.back().id = static_cast<std::uint32_t>(op.body.next.replicas.size()) - 1;
  }
  if (op.body.next.replicas == now.replicas) op.body.next.epoch = now.epoch;
  const auto root = must(client.root());
  op.body.valid_until_us = root.body.time_us + 600'000'000;
  op.signatures.push_back(
      {0, admin->sign(tags::kConfig, {genesis_.cluster_id(), 0}, encode(op.body))});
  return must(client.execute({{}, op})).code;
}

std::string ProcessCluster::replica_dir(std::uint32_t replica) const {
  return dir_ / ("replica" + std::to_string(replica));
}
std::string ProcessCluster::replica_toml(std::uint32_t replica) const {
  return replica_dir(replica) + "/replica.toml";
}
std::string ProcessCluster::client_dir(std::uint32_t client) const {
  return dir_ / ("client" + std::to_string(client));
}

config::ReplicaSettings ProcessCluster::settings(std::uint32_t replica) const {
  config::ReplicaSettings s;
  const std::string own = replica_dir(replica) + "/";
  s.id = replica;
  s.genesis = dir_ / "genesis.toml";
  s.data_dir = own + admin::kDataDir;
  s.vote_key = own + admin::kVoteKeyFile;
  s.link_key = own + admin::kLinkKeyFile;
  s.log_segment_bytes = options_.log_segment_bytes;
  s.log_retain_bytes = options_.log_retain_bytes;
  s.flush_interval_ms = options_.flush_interval_ms;
  s.scrub_bytes_per_s = options_.scrub_bytes_per_s;
  s.state_fetch_rate = options_.state_fetch_rate;
  s.block_fetch_rate = options_.block_fetch_rate;
  s.lmdb_map_bytes = config::kDevLmdbMapBytes;
  return s;
}

Child& ProcessCluster::launch(std::uint32_t replica, const std::string& program,
                              const std::vector<std::string>& more) {
  std::vector<std::string> argv{program.empty() ? program_ : program, "--config",
                                replica_toml(replica)};
  argv.insert(argv.end(), more.begin(), more.end());
  children_[replica] = std::make_unique<Child>(argv, replica_dir(replica) + "/stderr");
  return *children_[replica];
}

void ProcessCluster::wait_serving(std::uint32_t replica) {
  const std::string line = "bftmetad: replica " + std::to_string(replica) + " serves";
  const bool serves = child(replica).wait_for_output(line, kStartTimeout);
  REQUIRE_MESSAGE(serves, "replica ", replica, " does not serve: ", errors(replica));
}

void ProcessCluster::start(std::uint32_t replica, const std::string& program,
                           const std::vector<std::string>& more) {
  launch(replica, program, more);
  wait_serving(replica);
}

void ProcessCluster::start_all() {
  for (std::uint32_t r = 0; r < n(); ++r) launch(r);
  for (std::uint32_t r = 0; r < n(); ++r) wait_serving(r);
}

void ProcessCluster::kill(std::uint32_t replica) { children_[replica].reset(); }

int ProcessCluster::stop(std::uint32_t replica, std::string* output) {
  Child& c = child(replica);
  c.signal(SIGTERM);
  const std::optional<int> code = c.wait_exit(kStopTimeout);
  REQUIRE_MESSAGE(code.has_value(), "replica ", replica, " does not stop: ", errors(replica));
  if (output != nullptr) *output = c.output();
  children_[replica].reset();
  return *code;
}

std::string ProcessCluster::errors(std::uint32_t replica) const {
  return read_text(replica_dir(replica) + "/stderr");
}

client::Options client_options(const config::Genesis& genesis, const std::string& key_dir) {
  client::Options options;
  auto no_passphrase = crypto::PassphraseSource::descriptor(-2);
  options.genesis = genesis;
  options.signer = must(crypto::load_sign_key(key_dir + "/" + admin::kSignKeyFile, no_passphrase));
  options.link_key =
      must(crypto::load_link_key(key_dir + "/" + admin::kLinkKeyFile, no_passphrase));
  return options;
}

client::Options ProcessCluster::client_options(std::uint32_t client) const {
  return test::client_options(genesis_, client_dir(client));
}

std::unique_ptr<client::Client> ProcessCluster::open(client::Options options) const {
  auto client = must(client::Client::connect(std::move(options)));
  must(client->wait_ready(std::chrono::seconds(20)));
  return client;
}

std::optional<messages::RootCert> certificate_of(const client::Options& client,
                                                 std::uint32_t replica,
                                                 std::chrono::milliseconds timeout) {
  const config::Config& config = client.genesis.config;
  const crypto::Context context{client.genesis.cluster_id(), config.epoch};
  const net::Context zmq;
  net::Poller poller;
  net::LinkOptions options = net::client_link_options();
  options.host = config.replicas[replica].host;
  options.port = config.replicas[replica].client_port();
  options.server_key = config.replicas[replica].link_key;
  const auto link = must(net::ClientLink::open(zmq, client.link_key, options, poller.waker()));
  poller.add(*link);
  messages::Read read;
  read.request_id = 1;
  read.min_seq = 1;
  read.queries.push_back({{}, schema::GetStatistics{}});
  const Bytes request = messages::encode_frame(context, messages::ClientMessage(read));
  link->send(request);
  std::optional<messages::RootCert> cert;
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  while (!cert && std::chrono::steady_clock::now() < deadline) {
    link->flush();
    poller.wait(std::chrono::milliseconds(50));
    link->receive([&](ByteView frame) {
      auto message = messages::decode_replica_frame(context, frame);
      REQUIRE(message.has_value());
      auto* reply = std::get_if<messages::ReadReply>(&*message);
      if (reply == nullptr || reply->request_id != read.request_id) return;
      cert = std::move(reply->cert);
      if (!cert) link->send(request);
    });
  }
  poller.remove(*link);
  if (cert)
    must(messages::verify_cert(crypto::Ed25519Verifier(), context.cluster_id, config, *cert));
  return cert;
}

bool catches_up(client::Client& client, std::uint32_t replica, messages::Seq goal,
                std::chrono::milliseconds timeout) {
  return within(timeout, [&] {
    const auto status = client.status(replica, std::chrono::milliseconds(500));
    return status && status->executed_seq >= goal;
  });
}

bool within(std::chrono::milliseconds time, const std::function<bool()>& so) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (!so()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

}  // namespace bftmeta::test
