// A listening endpoint: one ROUTER socket with CURVE that receives frames from, and answers, peers
// known by their CURVE key. Nothing blocks; every queue is bounded; what does not fit is dropped
// and counted (the protocol above retransmits). Invariant: a frame is handed up only when its
// connection's key is on the domain's list now and the routing id is the one that the handler made
// for that key; an answer goes to exactly such a connection. A key that has spoken over more
// connections than it may have loses the one that was silent longest. Thread-safety: one thread.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "net/auth.hpp"
#include "net/connection_audit.hpp"
#include "net/outbox.hpp"
#include "net/token_bucket.hpp"

namespace bftmeta::net {

struct Rates {
  std::int64_t bytes_per_s = 0;
  std::int64_t burst_bytes = 0;
  std::int64_t messages_per_s = 0;
  std::int64_t burst_messages = 0;
};

struct ServerOptions {
  std::shared_ptr<Domain> domain;   // who may connect; one per server
  std::string host;                 // name or address literal of an own interface, or "*"
  std::uint16_t port = 0;           // 0: any free one
  std::size_t max_connections = 1;  // all keys, handshakes under way included
  std::uint64_t max_unread = 0;     // bytes per connection that wait in libzmq; one more: cut off
  std::uint64_t max_unread_in_all = 0;  // bytes of all; above, those that hold most are cut off
  OutboxLimits outbox;                  // per connection; max_frame holds for both directions
  Rates rates;                          // per key, what it may send
  std::size_t turn_bytes = 1;           // receive() stops after this many
  // More dropped frames in one second than this: disconnected, and refused for 1 s, 2 s, ... 64 s.
  // 0: never (replicas: their frames are dropped, but they are always heard again).
  std::uint32_t offences_per_s = 0;
};

// The three ports of a replica. Domain, host and port are left for the caller.
ServerOptions peer_port_options();
ServerOptions client_port_options();
ServerOptions block_port_options();

struct ServerCounters {
  std::uint64_t frames = 0;
  std::uint64_t messages = 0;
  std::uint64_t dropped_over_rate = 0;    // frames
  std::uint64_t dropped_malformed = 0;    // frames: not a container, or multi-part
  std::uint64_t dropped_not_allowed = 0;  // frames of a key that was removed
  std::uint64_t dropped_forged_route = 0;
  std::uint64_t dropped_sends = 0;  // messages: queue full, or connection gone
  std::uint64_t disconnected = 0;   // by us, for one of the above
};

class Server final : public PollSource {
 public:
  using Sink = std::function<void(const Route& from, ByteView message)>;

  // Errc::io when the endpoint cannot be bound, naming it and what to do.
  static Result<std::unique_ptr<Server>> bind(const Context& context, const crypto::LinkKey& key,
                                              ServerOptions options, std::shared_ptr<Waker> waker);

  Domain& domain() { return *options_.domain; }
  const std::string& endpoint() const { return endpoint_; }
  std::uint16_t port() const { return port_; }

  void collect(PollSet& set) override { set.add(socket_); }
  // Hands up what has come, fairly over connections, up to turn_bytes; the number of messages. The
  // views are valid during the call only. True work is left to later when it returns not 0.
  std::size_t receive(const Sink& sink);

  // False: nothing can be sent there. A peer that just hangs up is noticed at the next attempt.
  bool connected(const Route& route) const { return find_connection(route) != nullptr; }
  // Queues for the end of the turn. False: no such connection, or its queue is full.
  bool send(const Route& to, ByteView message);
  void flush();
  // Who sent this has been heard: its connection is closed, and for a second none of its key is.
  void hang_up(const Route& route);

  const ServerCounters& counters() const { return counters_; }
  const AuditCounters& connection_counters() const { return audit_.counters(); }
  // Bytes that wait for this connection, here and in libzmq; 0 when there is none.
  std::size_t unsent_bytes(const Route& to) const;

 private:
  struct Connection {
    Outbox outbox;
    int fd = -1;
    std::int64_t heard_us = 0;
    bool flushing = false;  // in to_flush_
    bool shut = false;      // by us: it is over, and its end has not been reported yet
  };
  struct Peer {
    TokenBucket bytes;
    TokenBucket messages;
    std::map<std::uint64_t, Connection> connections = {};  // by number, over which something came
    std::uint32_t offences = 0;
    std::int64_t offences_since_us = 0;
    std::uint32_t bans = 0;
    std::int64_t banned_until_us = 0;
    std::int64_t muted_until_us = 0;  // after a hang_up()
    std::uint32_t muted_frames = 0;   // since then
  };
  // The last connection of a descriptor over which something came.
  struct Place {
    Route route;
    bool over = true;  // else it is among its peer's connections
  };

  Server(const Context& context, const crypto::LinkKey& key, ServerOptions options,
         std::shared_ptr<Waker> waker);
  Status bind_endpoint();

  void drop_removed_keys();
  Peer* find_peer(const PublicKey& key, std::int64_t now_us);
  // That something can be sent to.
  Connection* find_connection(const Route& route);
  const Connection* find_connection(const Route& route) const;
  bool note_heard(const Route& route, Peer& peer, int fd, std::int64_t now_us);
  void make_room(const PublicKey& key, const Peer& peer);
  bool is_over(const Route& route, int fd) const;
  void shut(const Route& route);
  void forget(Place& place);
  std::optional<Route> authenticate(Message& id, Message& body);
  void take_events();
  std::size_t take_frame(Message& id, Message& body, std::int64_t now_us, const Sink& sink);
  void offend(const Route& route, Peer& peer, std::int64_t now_us);
  void drop_muted(const Route& route, Peer& peer);
  bool flush_connection(const Route& route);

  ServerOptions options_;
  std::shared_ptr<Waker> waker_;
  Socket socket_;
  ConnectionAudit audit_;
  std::string endpoint_;
  std::uint16_t port_ = 0;
  std::uint64_t revision_ = 0;
  std::map<PublicKey, Peer> peers_;
  std::map<int, Place> places_;  // by descriptor
  bool hung_up_ = false;         // on whom a frame is of that is handed up
  std::vector<Route> to_flush_;
  std::vector<ByteView> messages_;
  ServerCounters counters_;
};

}  // namespace bftmeta::net
