// Watches the TCP connections of one ZeroMQ socket from outside, for what libzmq does not limit, or
// not safely: bytes that wait to be read, those of a multi-part message that never ends included,
// and descriptors that are accepted. A connection that has received more than `max_unread` bytes
// beyond those that were read, or that is one too many, is shut down; so are those that hold most
// when all together exceed `max_unread_in_all`. Thread-safety: the thread of the socket.
#pragma once

#include <cstdint>
#include <vector>

#include "net/context.hpp"
#include "net/socket.hpp"

namespace bftmeta::net {

struct ConnectionEvent {
  int type = 0;   // ZMQ_EVENT_*
  int value = 0;  // descriptor, errno or ZAP status, by type
};

struct AuditLimits {
  std::size_t max_connections = 0;
  std::uint64_t max_unread = 0;         // bytes on the wire, per connection
  std::uint64_t max_unread_in_all = 0;  // of all connections
};

struct AuditCounters {
  std::uint64_t opened = 0;
  std::uint64_t closed_unheard = 0;  // without a single message: most are failed handshakes
  std::uint64_t shut_unread = 0;
  std::uint64_t shut_too_many = 0;
};

// Shuts a TCP connection down; libzmq notices as if the peer had hung up. Nothing happens when the
// descriptor is not a connected socket (any more).
void shut_connection(int fd);

class ConnectionAudit {
 public:
  // Must be made before the socket is bound or connected, and destroyed before it is closed.
  // `events`: ZMQ_EVENT_* to report; those of connections opening and closing are needed.
  ConnectionAudit(const Context& context, const Socket& watched, const AuditLimits& limits,
                  int events);
  ~ConnectionAudit();
  ConnectionAudit(const ConnectionAudit&) = delete;
  ConnectionAudit& operator=(const ConnectionAudit&) = delete;

  // A complete message of so many bytes on the wire was read from this connection. False when it is
  // not known, for example because the event of its opening has not been taken yet.
  bool delivered(int fd, std::size_t bytes);
  // The next event, which is also taken into account; false when there is none.
  bool next_event(ConnectionEvent& event);
  // True every 250 ms: take all events, then check().
  bool due(std::int64_t now_us) const;
  // Call after receiving, so that what has come counts as delivered.
  void check(std::int64_t now_us);

  Socket& monitor() { return monitor_; }
  const AuditCounters& counters() const { return counters_; }
  std::size_t open_connections() const { return open_; }
  bool is_open(int fd) const;

 private:
  struct Connection {
    bool open = false;
    bool shut = false;  // by us, and its end has not been reported yet
    bool ever_delivered = false;
    std::uint32_t ports = 0;   // local and remote, to recognise a reused descriptor
    std::uint64_t order = 0;   // of acceptance
    std::uint64_t read = 0;    // bytes on the wire; the handshake's are not in it
    std::uint64_t unread = 0;  // at the last look
  };

  void opened(int fd);
  void closed(int fd);
  void check_connection(int fd, Connection& connection);
  void shut(int fd, std::uint64_t& counter);
  // Open ones that were not shut, the first to go in front.
  template <class Rank>
  std::vector<int> victims(Rank rank) const;
  void shut_fullest();
  void shut_surplus();

  void* const watched_;
  Socket monitor_;
  AuditLimits limits_;
  std::vector<Connection> connections_;  // by descriptor
  std::size_t open_ = 0;
  std::uint64_t next_order_ = 0;
  std::int64_t checked_us_ = 0;
  AuditCounters counters_;
};

}  // namespace bftmeta::net
