// Attacks by somebody without a registered key.
#include <doctest/doctest.h>

#include <fstream>

#include "raw_peer.hpp"
#include "support/loopback.hpp"

using namespace bftmeta;
using namespace bftmeta::net;
using test::Loopback;
using test::RawDealer;
using test::TcpPeer;

namespace {

std::size_t resident_bytes() {
  std::size_t total = 0;
  std::size_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * 4096;
}

Bytes concat(Bytes a, ByteView b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace

TEST_CASE("attack: garbage in place of a handshake; the sender is hung up on, others go on") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  auto& a = loop.connect(alice);
  REQUIRE(loop.passes(a, alice));
  const std::vector<Bytes> garbage{
      to_bytes("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + std::string(200, 'x')),
      Bytes(300, 0x00),
      Bytes(300, 0xff),
      concat(test::zmtp_greeting("CURVE", true), Bytes(300, 0xa5)),
      concat(test::zmtp_greeting("CURVE", false), view("\x04\x05HELLO")),
      concat(test::zmtp_greeting("BOGUS", false), Bytes(300, 1)),
      // ZMTP 1.0: length 1 + flags, no authentication possible
      Bytes{0x01, 0x00, 0x06, 0x00, 'h', 'e', 'l', 'l', 'o', 0, 0, 0, 0, 0, 0},
  };
  for (const Bytes& bytes : garbage) {
    TcpPeer peer(loop.server->port());
    REQUIRE(peer.connected());
    peer.send(bytes);
    CHECK_MESSAGE(loop.run_until([&] { return peer.closed(); }), to_hex(bytes));
  }
  CHECK(loop.passes(a, alice));
  CHECK(a.link->counters().connects == 1);
  CHECK(loop.received.size() == 2);
}

TEST_CASE("attack: half a handshake and then silence; the descriptor is freed") {
  Loopback loop;
  TcpPeer nothing(loop.server->port());
  TcpPeer greeting(loop.server->port());
  greeting.send(test::zmtp_greeting("CURVE", false));
  TcpPeer half_greeting(loop.server->port());
  half_greeting.send(ByteView(test::zmtp_greeting("CURVE", false)).first(20));
  CHECK(loop.run_until(
      [&] { return nothing.closed() && greeting.closed() && half_greeting.closed(); }));
}

TEST_CASE("attack: a frame header that announces a terabyte; nothing is allocated") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  auto& a = loop.connect(alice);
  REQUIRE(loop.passes(a, alice));
  const std::size_t before = resident_bytes();
  for (const int flags : {0x02, 0x06, 0x03}) {
    Bytes attack = test::zmtp_greeting("CURVE", false);
    attack.insert(attack.end(), {static_cast<std::uint8_t>(flags), 0, 0, 1, 0, 0, 0, 0, 0});
    TcpPeer peer(loop.server->port());
    peer.send(attack);
    CHECK(loop.run_until([&] { return peer.closed(); }));
  }
  CHECK(resident_bytes() < before + 16 * 1024 * 1024);
  CHECK(loop.passes(a, alice));
}

TEST_CASE("attack: a peer without CURVE (NULL or PLAIN mechanism) is not heard") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  RawDealer null_peer(loop.server->port());
  null_peer.send_message("no encryption");
  REQUIRE(loop.run_until([&] { return loop.server->connection_counters().closed_unheard > 0; }));
  const auto failed = loop.server->connection_counters().closed_unheard;
  Context context;
  Socket plain(context.get(), ZMQ_DEALER);
  plain.set_text(ZMQ_PLAIN_USERNAME, "admin");
  plain.set_text(ZMQ_PLAIN_PASSWORD, "admin");
  REQUIRE(zmq_connect(plain.get(), loop.server->endpoint().c_str()) == 0);
  REQUIRE(
      loop.run_until([&] { return loop.server->connection_counters().closed_unheard > failed; }));
  auto& a = loop.connect(alice);
  CHECK(loop.passes(a, alice));
  CHECK(loop.received.size() == 1);
}

TEST_CASE("attack: somebody who knows a registered public key but not its secret is refused") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  crypto::LinkKey forged = crypto::generate_link_key();
  forged.public_key = alice.public_key;
  auto& m = loop.connect(forged);
  m.send("I am Alice");
  REQUIRE(loop.run_until([&] { return loop.server->connection_counters().closed_unheard > 0; }));
  CHECK(loop.received.empty());
  CHECK(loop.authenticator.counters().admitted == 0);
}

TEST_CASE("attack: more connections than the server allows; the silent ones go, peers stay") {
  auto options = client_port_options();
  options.max_connections = 40;
  Loopback loop(options);
  const auto alice = crypto::generate_link_key();
  const auto bob = crypto::generate_link_key();
  loop.allow({alice, bob});
  auto& a = loop.connect(alice);
  REQUIRE(loop.passes(a, alice));
  std::vector<TcpPeer> crowd;
  for (int i = 0; i < 200; ++i) crowd.emplace_back(loop.server->port());
  REQUIRE(loop.run_until([&] { return loop.server->connection_counters().shut_too_many >= 160; }));
  auto& b = loop.connect(bob);
  CHECK(loop.passes(b, bob));
  CHECK(loop.passes(a, alice));
  CHECK(a.link->counters().connects == 1);
}

TEST_CASE("attack: a connection cut in the middle of a frame delivers nothing of it") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  test::Proxy proxy(loop.server->port(), {.cut_after = 10'000});
  auto options = client_link_options();
  const std::uint16_t real = loop.server_options.port;
  loop.server_options.port = proxy.port();
  auto& a = loop.connect(alice, loop.server_key.public_key, options);
  loop.server_options.port = real;
  REQUIRE(a.link->send(Bytes(100'000, 1)));
  REQUIRE(loop.run_until([&] { return a.link->counters().disconnects == 1; }));
  CHECK(loop.received.empty());
  CHECK(loop.passes(a, alice));
  CHECK(loop.received.size() == 1);
}

TEST_CASE("attack: bytes changed on the way never reach the receiver") {
  for (const std::size_t at : {5U, 70U, 200U, 400U, 5'000U, 50'000U}) {
    CAPTURE(at);
    Loopback loop;
    const auto alice = crypto::generate_link_key();
    loop.allow({alice});
    test::Proxy proxy(loop.server->port(), {.flip_byte = at});
    const std::uint16_t real = loop.server_options.port;
    loop.server_options.port = proxy.port();
    auto& a = loop.connect(alice);
    loop.server_options.port = real;
    const Bytes message(100'000, 1);
    a.link->send(message);
    // A change during the handshake costs a connection attempt (or nothing, in the padding of the
    // greeting) and the message goes over the next one; a change in the message costs the message.
    REQUIRE(
        loop.run_until([&] { return a.link->counters().connects == 2 || !loop.received.empty(); }));
    for (const auto& r : loop.received) CHECK(r.message == message);
    if (at >= 5'000) CHECK(loop.received.empty());
  }
}
