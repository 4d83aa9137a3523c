#include "net/connection_audit.hpp"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>

#include "base/assert.hpp"

namespace bftmeta::net {

namespace {

constexpr std::int64_t kCheckUs = 250'000;
// Without a receive mark libzmq takes what the kernel has at once, but for a moment or two on a
// machine that is short of processors.
constexpr std::int64_t kDeafUs = 1'000'000;
constexpr std::int64_t kStallUs = 15'000'000;

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

// Of what was received, what nobody has taken.
std::uint64_t bytes_waiting(int fd) {
  int bytes = 0;
  return ::ioctl(fd, FIONREAD, &bytes) == 0 && bytes > 0 ? static_cast<std::uint64_t>(bytes) : 0;
}

}  // namespace

void shut_connection(int fd) {
  if (fd >= 0 && ports_of(fd) != 0) ::shutdown(fd, SHUT_RDWR);
}

ConnectionAudit::ConnectionAudit(const Context& context, const Socket& watched,
                                 const AuditLimits& limits, int events)
    : context_(context),
      watched_(watched.get()),
      monitor_(context.get(), ZMQ_PAIR),
      limits_(limits) {
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
  shut_surplus();
}

void ConnectionAudit::check_connection(int fd, Connection& connection) {
  if (ports_of(fd) != connection.ports) return closed(fd);
  const std::uint64_t received = bytes_received(fd);
  // More was read than has come: messages of a connection that had this descriptor before.
  connection.read = std::min(connection.read, received);
  const bool deaf = is_deaf(fd, connection, received);
  if (!deaf && received - connection.read <= limits_.max_unread) return;
  ++(deaf ? counters_.shut_deaf : counters_.shut_unread);
  shut_connection(fd);
  closed(fd);
}

// Seen twice at least: what came just now waits as well. While libzmq takes nothing from anybody
// its I/O thread may be what stands still, in a slow resolver for example.
bool ConnectionAudit::is_deaf(int fd, Connection& connection, std::uint64_t received) {
  const std::uint64_t waiting = bytes_waiting(fd);
  const std::uint64_t taken = received - std::min(waiting, received);
  const std::uint64_t before = std::exchange(connection.taken, taken);
  if (taken != before) context_.note_io(checked_us_);
  if (waiting == 0 || taken != before) {
    connection.stuck_us = 0;
    return false;
  }
  if (connection.stuck_us == 0) connection.stuck_us = checked_us_;
  const bool others_go_on = context_.io_us() > connection.stuck_us;
  return checked_us_ - connection.stuck_us >= (others_go_on ? kDeafUs : kStallUs);
}

// The oldest that never sent a message go first: a peer that connects in earnest speaks at once.
// One pass over all, whatever the surplus is: who makes it needs no key.
void ConnectionAudit::shut_surplus() {
  if (open_ <= limits_.max_connections) return;
  std::vector<std::size_t> victims;
  for (std::size_t fd = 0; fd < connections_.size(); ++fd)
    if (connections_[fd].open) victims.push_back(fd);
  const auto rank = [this](std::size_t fd) {
    return std::pair(connections_[fd].ever_delivered, connections_[fd].order);
  };
  const std::size_t surplus = open_ - limits_.max_connections;
  std::ranges::nth_element(victims, victims.begin() + static_cast<std::ptrdiff_t>(surplus), {},
                           rank);
  victims.resize(surplus);
  for (const std::size_t fd : victims) {
    ++counters_.shut_too_many;
    shut_connection(static_cast<int>(fd));
    closed(static_cast<int>(fd));
  }
}

}  // namespace bftmeta::net
