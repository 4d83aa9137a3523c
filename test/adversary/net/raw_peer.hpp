// Hostile ends of a link: a plain TCP connection, a ZeroMQ socket in a context of its own that can
// set what a bftmeta program never sets, and a proxy that delays, cuts or changes what passes. Used
// by one thread; the proxy has a thread of its own.
#pragma once

#include <atomic>
#include <limits>
#include <string>
#include <thread>

#include "net/context.hpp"
#include "net/socket.hpp"

namespace bftmeta::test {

// A connected TCP socket that never blocks.
class TcpPeer {
 public:
  explicit TcpPeer(std::uint16_t port);
  ~TcpPeer();
  TcpPeer(TcpPeer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  TcpPeer(const TcpPeer&) = delete;
  TcpPeer& operator=(const TcpPeer&) = delete;

  bool connected() const { return fd_ >= 0; }
  void send(ByteView bytes);
  // True once the other side has closed the connection. What it sent is discarded.
  bool closed();

 private:
  int fd_;
};

// The first 64 bytes of a ZMTP 3 connection.
Bytes zmtp_greeting(std::string_view mechanism, bool as_server);

// PINGs of libzmq's heartbeat, so often, which go on when nobody answers.
void set_heartbeat(net::Socket& socket, int every_ms);

// A DEALER without any of ClientLink's manners.
class RawDealer {
 public:
  // Empty id: libzmq's default. With a heartbeat it sends a PING so often, and needs no answer.
  RawDealer(const crypto::LinkKey& key, const PublicKey& server_key, std::uint16_t port,
            std::string_view routing_id = "", int heartbeat_ms = 0);
  // Without CURVE at all.
  explicit RawDealer(std::uint16_t port);

  // One part; false when libzmq does not take it.
  bool send(ByteView part, bool more = false);
  bool send_message(std::string_view message);  // in a well-formed frame
  // The next frame, or nothing.
  std::optional<Bytes> receive();
  net::Socket& socket() { return socket_; }

 private:
  void connect(std::uint16_t port);
  net::Context context_;
  net::Socket socket_;
};

struct ProxyRules {
  std::size_t cut_after = std::numeric_limits<std::size_t>::max();  // bytes towards the server
  std::size_t flip_byte = std::numeric_limits<std::size_t>::max();  // its index on that way
  std::size_t bytes_per_ms = std::numeric_limits<std::size_t>::max();
};

// Which way bytes go.
enum class Towards { server, client };

// Forwards every connection to `port`; the rules hold for the first one only.
class Proxy {
 public:
  Proxy(std::uint16_t port, ProxyRules rules);
  ~Proxy();
  Proxy(const Proxy&) = delete;
  Proxy& operator=(const Proxy&) = delete;
  std::uint16_t port() const { return port_; }
  std::size_t forwarded() const { return forwarded_.load(); }
  // Keeps back what comes from now on; the other way is as before.
  void hold(Towards way) { hold_ = static_cast<int>(way); }
  std::size_t held() const { return held_.load(); }
  // All that was kept back arrives at once, and then a reset of the connection.
  void release_and_reset() { release_ = true; }
  // False: not within ten seconds.
  bool wait_released() const {
    for (int i = 0; i < 10'000 && !released_.load(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return released_.load();
  }

 private:
  void run();
  void forward(int client, ProxyRules rules);
  void release(int to, const Bytes& kept);

  std::uint16_t target_;
  ProxyRules rules_;
  int listener_;
  std::uint16_t port_ = 0;
  std::atomic<bool> stop_{false};
  std::atomic<std::size_t> forwarded_{0};
  std::atomic<int> hold_{-1};
  std::atomic<std::size_t> held_{0};
  std::atomic<bool> release_{false};
  std::atomic<bool> released_{false};
  std::thread thread_;
};

}  // namespace bftmeta::test
