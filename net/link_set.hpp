// Links to servers by position, and an exchange of all servers for others that keeps the links to
// those who stay: members of a cluster, from one epoch to the next. Thread-safety: one thread;
// waker() from any.
#pragma once

#include <optional>

#include "net/client_link.hpp"

namespace bftmeta::net {

struct Destination {
  std::string host;  // name or address literal
  std::uint16_t port = 0;
  PublicKey server_key{};
  friend bool operator==(const Destination&, const Destination&) = default;
};

class LinkSet {
 public:
  using Sink = std::function<void(std::size_t from, ByteView message)>;

  // The context outlives it. `pattern`: of every link, but for its destination.
  LinkSet(const Context& context, crypto::LinkKey key, LinkOptions pattern);

  struct Led {
    std::vector<std::optional<std::size_t>> kept;  // by new position: the old one of its link
    Status status;                                 // the first address that can not be one
  };
  // Position i leads to destinations[i], or nowhere: where there is none, or it can not be one. Not
  // while messages are handed over. Errors: as ClientLink::open; everything else is done then.
  Led lead_to(const std::vector<std::optional<Destination>>& destinations);

  std::size_t size() const { return ends_.size(); }
  // LinkState::connecting of a position that leads nowhere.
  LinkState state(std::size_t position) const;
  // False: dropped, because the queue is full, or it leads nowhere.
  bool send(std::size_t position, ByteView message);
  void wait(std::chrono::microseconds timeout) { poller_.wait(timeout); }
  void receive(const Sink& sink);
  void flush();
  const std::shared_ptr<Waker>& waker() const { return poller_.waker(); }

 private:
  struct End {
    std::optional<Destination> destination;
    std::unique_ptr<ClientLink> link;  // null: it leads nowhere
  };

  Result<std::unique_ptr<ClientLink>> open(const Destination& destination);

  const Context& context_;
  const crypto::LinkKey key_;
  const LinkOptions pattern_;
  Poller poller_;
  std::vector<End> ends_;
};

}  // namespace bftmeta::net
