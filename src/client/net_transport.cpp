#include "client/transport.hpp"
#include "net/client_link.hpp"
#include "net/context.hpp"

namespace bftmeta::client {

namespace {

class NetTransport final : public Transport {
 public:
  explicit NetTransport(std::shared_ptr<net::Context> context) : context_(std::move(context)) {}

  Status connect(const Options& options) {
    for (const config::Replica& replica : options.genesis.config.replicas) {
      net::LinkOptions link = net::client_link_options();
      link.host = replica.host;
      link.port = replica.client_port();
      link.server_key = replica.link_key;
      for (const config::EndpointOverride& e : options.endpoints) {
        if (e.replica != replica.id) continue;
        link.host = e.host;
        link.port = static_cast<std::uint16_t>(e.port + (replica.client_port() - replica.port));
      }
      BFTMETA_ASSIGN(auto opened, net::ClientLink::open(*context_, options.link_key,
                                                        std::move(link), poller_.waker()));
      poller_.add(*opened);
      links_.push_back(std::move(opened));
    }
    return {};
  }

  void send(ReplicaId to, ByteView message) override { links_[to]->send(message); }

  ReplicaSet connected() const override { return those_in(net::LinkState::connected); }
  ReplicaSet refused() const override { return those_in(net::LinkState::refused); }

  void wait(Micros timeout) override { poller_.wait(std::chrono::microseconds(timeout)); }

  void receive(const Sink& sink) override {
    for (ReplicaId r = 0; r < links_.size(); ++r)
      links_[r]->receive([&](ByteView message) { sink(r, message); });
  }

  void flush() override {
    for (const auto& link : links_) link->flush();
  }

  void wake() override { poller_.waker()->wake(); }

 private:
  ReplicaSet those_in(net::LinkState state) const {
    ReplicaSet set = 0;
    for (ReplicaId r = 0; r < links_.size(); ++r)
      if (links_[r]->state() == state) set |= bit(r);
    return set;
  }

  std::shared_ptr<net::Context> context_;
  net::Poller poller_;
  std::vector<std::unique_ptr<net::ClientLink>> links_;  // by replica
};

}  // namespace

Result<std::unique_ptr<Transport>> connect_transport(const Options& options) {
  auto transport = std::make_unique<NetTransport>(
      options.context ? options.context : std::make_shared<net::Context>());
  BFTMETA_TRY(transport->connect(options));
  return transport;
}

}  // namespace bftmeta::client
