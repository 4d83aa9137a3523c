#include "net/socket.hpp"

#include <arpa/inet.h>

#include "base/assert.hpp"

namespace bftmeta::net {

namespace {
// Frames that libzmq may hold per connection and direction of sending; the bytes are limited by
// OutboxLimits. Large, because the pipe wakes the sender once per half of it.
constexpr int kSendHwm = 1024;
// A peer that does not finish the CURVE handshake in this time loses its descriptor.
constexpr int kHandshakeMs = 5000;
// A silent host (pulled cable, stopped machine) is noticed by TCP after this time, whether anything
// is under way to it or not. Not by ZMQ_HEARTBEAT_*: when libzmq's timer finds a connection that
// broke while it was not read, the process ends by an assertion.
constexpr int kSilenceMs = 8000;
constexpr int kProbeAfterS = 4;
constexpr int kProbeEveryS = 2;
constexpr int kProbes = 2;
// CURVE's nonce, authenticator, flags and command name around a frame; ZMTP's flags and length.
constexpr std::size_t kCurveOverhead = 33;
constexpr std::size_t kShortHeader = 2;
constexpr std::size_t kLongHeader = 9;
constexpr std::size_t kLongestShort = 255;
constexpr int kBacklog = 256;
}  // namespace

Socket::Socket(void* context, int type) : socket_(zmq_socket(context, type)) {
  BFTMETA_ASSERT(socket_ != nullptr);
  std::size_t size = sizeof fd_;
  BFTMETA_ASSERT(zmq_getsockopt(socket_, ZMQ_FD, &fd_, &size) == 0);
  set(ZMQ_LINGER, 0);
}

void Socket::close() {
  if (socket_ != nullptr) zmq_close(socket_);
  socket_ = nullptr;
  fd_ = -1;
}

void Socket::set(int option, int value) {
  BFTMETA_ASSERT(zmq_setsockopt(socket_, option, &value, sizeof value) == 0);
}

void Socket::set64(int option, std::int64_t value) {
  BFTMETA_ASSERT(zmq_setsockopt(socket_, option, &value, sizeof value) == 0);
}

void Socket::set_text(int option, std::string_view value) {
  BFTMETA_ASSERT(zmq_setsockopt(socket_, option, value.data(), value.size()) == 0);
}

void Socket::set_key(int option, ByteView key) {
  BFTMETA_ASSERT(zmq_setsockopt(socket_, option, key.data(), key.size()) == 0);
}

bool Socket::readable() {
  if (drained_) return false;
  int events = 0;
  std::size_t size = sizeof events;
  if (zmq_getsockopt(socket_, ZMQ_EVENTS, &events, &size) != 0) return false;
  drained_ = (events & ZMQ_POLLIN) == 0;
  return !drained_;
}

std::size_t wire_bytes(std::size_t frame) {
  const std::size_t body = frame + kCurveOverhead;
  return body + (body > kLongestShort ? kLongHeader : kShortHeader);
}

std::size_t discard_rest(const Socket& socket, Message& last) {
  std::size_t bytes = 0;
  while (last.more() && last.receive(socket)) bytes += wire_bytes(last.view().size());
  return bytes;
}

std::string tcp_endpoint(const std::string& host, std::uint16_t port) {
  const bool ipv6 = host.find(':') != std::string::npos;
  return "tcp://" + (ipv6 ? '[' + host + ']' : host) + ':' +
         (port == 0 ? std::string("*") : std::to_string(port));
}

void set_link_options(Socket& socket, std::size_t max_frame) {
  socket.set64(ZMQ_MAXMSGSIZE, static_cast<std::int64_t>(max_frame + kCurveOverhead));
  // None: libzmq stops reading at a mark, and a connection that breaks there with a PING behind the
  // mark ends the process by an assertion. ConnectionAudit limits what waits.
  socket.set(ZMQ_RCVHWM, 0);
  socket.set(ZMQ_SNDHWM, kSendHwm);
  socket.set(ZMQ_HANDSHAKE_IVL, kHandshakeMs);
  socket.set(ZMQ_TCP_KEEPALIVE, 1);
  socket.set(ZMQ_TCP_KEEPALIVE_IDLE, kProbeAfterS);
  socket.set(ZMQ_TCP_KEEPALIVE_INTVL, kProbeEveryS);
  socket.set(ZMQ_TCP_KEEPALIVE_CNT, kProbes);
  socket.set(ZMQ_TCP_MAXRT, kSilenceMs);
  socket.set(ZMQ_BACKLOG, kBacklog);
}

void set_address_family(Socket& socket, const std::string& host) {
  in_addr ignored{};
  socket.set(ZMQ_IPV6, inet_pton(AF_INET, host.c_str(), &ignored) == 1 ? 0 : 1);
}

void set_curve_keys(Socket& socket, const crypto::LinkKey& key) {
  socket.set_key(ZMQ_CURVE_PUBLICKEY, key.public_key);
  socket.set_key(ZMQ_CURVE_SECRETKEY, key.secret);
}

}  // namespace bftmeta::net
