// A server on an ephemeral loopback port and links to it, all driven by one loop: for the tests of
// net/. Waits end by an event or fail after ten seconds.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "net/auth.hpp"
#include "net/client_link.hpp"
#include "net/poller.hpp"
#include "net/server.hpp"

namespace bftmeta::test {

struct Received {
  net::Route from;
  Bytes message;
};

class Loopback {
 public:
  struct Client {
    std::unique_ptr<net::ClientLink> link;
    std::vector<Bytes> inbox;
    bool send(std::string_view text) { return link->send(view(text)); }
  };

  explicit Loopback(net::ServerOptions options = net::client_port_options(),
                    std::size_t per_key = 4) {
    options.domain = authenticator.domain("clients", per_key);
    options.host = "127.0.0.1";
    server_options = options;
    start_server();
  }
  ~Loopback() {
    for (auto& client : clients_) poller.remove(*client->link);
    stop_server();
  }

  void start_server() {
    auto bound = net::Server::bind(context, server_key, server_options, poller.waker());
    if (!bound) throw std::runtime_error(bound.error().message);
    server = std::move(*bound);
    server_options.port = server->port();
    poller.add(*server);
  }
  void stop_server() {
    if (server != nullptr) poller.remove(*server);
    server.reset();
  }

  void allow(const std::vector<crypto::LinkKey>& keys) {
    net::AllowList list;
    for (const auto& key : keys) list[key.public_key] = "client " + short_hex(key.public_key);
    server_options.domain->set_allowed(list);
  }

  Client& connect(const crypto::LinkKey& key, const PublicKey& server_public_key,
                  net::LinkOptions options = net::client_link_options()) {
    options.host = "127.0.0.1";
    options.port = server_options.port;
    options.server_key = server_public_key;
    auto link = net::ClientLink::open(context, key, options, poller.waker());
    if (!link) throw std::runtime_error(link.error().message);
    clients_.push_back(std::make_unique<Client>());
    clients_.back()->link = std::move(*link);
    poller.add(*clients_.back()->link);
    return *clients_.back();
  }
  Client& connect(const crypto::LinkKey& key) { return connect(key, server_key.public_key); }

  void disconnect(const Client& gone) {
    poller.remove(*gone.link);
    std::erase_if(clients_, [&](const auto& client) { return client.get() == &gone; });
  }

  // One turn of the loop.
  void turn() {
    poller.wait(std::chrono::milliseconds(10));
    if (server != nullptr) {
      server->receive([this](const net::Route& from, ByteView message) {
        received.push_back({from, to_bytes(message)});
        if (on_message) on_message(received.back());
      });
      server->flush();
    }
    for (auto& client : clients_) {
      if (frozen == client.get()) continue;
      client->link->receive([&](ByteView message) { client->inbox.push_back(to_bytes(message)); });
      client->link->flush();
    }
  }
  // False when it did not come true in time.
  bool run_until(const std::function<bool()>& done,
                 std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      turn();
    }
    return true;
  }
  // Message after message from `client` until one has arrived that was sent after the call.
  bool passes(Client& client, const crypto::LinkKey& key) {
    const std::string text = "probe " + std::to_string(++probes_);
    return client.send(text) && run_until([&] {
             return std::ranges::any_of(received, [&](const Received& r) {
               return r.from.key == key.public_key && r.message == to_bytes(text);
             });
           });
  }

  // Of this process.
  static std::size_t open_descriptors() {
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}));
  }
  // Until no more than that are open, without a turn: nothing is read meanwhile.
  static bool wait_closed(std::size_t descriptors) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (open_descriptors() > descriptors) {
      if (std::chrono::steady_clock::now() > end) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
  }

  net::Context context;
  net::Authenticator authenticator{context};
  net::Poller poller;
  crypto::LinkKey server_key = crypto::generate_link_key();
  net::ServerOptions server_options;
  std::unique_ptr<net::Server> server;
  std::vector<Received> received;
  std::function<void(const Received&)> on_message;
  const Client* frozen = nullptr;  // does not take part in turns

 private:
  std::vector<std::unique_ptr<Client>> clients_;
  int probes_ = 0;
};

}  // namespace bftmeta::test
