#include "net/peer_mesh.hpp"

namespace bftmeta::net {

namespace {

// One is used; the second is for a replica that was started again while the connection of its
// former life still seems to stand.
constexpr std::size_t kConnectionsPerReplica = 2;
// Nobody answers on a replica's own connection: a peer that does is cut off early.
constexpr std::uint64_t kMaxUnread = kMiB;

LinkOptions peer_link_options(const config::Replica& peer) {
  LinkOptions options;
  options.host = peer.host;
  options.port = peer.peer_port();
  options.server_key = peer.link_key;
  options.outbox = {
      .max_frame = limits::kMaxFrame, .max_queued = 16 * kMiB, .max_in_flight = 4 * kMiB};
  options.max_unread = kMaxUnread;
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

  return open_as(context, authenticator, config, own, key, listen_host, std::move(waker));
}

Result<std::unique_ptr<PeerMesh>> PeerMesh::open_as(
    const Context& context, Authenticator& authenticator, const config::Config& config,
    const config::Replica& own, const crypto::LinkKey& key, const std::string& listen_host,
    std::shared_ptr<Waker> waker) {
  std::unique_ptr<PeerMesh> mesh(new PeerMesh(context, key, std::move(waker)));
  BFTMETA_TRY(mesh->listen(authenticator, own, listen_host));
  for (const config::Replica& replica : config.replicas)
    if (replica.id != own.id) mesh->members_[replica.id] = replica;
  mesh->admit();
  BFTMETA_TRY(mesh->connect(mesh->members_));
  return mesh;
}

Status PeerMesh::listen(Authenticator& authenticator, const config::Replica& own,
                        const std::string& listen_host) {
  domain_ = authenticator.domain("peers", kConnectionsPerReplica);
  ServerOptions options = peer_port_options();
  options.domain = domain_;
  options.host = listen_host.empty() ? own.host : listen_host;
  options.port = own.peer_port();
  BFTMETA_ASSIGN(server_, Server::bind(context_, key_, std::move(options), waker_));
  return {};
}

Status PeerMesh::connect(const Peers& peers) {
  for (const auto& [number, replica] : peers) {
    BFTMETA_ASSIGN(links_[number],
                   ClientLink::open(context_, key_, peer_link_options(replica), waker_));
  }
  return {};
}

void PeerMesh::admit() {
  replica_of_.clear();
  AllowList allowed;
  for (const Peers* peers : {&members_, &others_, &guests_})
    for (const auto& [number, replica] : *peers)
      if (replica_of_.emplace(replica.link_key, number).second)
        allowed[replica.link_key] = "replica " + std::to_string(number);
  domain_->set_allowed(allowed);
}

Status PeerMesh::expect(const Peers& others) {
  if (others == others_) return {};
  for (const auto& [number, replica] : others_) links_.erase(number);
  others_ = others;
  admit();
  return connect(others_);
}

void PeerMesh::let_in(const Peers& guests) {
  for (const auto& [number, replica] : guests_) links_.erase(number);
  guests_ = guests;
  admit();
}

void PeerMesh::collect(PollSet& set) {
  server_->collect(set);
  for (const auto& [number, link] : links_) link->collect(set);
}

std::size_t PeerMesh::receive(const Sink& sink) {
  for (const auto& [number, link] : links_) link->receive([](ByteView) {});
  return server_->receive([&](const Route& from, ByteView message) {
    // The allow-list is made of the same keys, so there is always one.
    const auto it = replica_of_.find(from.key);
    if (it == replica_of_.end()) return;
    const std::uint32_t number = it->second;
    sink(number, message);
    if (guests_.contains(number)) server_->hang_up(from);
  });
}

bool PeerMesh::send(std::uint32_t replica, ByteView message) {
  auto it = links_.find(replica);
  if (const auto guest = guests_.find(replica); it == links_.end() && guest != guests_.end()) {
    if (!connect({*guest})) return false;
    it = links_.find(replica);
  }
  return it != links_.end() && it->second->send(message);
}

void PeerMesh::broadcast(ByteView message) {
  for (const auto& [number, member] : members_) send(number, message);
}

void PeerMesh::flush() {
  for (const auto& [number, link] : links_) link->flush();
}

std::uint32_t PeerMesh::count(LinkState state) const {
  std::uint32_t count = 0;
  for (const auto& [number, member] : members_)
    count += links_.at(number)->state() == state ? 1 : 0;
  return count;
}

const ClientLink* PeerMesh::link(std::uint32_t replica) const {
  const auto it = links_.find(replica);
  return it == links_.end() ? nullptr : it->second.get();
}

}  // namespace bftmeta::net
