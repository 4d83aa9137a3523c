#include "raw_peer.hpp"

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

#include "net/frame.hpp"

namespace bftmeta::test {

namespace {

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

int connect_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in address = loopback(port);
  if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return fd;
  ::close(fd);
  return -1;
}

std::string endpoint_of(std::uint16_t port) { return net::tcp_endpoint("127.0.0.1", port); }

}  // namespace

TcpPeer::TcpPeer(std::uint16_t port) : fd_(connect_to(port)) {}
TcpPeer::~TcpPeer() {
  if (fd_ >= 0) ::close(fd_);
}

void TcpPeer::send(ByteView bytes) {
  [[maybe_unused]] const ssize_t sent =
      ::send(fd_, bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

bool TcpPeer::closed() {
  std::array<char, 4096> buffer{};
  for (;;) {
    const ssize_t got = ::recv(fd_, buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (got > 0) continue;
    return got == 0 || (errno != EAGAIN && errno != EINTR);
  }
}

Bytes zmtp_greeting(std::string_view mechanism, bool as_server) {
  Bytes greeting(64, 0);
  greeting[0] = 0xff;
  greeting[9] = 0x7f;
  greeting[10] = 3;
  std::ranges::copy(mechanism, greeting.begin() + 12);
  greeting[32] = as_server ? 1 : 0;
  return greeting;
}

void set_heartbeat(net::Socket& socket, int every_ms) {
  socket.set(ZMQ_HEARTBEAT_IVL, every_ms);
  socket.set(ZMQ_HEARTBEAT_TIMEOUT, 60'000);
}

RawDealer::RawDealer(const crypto::LinkKey& key, const PublicKey& server_key, std::uint16_t port,
                     std::string_view routing_id, int heartbeat_ms)
    : socket_(context_.get(), ZMQ_DEALER) {
  if (heartbeat_ms > 0) set_heartbeat(socket_, heartbeat_ms);
  net::set_curve_keys(socket_, key);
  socket_.set_key(ZMQ_CURVE_SERVERKEY, server_key);
  if (!routing_id.empty()) socket_.set_text(ZMQ_ROUTING_ID, routing_id);
  connect(port);
}

RawDealer::RawDealer(std::uint16_t port) : socket_(context_.get(), ZMQ_DEALER) { connect(port); }

void RawDealer::connect(std::uint16_t port) {
  if (zmq_connect(socket_.get(), endpoint_of(port).c_str()) != 0)
    throw std::runtime_error(zmq_strerror(zmq_errno()));
}

bool RawDealer::send(ByteView part, bool more) {
  return zmq_send(socket_.get(), part.data(), part.size(),
                  ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0;
}

bool RawDealer::send_message(std::string_view message) {
  Bytes frame;
  net::append_message(frame, view(message));
  return send(frame);
}

std::optional<Bytes> RawDealer::receive() {
  net::Message message;
  if (!message.receive(socket_)) return std::nullopt;
  return to_bytes(message.view());
}

Proxy::Proxy(std::uint16_t port, ProxyRules rules)
    : target_(port), rules_(rules), listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, 16) != 0 ||
      ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    throw std::runtime_error("proxy: no port");
  port_ = ntohs(address.sin_port);
  thread_ = std::thread([this] { run(); });
}

Proxy::~Proxy() {
  stop_ = true;
  thread_.join();
  ::close(listener_);
}

void Proxy::run() {
  ProxyRules rules = rules_;
  while (!stop_) {
    pollfd fd{listener_, POLLIN, 0};
    if (::poll(&fd, 1, 20) != 1) continue;
    const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    forward(client, rules);
    ::close(client);
    if (release_.exchange(false)) {
      hold_ = -1;
      released_ = true;
    }
    rules = {};
  }
}

// The reset goes out when the descriptor is closed.
void Proxy::release(int to, const Bytes& kept) {
  [[maybe_unused]] const ssize_t sent = ::send(to, kept.data(), kept.size(), MSG_NOSIGNAL);
  ::poll(nullptr, 0, 50);  // a reset may overtake what was not read yet
  const linger reset{.l_onoff = 1, .l_linger = 0};
  ::setsockopt(to, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
}

void Proxy::forward(int client, ProxyRules rules) {
  const int server = connect_to(target_);
  std::array<std::uint8_t, 65536> buffer{};
  std::size_t to_server = 0;
  Bytes kept;
  while (server >= 0 && !stop_ && to_server < rules.cut_after) {
    if (release_) {
      release(hold_ == static_cast<int>(Towards::server) ? server : client, kept);
      break;
    }
    std::array<pollfd, 2> fds{{{client, POLLIN, 0}, {server, POLLIN, 0}}};
    if (::poll(fds.data(), fds.size(), 20) <= 0) continue;
    for (std::size_t i = 0; i < fds.size(); ++i) {
      if (fds[i].revents == 0) continue;
      const bool towards_server = i == 0;
      std::size_t limit = buffer.size();
      if (towards_server)
        limit = std::min({limit, rules.cut_after - to_server, rules.bytes_per_ms});
      const ssize_t got = ::recv(fds[i].fd, buffer.data(), limit, 0);
      if (got <= 0) return static_cast<void>(::close(server));
      const auto size = static_cast<std::size_t>(got);
      if (hold_ == static_cast<int>(towards_server ? Towards::server : Towards::client)) {
        kept.insert(kept.end(), buffer.begin(), buffer.begin() + got);
        held_ = kept.size();
        continue;
      }
      if (towards_server) {
        if (rules.flip_byte - to_server < size) buffer[rules.flip_byte - to_server] ^= 1;
        to_server += size;
        forwarded_ += size;
        // The pace of a slow line.
        if (rules.bytes_per_ms < buffer.size()) ::poll(nullptr, 0, 1);
      }
      if (::send(fds[1 - i].fd, buffer.data(), size, MSG_NOSIGNAL) != got)
        return static_cast<void>(::close(server));
    }
  }
  if (server >= 0) ::close(server);
}

}  // namespace bftmeta::test
