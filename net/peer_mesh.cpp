#include "net/peer_mesh.hpp"

namespace bftmeta::net {

namespace {

// One connection is used; the second slot lets a restarted replica in while the old connection of
// its former life still seems to stand.
constexpr std::size_t kSlotsPerReplica = 2;
// Nobody answers on a replica's own connection: a peer that does is cut off early.
constexpr int kUnreadHwm = 1;

LinkOptions peer_link_options(const config::Replica& peer) {
  LinkOptions options;
  options.host = peer.host;
  options.port = peer.peer_port();
  options.server_key = peer.link_key;
  options.outbox = {
      .max_frame = limits::kMaxFrame, .max_queued = 16 * kMiB, .max_in_flight = 4 * kMiB};
  options.receive_hwm = kUnreadHwm;
  return options;
}

}  // namespace

Result<std::unique_ptr<PeerMesh>> PeerMesh::open(const Context& context,
                                                 Authenticator& authenticator,
                                                 const config::Config& config, std::uint32_t self,
                                                 const crypto::LinkKey& key,
                                                 const std::string& listen_host,
                                                 std::shared_ptr<Waker> waker) {
  if (self >= config.n())
    return fail(Errc::identity, "replica " + std::to_string(self) +
                                    " is not in this configuration of " +
                                    std::to_string(config.n()) + " replicas");
  const config::Replica& own = config.replicas[self];
  if (own.link_key != key.public_key)
    return fail(Errc::identity, "the link key (" + short_hex(key.public_key) +
                                    "…) is not that of replica " + std::to_string(self) + " (" +
                                    short_hex(own.link_key) +
                                    "…); start with the key directory of this replica");

  std::unique_ptr<PeerMesh> mesh(new PeerMesh());
  AllowList allowed;
  for (const config::Replica& replica : config.replicas) {
    if (replica.id == self) continue;
    mesh->replica_of_[replica.link_key] = replica.id;
    allowed[replica.link_key] = "replica " + std::to_string(replica.id);
  }
  ServerOptions options = peer_port_options();
  options.domain = authenticator.domain("peers", kSlotsPerReplica);
  options.domain->set_allowed(allowed);
  options.host = listen_host.empty() ? own.host : listen_host;
  options.port = own.peer_port();
  BFTMETA_ASSIGN(mesh->server_, Server::bind(context, key, std::move(options), waker));

  mesh->links_.resize(config.n());
  for (const config::Replica& replica : config.replicas) {
    if (replica.id == self) continue;
    BFTMETA_ASSIGN(mesh->links_[replica.id],
                   ClientLink::open(context, key, peer_link_options(replica), waker));
  }
  return mesh;
}

void PeerMesh::collect(PollSet& set) {
  server_->collect(set);
  for (const auto& link : links_)
    if (link != nullptr) link->collect(set);
}

std::size_t PeerMesh::receive(const Sink& sink) {
  for (const auto& link : links_)
    if (link != nullptr) link->receive([](ByteView) {});
  return server_->receive([&](const Route& from, ByteView message) {
    // The allow-list is made of the same keys, so there is always one.
    if (const auto it = replica_of_.find(from.key); it != replica_of_.end())
      sink(it->second, message);
  });
}

bool PeerMesh::send(std::uint32_t replica, ByteView message) {
  return replica < links_.size() && links_[replica] != nullptr && links_[replica]->send(message);
}

void PeerMesh::broadcast(ByteView message) {
  for (const auto& link : links_)
    if (link != nullptr) link->send(message);
}

void PeerMesh::flush() {
  for (const auto& link : links_)
    if (link != nullptr) link->flush();
}

const ClientLink* PeerMesh::link(std::uint32_t replica) const {
  return replica < links_.size() ? links_[replica].get() : nullptr;
}

}  // namespace bftmeta::net
