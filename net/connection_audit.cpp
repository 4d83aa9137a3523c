#include "net/connection_audit.hpp"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "base/assert.hpp"

namespace bftmeta::net {

namespace {

constexpr std::int64_t kCheckUs = 250'000;

std::uint16_t port_of(const sockaddr_storage& address) {
  if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6{};
    std::memcpy(&v6, &address, sizeof v6);
    return v6.sin6_port;
  }
  sockaddr_in v4{};
  std::memcpy(&v4, &address, sizeof v4);
  return v4.sin_port;
}

// 0 when the descriptor is not a connected TCP socket.
std::uint32_t ports_of(int fd) {
  sockaddr_storage local{};
  sockaddr_storage remote{};
  socklen_t local_size = sizeof local;
  socklen_t remote_size = sizeof remote;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&local), &local_size) != 0) return 0;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&remote), &remote_size) != 0) return 0;
  return static_cast<std::uint32_t>(port_of(local)) << 16 | port_of(remote);
}

std::uint64_t bytes_received(int fd) {
  tcp_info info{};
  socklen_t size = sizeof info;
  if (::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return 0;
  return info.tcpi_bytes_received;
}

}  // namespace

void shut_connection(int fd) {
  if (fd >= 0 && ports_of(fd) != 0) ::shutdown(fd, SHUT_RDWR);
}

ConnectionAudit::ConnectionAudit(const Context& context, const Socket& watched,
                                 const AuditLimits& limits, int events)
    : watched_(watched.get()), monitor_(context.get(), ZMQ_PAIR), limits_(limits) {
  static std::atomic<std::uint64_t> next_name{0};
  const std::string name = "inproc://bftmeta.monitor." + std::to_string(next_name.fetch_add(1));
  // Without a limit: with one, a burst of connections would block the I/O thread until the next
  // check. What waits is bounded by what can connect in that time.
  monitor_.set(ZMQ_RCVHWM, 0);
  BFTMETA_ASSERT(zmq_socket_monitor(watched.get(), name.c_str(), events) == 0);
  BFTMETA_ASSERT(zmq_connect(monitor_.get(), name.c_str()) == 0);
}

ConnectionAudit::~ConnectionAudit() {
  // In this order: with nobody at the other end, an event would block the I/O thread for ever.
  zmq_socket_monitor(watched_, nullptr, 0);
  monitor_.close();
}

bool ConnectionAudit::is_open(int fd) const {
  return fd >= 0 && static_cast<std::size_t>(fd) < connections_.size() &&
         connections_[static_cast<std::size_t>(fd)].open;
}

bool ConnectionAudit::delivered(int fd, std::size_t bytes) {
  if (!is_open(fd)) return false;
  Connection& connection = connections_[static_cast<std::size_t>(fd)];
  connection.ever_delivered = true;
  connection.read += bytes;
  return true;
}

bool ConnectionAudit::next_event(ConnectionEvent& event) {
  Message head;
  if (!head.take(monitor_)) return false;
  std::uint16_t type = 0;
  std::int32_t value = 0;
  const ByteView bytes = head.view();
  if (bytes.size() == sizeof type + sizeof value) {
    std::memcpy(&type, bytes.data(), sizeof type);
    std::memcpy(&value, bytes.data() + sizeof type, sizeof value);
  }
  discard_rest(monitor_, head);
  event = {type, value};
  switch (type) {
    case ZMQ_EVENT_ACCEPTED:
    case ZMQ_EVENT_CONNECTED: opened(value); break;
    case ZMQ_EVENT_CLOSED:
    case ZMQ_EVENT_DISCONNECTED:
      if (is_open(value) && !connections_[static_cast<std::size_t>(value)].ever_delivered)
        ++counters_.closed_unheard;
      closed(value);
      break;
    default: break;
  }
  return true;
}

void ConnectionAudit::opened(int fd) {
  if (fd < 0) return;
  if (static_cast<std::size_t>(fd) >= connections_.size())
    connections_.resize(static_cast<std::size_t>(fd) + 1);
  closed(fd);
  ++counters_.opened;
  const std::uint32_t ports = ports_of(fd);
  if (ports == 0) {  // opened and closed since the last look
    ++counters_.closed_unheard;
    return;
  }
  connections_[static_cast<std::size_t>(fd)] = {
      .open = true, .ports = ports, .order = ++next_order_};
  ++open_;
}

void ConnectionAudit::closed(int fd) {
  if (!is_open(fd)) return;
  --open_;
  connections_[static_cast<std::size_t>(fd)] = {};
}

bool ConnectionAudit::due(std::int64_t now_us) const { return now_us - checked_us_ >= kCheckUs; }

void ConnectionAudit::check(std::int64_t now_us) {
  checked_us_ = now_us;
  for (std::size_t fd = 0; fd < connections_.size(); ++fd)
    if (connections_[fd].open) check_connection(static_cast<int>(fd), connections_[fd]);
  shut_fullest();
  shut_surplus();
}

void ConnectionAudit::check_connection(int fd, Connection& connection) {
  if (ports_of(fd) != connection.ports) return closed(fd);
  const std::uint64_t received = bytes_received(fd);
  // More was read than has come: messages of a connection that had this descriptor before.
  connection.read = std::min(connection.read, received);
  connection.unread = received - connection.read;
  if (connection.unread > limits_.max_unread) shut(fd, counters_.shut_unread);
}

// It counts as open until libzmq has reported its end: its descriptor is still taken.
void ConnectionAudit::shut(int fd, std::uint64_t& counter) {
  Connection& connection = connections_[static_cast<std::size_t>(fd)];
  if (std::exchange(connection.shut, true)) return;
  ++counter;
  shut_connection(fd);
}

template <class Rank>
std::vector<int> ConnectionAudit::victims(Rank rank) const {
  std::vector<int> open;
  for (std::size_t fd = 0; fd < connections_.size(); ++fd)
    if (connections_[fd].open && !connections_[fd].shut) open.push_back(static_cast<int>(fd));
  std::ranges::sort(open, {},
                    [&](int fd) { return rank(connections_[static_cast<std::size_t>(fd)]); });
  return open;
}

void ConnectionAudit::shut_fullest() {
  std::uint64_t unread = 0;
  for (const Connection& c : connections_)
    if (c.open && !c.shut) unread += c.unread;
  if (unread <= limits_.max_unread_in_all) return;
  for (const int fd : victims([](const Connection& c) { return ~c.unread; })) {
    if (unread <= limits_.max_unread_in_all) return;
    unread -= connections_[static_cast<std::size_t>(fd)].unread;
    shut(fd, counters_.shut_unread);
  }
}

// The oldest that never sent a message go first: a peer that connects in earnest speaks at once.
void ConnectionAudit::shut_surplus() {
  if (open_ <= limits_.max_connections) return;
  const std::vector<int> oldest =
      victims([](const Connection& c) { return std::pair(c.ever_delivered, c.order); });
  if (oldest.size() <= limits_.max_connections) return;  // the others are about to end
  for (std::size_t i = 0; i < oldest.size() - limits_.max_connections; ++i)
    shut(oldest[i], counters_.shut_too_many);
}

}  // namespace bftmeta::net
