// A cluster of real bftmetad processes over loopback, with keys and files made as a user makes
// them, and clients of it. Every process is ended by its pid when this object goes.
// Thread-safety: one thread.
#pragma once

#include <bftmeta/client.hpp>

#include <functional>
#include <memory>

#include "support/child.hpp"
#include "support/temp_dir.hpp"

namespace bftmeta::test {

class ProcessCluster {
 public:
  struct Options {
    std::uint32_t replicas = 4;
    std::uint32_t clients = 2;
    std::uint64_t log_segment_bytes = 4ULL << 20;
    std::uint64_t log_retain_bytes = config::ReplicaSettings().log_retain_bytes;
    std::uint32_t flush_interval_ms = config::ReplicaSettings().flush_interval_ms;
    std::uint64_t scrub_bytes_per_s = config::ReplicaSettings().scrub_bytes_per_s;
    std::uint64_t state_fetch_rate = config::ReplicaSettings().state_fetch_rate;
    std::uint64_t block_fetch_rate = config::ReplicaSettings().block_fetch_rate;
  };

  // Keys, genesis and configuration only. `program` is the path of bftmetad.
  explicit ProcessCluster(std::string program) : ProcessCluster(std::move(program), Options()) {}
  ProcessCluster(std::string program, Options options);

  // Starts a replica and waits until it serves. `program`: another one than bftmetad.
  void start(std::uint32_t replica, const std::string& program = "",
             const std::vector<std::string>& more = {});
  void start_all();
  // Another replica with keys of its own, which is no member: its number here, and its card.
  std::uint32_t add_replica();
  const config::Replica& card(std::uint32_t replica) const { return cards_.at(replica); }
  // The admins propose these replicas, by their numbers here, as members 0, 1, ...; those of now:
  // they take back what they have proposed.
  schema::Code propose(client::Client& client, const std::vector<std::uint32_t>& replicas) const;
  // Does not wait for it to serve: for replicas that must start together, or that must not start.
  Child& launch(std::uint32_t replica, const std::string& program = "",
                const std::vector<std::string>& more = {});
  void wait_serving(std::uint32_t replica);
  void kill(std::uint32_t replica);  // SIGKILL
  // SIGTERM; its exit code, and what it printed to the end.
  int stop(std::uint32_t replica, std::string* output = nullptr);
  bool running(std::uint32_t replica) const { return children_[replica] != nullptr; }
  Child& child(std::uint32_t replica) { return *children_[replica]; }
  std::uint32_t n() const { return genesis_.config.n(); }
  // Everything that a replica wrote to standard error, of all its starts.
  std::string errors(std::uint32_t replica) const;

  const config::Genesis& genesis() const { return genesis_; }
  config::ReplicaSettings settings(std::uint32_t replica) const;
  const TempDir& dir() const { return dir_; }
  std::string replica_dir(std::uint32_t replica) const;
  std::string replica_toml(std::uint32_t replica) const;
  std::string client_dir(std::uint32_t client) const;
  // For programs that run as this client and as the admin.
  std::string client_toml(std::uint32_t client) const {
    return client_dir(client) + "/client.toml";
  }

  client::Options client_options(std::uint32_t client = 0) const;
  // Connected, with an open session.
  std::unique_ptr<client::Client> open(client::Options options) const;
  std::unique_ptr<client::Client> open(std::uint32_t client = 0) const {
    return open(client_options(client));
  }

 private:
  const std::string program_;
  const Options options_;
  TempDir dir_;
  config::Genesis genesis_;
  std::vector<config::Replica> cards_;  // of all replicas, members or not
  std::vector<std::unique_ptr<Child>> children_;
};

// A gateway for every uid, root included.
config::ClientRules gateway_rules();
// Options of a client from the directory that make_client_keys filled.
client::Options client_options(const config::Genesis& genesis, const std::string& key_dir);

// The newest certificate that this one replica has, verified; nullopt: none in time. `client`
// must be registered.
std::optional<messages::RootCert> certificate_of(const client::Options& client,
                                                 std::uint32_t replica,
                                                 std::chrono::milliseconds timeout);

// Until the replica says that it has executed `goal`; false: not within `timeout`.
bool catches_up(client::Client& client, std::uint32_t replica, messages::Seq goal,
                std::chrono::milliseconds timeout);

// Whether `so` has become true in this time; asked a hundred times a second.
bool within(std::chrono::milliseconds time, const std::function<bool()>& so);

}  // namespace bftmeta::test
