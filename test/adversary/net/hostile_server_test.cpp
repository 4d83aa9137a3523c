// Attacks on a client by the server that it connects to: a malicious replica.
#include <doctest/doctest.h>

#include "base/limits.hpp"
#include "net/client_link.hpp"
#include "net/frame.hpp"
#include "net/poller.hpp"
#include "raw_peer.hpp"

using namespace bftmeta;
using namespace bftmeta::net;

namespace {

// A ROUTER with the right key that answers whatever the test says.
struct HostileServer {
  Context context;
  crypto::LinkKey key = crypto::generate_link_key();
  Socket socket{context.get(), ZMQ_ROUTER};
  std::uint16_t port = 0;
  std::string peer;  // routing id of who spoke last

  explicit HostileServer(int heartbeat_ms = 0) {
    if (heartbeat_ms > 0) test::set_heartbeat(socket, heartbeat_ms);
    socket.set(ZMQ_CURVE_SERVER, 1);
    set_curve_keys(socket, key);
    REQUIRE(zmq_bind(socket.get(), "tcp://127.0.0.1:*") == 0);
    char endpoint[256];
    std::size_t size = sizeof endpoint;
    REQUIRE(zmq_getsockopt(socket.get(), ZMQ_LAST_ENDPOINT, endpoint, &size) == 0);
    const std::string bound = endpoint;
    port = static_cast<std::uint16_t>(std::stoul(bound.substr(bound.rfind(':') + 1)));
  }
  bool heard() {
    Message id;
    if (!id.receive(socket)) return false;
    peer = text(id.view());
    discard_rest(socket, id);
    return true;
  }
  void answer(const std::vector<Bytes>& parts) {
    zmq_send(socket.get(), peer.data(), peer.size(), ZMQ_SNDMORE);
    for (std::size_t i = 0; i < parts.size(); ++i)
      zmq_send(socket.get(), parts[i].data(), parts[i].size(),
               i + 1 < parts.size() ? ZMQ_SNDMORE : 0);
  }
};

struct Victim {
  Context context;
  Poller poller;
  std::unique_ptr<ClientLink> link;
  std::vector<Bytes> inbox;

  explicit Victim(const HostileServer& server, std::uint16_t port = 0) {
    LinkOptions options = client_link_options();
    options.host = "127.0.0.1";
    options.port = port == 0 ? server.port : port;
    options.server_key = server.key.public_key;
    auto opened = ClientLink::open(context, crypto::generate_link_key(), options, poller.waker());
    REQUIRE(opened.has_value());
    link = std::move(*opened);
    poller.add(*link);
  }
  bool run_until(const std::function<bool()>& done) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(15);
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      poller.wait(std::chrono::milliseconds(5));
      link->receive([this](ByteView message) { inbox.push_back(to_bytes(message)); });
      link->flush();
    }
    return true;
  }
};

Bytes frame_of(std::string_view message) {
  Bytes frame;
  append_message(frame, view(message));
  return frame;
}

}  // namespace

TEST_CASE("attack: a server answers with garbage and multi-part messages; they are dropped whole") {
  HostileServer server;
  Victim victim(server);
  victim.link->send(view("hello"));
  REQUIRE(victim.run_until([&] { return server.heard(); }));
  server.answer({Bytes{}});
  server.answer({Bytes(100, 0xff)});
  server.answer({frame_of("a"), frame_of("b")});
  server.answer({frame_of("valid")});
  REQUIRE(victim.run_until([&] { return !victim.inbox.empty(); }));
  CHECK(victim.inbox == std::vector<Bytes>{to_bytes("valid")});
  CHECK(victim.link->counters().dropped_malformed == 3);
}

TEST_CASE("attack: a server sends an oversize frame; the link drops it and connects again") {
  HostileServer server;
  Victim victim(server);
  victim.link->send(view("hello"));
  REQUIRE(victim.run_until([&] { return server.heard(); }));
  server.answer({Bytes(limits::kMaxFrame + 1000, 1)});
  REQUIRE(victim.run_until([&] { return victim.link->counters().disconnects == 1; }));
  victim.link->send(view("hello again"));
  REQUIRE(victim.run_until([&] { return server.heard(); }));
  server.answer({frame_of("valid")});
  REQUIRE(victim.run_until([&] { return !victim.inbox.empty(); }));
  CHECK(victim.inbox == std::vector<Bytes>{to_bytes("valid")});
}

TEST_CASE("attack: a server that does not read costs a bounded queue and blocks nobody") {
  HostileServer server;
  Victim victim(server);
  std::size_t refused = 0;
  REQUIRE(victim.run_until([&] { return victim.link->state() == LinkState::connected; }));
  for (int i = 0; i < 100'000 && refused < 100; ++i) {
    if (!victim.link->send(Bytes(60'000, 1))) ++refused;
    victim.link->flush();
    CHECK(victim.link->unsent_bytes() <= 10 * 1024 * 1024);
  }
  CHECK(refused == 100);
}

TEST_CASE("attack: a server sends a burst with PINGs in it and resets; the link connects again") {
  HostileServer server(50);
  test::Proxy line(server.port, {});
  Victim victim(server, line.port());
  victim.link->send(view("hello"));
  REQUIRE(victim.run_until([&] { return server.heard(); }));
  line.hold(test::Towards::client);
  constexpr std::size_t kFrames = 50;
  const Bytes frame = frame_of("burst");
  for (std::size_t i = 0; i < kFrames; ++i) server.answer({frame});
  REQUIRE(victim.run_until([&] { return line.held() >= kFrames * wire_bytes(frame.size()) + 84; }));
  line.release_and_reset();
  REQUIRE(line.wait_released());
  REQUIRE(victim.run_until([&] { return victim.link->counters().connects == 2; }));
  victim.link->send(view("hello again"));
  CHECK(victim.run_until([&] { return server.heard(); }));
}
