// net-bench [SECONDS]: what a link costs. A client and a server, each with a context and a loop of
// its own as two processes would have, over loopback TCP with CURVE: round trips one at a time,
// then a stream in one direction. CPU is that of the whole process, both ends and their I/O
// threads.
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "net/client_link.hpp"
#include "net/server.hpp"

using namespace bftmeta;
using namespace bftmeta::net;

namespace {

using Clock = std::chrono::steady_clock;

double cpu_us() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) * 1e6 + static_cast<double>(t.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

double us_since(Clock::time_point start) {
  return std::chrono::duration<double, std::micro>(Clock::now() - start).count();
}

// Echoes until stopped, or only counts when `echo` is off.
class ServerLoop {
 public:
  explicit ServerLoop(const crypto::LinkKey& client) {
    ServerOptions options = client_port_options();
    options.rates = {.bytes_per_s = 1LL << 40,
                     .burst_bytes = 1LL << 40,
                     .messages_per_s = 1LL << 40,
                     .burst_messages = 1LL << 40};
    options.domain = authenticator_.domain("clients", 4);
    options.domain->set_allowed({{client.public_key, "bench"}});
    options.host = "127.0.0.1";
    auto bound = Server::bind(context_, key, options, poller_.waker());
    if (!bound) {
      std::fprintf(stderr, "net-bench: %s\n", bound.error().message.c_str());
      std::exit(1);
    }
    server_ = std::move(*bound);
    poller_.add(*server_);
    thread_ = std::thread([this] { run(); });
  }
  ~ServerLoop() {
    stop_ = true;
    poller_.waker()->wake();
    thread_.join();
  }

  std::uint16_t port() const { return server_->port(); }
  const crypto::LinkKey key = crypto::generate_link_key();
  std::atomic<bool> echo{true};
  std::atomic<std::uint64_t> received{0};

 private:
  void run() {
    while (!stop_) {
      poller_.wait(std::chrono::milliseconds(250));
      server_->receive([this](const Route& from, ByteView message) {
        received.fetch_add(1, std::memory_order_relaxed);
        if (echo) server_->send(from, message);
      });
      server_->flush();
    }
  }

  Context context_;
  Authenticator authenticator_{context_};
  Poller poller_;
  std::unique_ptr<Server> server_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

struct ClientLoop {
  Context context;
  Poller poller;
  std::unique_ptr<ClientLink> link;
  std::uint64_t received = 0;

  ClientLoop(const crypto::LinkKey& key, const ServerLoop& server) {
    LinkOptions options = client_link_options();
    options.host = "127.0.0.1";
    options.port = server.port();
    options.server_key = server.key.public_key;
    auto opened = ClientLink::open(context, key, options, poller.waker());
    if (!opened) std::exit(1);
    link = std::move(*opened);
    poller.add(*link);
  }
  void turn() {
    link->flush();
    poller.wait(std::chrono::milliseconds(250));
    link->receive([this](ByteView) { ++received; });
  }
};

void ping_pong(ClientLoop& client, std::size_t size, double seconds) {
  const Bytes message(size, 1);
  std::vector<double> round_trips;
  const double cpu = cpu_us();
  const auto start = Clock::now();
  while (us_since(start) < seconds * 1e6) {
    const auto sent = Clock::now();
    const std::uint64_t before = client.received;
    client.link->send(message);
    while (client.received == before) client.turn();
    round_trips.push_back(us_since(sent));
  }
  const double cost = (cpu_us() - cpu) / static_cast<double>(round_trips.size());
  std::ranges::sort(round_trips);
  std::printf("round trip  %7zu B: p50 %7.1f us  p99 %7.1f us  CPU %6.1f us each\n", size,
              round_trips[round_trips.size() / 2], round_trips[round_trips.size() * 99 / 100],
              cost);
}

// `per_turn` messages are queued, then sent as the loop would: one frame per turn.
void stream(ClientLoop& client, ServerLoop& server, std::size_t size, int per_turn,
            double seconds) {
  const Bytes message(size, 1);
  server.echo = false;
  const std::uint64_t before = server.received;
  const double cpu = cpu_us();
  const auto start = Clock::now();
  while (us_since(start) < seconds * 1e6) {
    for (int i = 0; i < per_turn; ++i)
      if (!client.link->send(message)) break;
    client.link->flush();
    if (client.link->unsent_bytes() > 1024 * 1024) client.poller.wait(std::chrono::milliseconds(1));
    client.link->receive([](ByteView) {});
  }
  const double elapsed = us_since(start);
  const auto count = static_cast<double>(server.received - before);
  std::printf(
      "stream      %7zu B x %4d per frame: %9.0f messages/s  %7.1f MB/s  CPU %6.2f us each\n", size,
      per_turn, count / elapsed * 1e6, count * static_cast<double>(size) / elapsed,
      (cpu_us() - cpu) / count);
  server.echo = true;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 2.0;
  const crypto::LinkKey key = crypto::generate_link_key();
  ServerLoop server(key);
  ClientLoop client(key, server);
  for (const std::size_t size : {200U, 4096U, 65536U}) ping_pong(client, size, seconds);
  stream(client, server, 200, 1, seconds);
  stream(client, server, 200, 16, seconds);
  stream(client, server, 4096, 16, seconds);
  stream(client, server, 65536, 1, seconds);
}
