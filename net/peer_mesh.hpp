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

  // Listens on `listen_host` (empty: the host in the configuration) and starts connecting.
  // Errc::identity when `key` is not the link key of replica `self` in `config`; Errc::io when the
  // port cannot be bound.
  static Result<std::unique_ptr<PeerMesh>> open(const Context& context,
                                                Authenticator& authenticator,
                                                const config::Config& config, std::uint32_t self,
                                                const crypto::LinkKey& key,
                                                const std::string& listen_host,
                                                std::shared_ptr<Waker> waker);

  void collect(PollSet& set) override;
  std::size_t receive(const Sink& sink);

  // Queues for the end of the turn. False: dropped, because the queue is full (or `replica` is not
  // another replica).
  bool send(std::uint32_t replica, ByteView message);
  void broadcast(ByteView message);
  void flush();

  // For status pages: links[i] is null for the replica itself.
  const ClientLink* link(std::uint32_t replica) const;
  const Server& server() const { return *server_; }

 private:
  PeerMesh() = default;

  std::map<PublicKey, std::uint32_t> replica_of_;
  std::unique_ptr<Server> server_;
  std::vector<std::unique_ptr<ClientLink>> links_;  // by replica id
};

}  // namespace bftmeta::net
