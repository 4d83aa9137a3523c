#include "client/transport.hpp"
#include "net/context.hpp"
#include "net/link_set.hpp"

namespace bftmeta::client {

namespace {

class NetTransport final : public Transport {
 public:
  NetTransport(std::shared_ptr<net::Context> context, const Options& options)
      : context_(std::move(context)),
        endpoints_(options.endpoints),
        links_(*context_, options.link_key, net::client_link_options()) {}

  // The first address that cannot be one. Everything else is connected.
  Status connect(const config::Config& config) {
    std::vector<std::optional<net::Destination>> members;
    for (const config::Replica& r : config::reached_at(config, endpoints_).replicas)
      members.push_back(net::Destination{r.host, r.client_port(), r.link_key});
    return links_.lead_to(members).status;
  }

  // A member whose address is none is one that nobody can reach.
  void follow(const config::Config& config) override { std::ignore = connect(config); }

  void send(ReplicaId to, ByteView message) override { links_.send(to, message); }

  ReplicaSet connected() const override { return those_in(net::LinkState::connected); }
  ReplicaSet refused() const override { return those_in(net::LinkState::refused); }

  void wait(Micros timeout) override { links_.wait(std::chrono::microseconds(timeout)); }

  void receive(const Sink& sink) override {
    links_.receive(
        [&](std::size_t from, ByteView message) { sink(static_cast<ReplicaId>(from), message); });
  }

  void flush() override { links_.flush(); }
  void wake() override { links_.waker()->wake(); }

 private:
  ReplicaSet those_in(net::LinkState state) const {
    ReplicaSet set = 0;
    for (ReplicaId r = 0; r < links_.size(); ++r)
      if (links_.state(r) == state) set |= bit(r);
    return set;
  }

  const std::shared_ptr<net::Context> context_;
  const std::vector<config::EndpointOverride> endpoints_;
  net::LinkSet links_;  // by replica
};

}  // namespace

Result<std::unique_ptr<Transport>> connect_transport(const Options& options) {
  auto transport = std::make_unique<NetTransport>(
      options.context ? options.context : std::make_shared<net::Context>(), options);
  BFTMETA_TRY(transport->connect(options.genesis.config));
  return transport;
}

}  // namespace bftmeta::client
