// The links between replicas: each listens on its peer port and connects to every other's. A
// replica sends on its own connection and receives on its own port, so both directions of a pair
// are independent and the sender of a message is the CURVE key of the connection it came over.
// Thread-safety: one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "config/genesis.hpp"
#include "net/client_link.hpp"
#include "net/server.hpp"

namespace bftmeta::net {

class PeerMesh final : public PollSource {
 public:
  using Sink = std::function<void(std::uint32_t replica, ByteView message)>;
  // Peers by the number that they get here: members by their id.
  using Peers = std::map<std::uint32_t, config::Replica>;

  // Listens on `listen_host` (empty: the host in the configuration) and starts connecting.
  // Errc::identity when `key` is not the link key of replica `self` in `config`; Errc::io when the
  // port cannot be bound. The key outlives the mesh.
  static Result<std::unique_ptr<PeerMesh>> open(const Context& context,
                                                Authenticator& authenticator,
                                                const config::Config& config, std::uint32_t self,
                                                const crypto::LinkKey& key,
                                                const std::string& listen_host,
                                                std::shared_ptr<Waker> waker);

  // For who listens at `own`, a member of `config` or not: then its id is none of theirs, and its
  // links to the members stay refused until they expect it (expect() below).
  static Result<std::unique_ptr<PeerMesh>> open_as(
      const Context& context, Authenticator& authenticator, const config::Config& config,
      const config::Replica& own, const crypto::LinkKey& key, const std::string& listen_host,
      std::shared_ptr<Waker> waker);

  // Who is admitted and connected to beside the members, instead of those of the last call. Its
  // numbers are not those of members. Errors: as ClientLink::open; the others are there then.
  Status expect(const Peers& others);

  // Who is admitted beside these, instead of those of the last call, and only connected to when
  // something is sent there. Each is heard once a second: its connection is closed behind a
  // message, so that keys of whom nobody trusts any more get no more than a hearing. A key that is
  // known by another number keeps that.
  void let_in(const Peers& guests);

  void collect(PollSet& set) override;
  std::size_t receive(const Sink& sink);

  // Queues for the end of the turn. False: dropped, because the queue is full (or `replica` is not
  // another replica, or has an address to which there is no link).
  bool send(std::uint32_t replica, ByteView message);
  void broadcast(ByteView message);  // to the members
  void flush();

  // Members whose links are in this state.
  std::uint32_t count(LinkState state) const;

  // For status pages: nullptr for the replica itself.
  const ClientLink* link(std::uint32_t replica) const;
  const Server& server() const { return *server_; }

 private:
  PeerMesh(const Context& context, const crypto::LinkKey& key, std::shared_ptr<Waker> waker)
      : context_(context), key_(key), waker_(std::move(waker)) {}

  Status listen(Authenticator& authenticator, const config::Replica& own,
                const std::string& listen_host);
  Status connect(const Peers& peers);
  void admit();

  const Context& context_;
  const crypto::LinkKey& key_;
  const std::shared_ptr<Waker> waker_;
  Peers members_;
  Peers others_;
  Peers guests_;
  std::map<PublicKey, std::uint32_t> replica_of_;
  std::shared_ptr<Domain> domain_;
  std::unique_ptr<Server> server_;
  std::map<std::uint32_t, std::unique_ptr<ClientLink>> links_;
};

}  // namespace bftmeta::net
