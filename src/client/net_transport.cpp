#include <algorithm>

#include "client/transport.hpp"
#include "net/client_link.hpp"
#include "net/context.hpp"

namespace bftmeta::client {

namespace {

class NetTransport final : public Transport {
 public:
  NetTransport(std::shared_ptr<net::Context> context, const Options& options)
      : context_(std::move(context)), key_(options.link_key), endpoints_(options.endpoints) {}

  // The first address that cannot be one. Everything else is connected.
  Status connect(const config::Config& config) {
    Status status;
    std::vector<Member> before = std::exchange(members_, {});
    for (const config::Replica& replica : config.replicas) {
      const Place place = place_of(replica);
      const auto kept = std::ranges::find_if(
          before, [&](const Member& m) { return m.link != nullptr && m.place == place; });
      if (kept != before.end()) {
        members_.push_back({place, std::move(kept->link)});
        continue;
      }
      auto opened = open(place);
      if (!opened && status) status = tl::make_unexpected(opened.error());
      members_.push_back({place, opened ? std::move(*opened) : nullptr});
    }
    for (const Member& m : before)
      if (m.link) poller_.remove(*m.link);
    return status;
  }

  // A member whose address is none is one that nobody can reach.
  void follow(const config::Config& config) override { std::ignore = connect(config); }

  void send(ReplicaId to, ByteView message) override {
    if (members_[to].link) members_[to].link->send(message);
  }

  ReplicaSet connected() const override { return those_in(net::LinkState::connected); }
  ReplicaSet refused() const override { return those_in(net::LinkState::refused); }

  void wait(Micros timeout) override { poller_.wait(std::chrono::microseconds(timeout)); }

  void receive(const Sink& sink) override {
    for (ReplicaId r = 0; r < members_.size(); ++r)
      if (members_[r].link) members_[r].link->receive([&](ByteView message) { sink(r, message); });
  }

  void flush() override {
    for (const Member& m : members_)
      if (m.link) m.link->flush();
  }

  void wake() override { poller_.waker()->wake(); }

 private:
  struct Place {
    std::string host;
    std::uint16_t port = 0;
    PublicKey link_key{};
    friend bool operator==(const Place&, const Place&) = default;
  };
  struct Member {
    Place place;
    std::unique_ptr<net::ClientLink> link;  // null: its address is none
  };

  Place place_of(const config::Replica& replica) const {
    Place place{replica.host, replica.client_port(), replica.link_key};
    for (const config::EndpointOverride& e : endpoints_) {
      if (e.replica != replica.id) continue;
      place.host = e.host;
      place.port = static_cast<std::uint16_t>(e.port + (replica.client_port() - replica.port));
    }
    return place;
  }

  Result<std::unique_ptr<net::ClientLink>> open(const Place& place) {
    net::LinkOptions link = net::client_link_options();
    link.host = place.host;
    link.port = place.port;
    link.server_key = place.link_key;
    BFTMETA_ASSIGN(auto opened,
                   net::ClientLink::open(*context_, key_, std::move(link), poller_.waker()));
    poller_.add(*opened);
    return opened;
  }

  ReplicaSet those_in(net::LinkState state) const {
    ReplicaSet set = 0;
    for (ReplicaId r = 0; r < members_.size(); ++r)
      if (members_[r].link && members_[r].link->state() == state) set |= bit(r);
    return set;
  }

  std::shared_ptr<net::Context> context_;
  const crypto::LinkKey key_;
  const std::vector<config::EndpointOverride> endpoints_;
  net::Poller poller_;
  std::vector<Member> members_;  // by replica
};

}  // namespace

Result<std::unique_ptr<Transport>> connect_transport(const Options& options) {
  auto transport = std::make_unique<NetTransport>(
      options.context ? options.context : std::make_shared<net::Context>(), options);
  BFTMETA_TRY(transport->connect(options.genesis.config));
  return transport;
}

}  // namespace bftmeta::client
