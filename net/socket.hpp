// Owning handles for a libzmq socket and message, and the options that every socket of this room
// has. libzmq's C interface is used directly: nothing here throws. Thread-safety: a Socket belongs
// to one thread at a time, as libzmq asks.
#pragma once

#include <zmq.h>

#include <cerrno>
#include <memory>
#include <string>

#include "base/bytes.hpp"
#include "base/result.hpp"
#include "crypto/link_key.hpp"

namespace bftmeta::net {

class Socket {
 public:
  Socket() = default;
  // Precondition: the context lives and has not reached its socket limit (asserted; a process opens
  // a small, configuration-bound number of sockets).
  Socket(void* context, int type);
  ~Socket() { close(); }
  Socket(Socket&& other) noexcept { swap(other); }
  Socket& operator=(Socket&& other) noexcept {
    Socket taken(std::move(other));
    swap(taken);
    return *this;
  }

  void* get() const { return socket_; }
  int fd() const { return fd_; }
  bool is_open() const { return socket_ != nullptr; }
  void close();

  // Asserts: options are constants of this program, never input.
  void set(int option, int value);
  void set64(int option, std::int64_t value);
  void set_text(int option, std::string_view value);
  // Raw 32-byte key to one of the ZMQ_CURVE_*KEY options.
  void set_key(int option, ByteView key);

  // True when a receive would give a message now. Also lets libzmq handle its pending commands,
  // after which its file descriptor is armed again. Costs two system calls, so libzmq is asked only
  // after touch(); see Message::take.
  bool readable();
  // Something may have come: the descriptor fired (Poller does this), or a send may have handled
  // the command that it fired for.
  void touch() { drained_ = false; }

 private:
  friend class Message;
  void swap(Socket& other) noexcept {
    std::swap(socket_, other.socket_);
    std::swap(fd_, other.fd_);
    std::swap(drained_, other.drained_);
  }

  void* socket_ = nullptr;
  int fd_ = -1;
  bool drained_ = false;  // libzmq had nothing and no pending command, and nothing happened since
};

class Message {
 public:
  Message() { zmq_msg_init(&message_); }
  ~Message() { zmq_msg_close(&message_); }
  Message(const Message&) = delete;
  Message& operator=(const Message&) = delete;

  zmq_msg_t* get() { return &message_; }
  bool receive(const Socket& socket) {
    return zmq_msg_recv(&message_, socket.get(), ZMQ_DONTWAIT) >= 0;
  }
  // The same for a socket in a Poller, which is not asked again before something may have come.
  bool take(Socket& socket) {
    if (socket.drained_) return false;
    if (receive(socket)) return true;
    socket.drained_ = zmq_errno() == EAGAIN;
    return false;
  }
  bool more() { return zmq_msg_more(&message_) != 0; }
  ByteView view() {
    return {static_cast<const std::uint8_t*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)};
  }
  // A metadata property of the connection that the message came over; "" when absent.
  std::string_view property(const char* name) {
    const char* value = zmq_msg_gets(&message_, name);
    return value == nullptr ? std::string_view{} : std::string_view{value};
  }
  // The file descriptor of that connection, or -1.
  int connection_fd() { return zmq_msg_get(&message_, ZMQ_SRCFD); }

 private:
  zmq_msg_t message_;
};

// What a frame of a CURVE connection has on the wire.
std::size_t wire_bytes(std::size_t frame);
// Reads and discards the parts that follow in the current multi-part message; their bytes on the
// wire.
std::size_t discard_rest(const Socket& socket, Message& last);

// "tcp://host:port", with brackets around an IPv6 literal.
std::string tcp_endpoint(const std::string& host, std::uint16_t port);

// Frame cap, high-water marks, handshake time, keepalive: what both ends of a link share.
void set_link_options(Socket& socket, std::size_t max_frame);
// IPv6 only when the host may need it: a machine without it would refuse every socket.
void set_address_family(Socket& socket, const std::string& host);
void set_curve_keys(Socket& socket, const crypto::LinkKey& key);

}  // namespace bftmeta::net
