#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <linux/tcp.h>
#include <sys/socket.h>

#include "base/limits.hpp"
#include "support/loopback.hpp"

using namespace bftmeta;
using namespace bftmeta::net;
using test::Loopback;
using namespace std::chrono_literals;

TEST_CASE("a registered client is heard under its key and gets the answer") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  const auto bob = crypto::generate_link_key();
  loop.allow({alice, bob});
  loop.on_message = [&](const test::Received& r) {
    loop.server->send(r.from, view("answer to " + std::string(text(r.message))));
  };
  auto& a = loop.connect(alice);
  auto& b = loop.connect(bob);
  a.send("from alice");
  b.send("from bob");
  REQUIRE(loop.run_until([&] { return a.inbox.size() == 1 && b.inbox.size() == 1; }));
  CHECK(text(a.inbox[0]) == "answer to from alice");
  CHECK(text(b.inbox[0]) == "answer to from bob");
  for (const auto& r : loop.received)
    CHECK((r.from.key == alice.public_key) == (text(r.message) == "from alice"));
  CHECK(a.link->state() == LinkState::connected);
  CHECK(loop.authenticator.counters().admitted == 2);
}

TEST_CASE("what one turn produced for a peer travels as one frame, in order") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  auto& a = loop.connect(alice);
  for (int i = 0; i < 1000; ++i) REQUIRE(a.send("message " + std::to_string(i)));
  REQUIRE(loop.run_until([&] { return loop.received.size() == 1000; }));
  for (std::size_t i = 0; i < 1000; ++i)
    CHECK(text(loop.received[i].message) == "message " + std::to_string(i));
  CHECK(loop.server->counters().frames == 1);
  const Route to = loop.received[0].from;
  for (int i = 0; i < 500; ++i) REQUIRE(loop.server->send(to, view("reply")));
  REQUIRE(loop.run_until([&] { return a.inbox.size() == 500; }));
  CHECK(a.link->counters().frames == 1);
}

TEST_CASE("messages up to the frame cap pass, larger ones are refused by send") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  auto& a = loop.connect(alice);
  const Bytes largest(limits::kMaxFrame - kMessageHeader, 7);
  REQUIRE(a.link->send(largest));
  CHECK_FALSE(a.link->send(Bytes(limits::kMaxFrame - kMessageHeader + 1, 7)));
  CHECK_FALSE(a.link->send(ByteView{}));
  REQUIRE(loop.run_until([&] { return loop.received.size() == 1; }));
  CHECK(loop.received[0].message == largest);
  REQUIRE(loop.server->send(loop.received[0].from, largest));
  REQUIRE(loop.run_until([&] { return a.inbox.size() == 1; }));
  CHECK(a.inbox[0] == largest);
}

TEST_CASE("an idle connection keeps its place while others of its key come and go") {
  Loopback loop(client_port_options(), 4);
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  auto& idle = loop.connect(alice);
  REQUIRE(loop.passes(idle, alice));
  const std::size_t before = Loopback::open_descriptors();
  // Each takes the descriptor of the one before, sooner than ends are looked at without a reason.
  for (int i = 0; i < 12; ++i) {
    auto& passing = loop.connect(alice);
    REQUIRE(loop.passes(passing, alice));
    loop.disconnect(passing);
    REQUIRE(Loopback::wait_closed(before));
  }
  CHECK(loop.passes(idle, alice));
  CHECK(idle.link->counters().disconnects == 0);
  CHECK(loop.server->counters().disconnected == 0);
}

TEST_CASE(
    "more connections than a key may have: the one that was silent longest goes, and comes back") {
  Loopback loop(client_port_options(), 2);
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  auto& idle = loop.connect(alice);
  REQUIRE(loop.passes(idle, alice));
  auto& another = loop.connect(alice);
  REQUIRE(loop.passes(another, alice));
  auto& newest = loop.connect(alice);
  REQUIRE(loop.passes(newest, alice));
  CHECK(loop.server->counters().disconnected == 1);
  REQUIRE(loop.run_until([&] { return idle.link->counters().disconnects == 1; }));
  REQUIRE(loop.run_until([&] { return idle.link->state() == LinkState::connected; }));
  CHECK(another.link->counters().disconnects == 0);
  CHECK(newest.link->counters().disconnects == 0);
  CHECK(loop.passes(idle, alice));
}

TEST_CASE("answers go to the connection that asked, and to none that has its descriptor later") {
  Loopback loop(client_port_options(), 4);
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  REQUIRE(loop.passes(loop.connect(alice), alice));  // what is opened once is open now
  const std::size_t before = Loopback::open_descriptors();
  std::vector<Route> gone;
  for (int i = 0; i < 6; ++i) {
    auto& passing = loop.connect(alice);
    REQUIRE(loop.passes(passing, alice));
    const Route route = loop.received.back().from;
    CHECK(loop.server->connected(route));
    for (const Route& last : gone) CHECK_FALSE(loop.server->connected(last));
    gone.push_back(route);
    loop.disconnect(passing);
    REQUIRE(Loopback::wait_closed(before));
  }
  // The end of the last one is looked at when the next has its descriptor.
  auto& stays = loop.connect(alice);
  REQUIRE(loop.passes(stays, alice));
  const Route route = loop.received.back().from;
  loop.run_until([] { return false; }, 400ms);
  CHECK_FALSE(loop.server->connected(gone.back()));
  CHECK_FALSE(loop.server->send(gone.back(), view("late")));
  CHECK(loop.server->send(route, view("in time")));
  REQUIRE(loop.run_until([&] { return stays.inbox.size() == 1; }));
  CHECK(text(stays.inbox.at(0)) == "in time");
}

TEST_CASE("an unregistered key is told so, and gets in by itself once it is registered") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({});
  auto& a = loop.connect(alice);
  a.send("let me in");
  REQUIRE(loop.run_until([&] { return a.link->state() == LinkState::refused; }));
  CHECK(loop.authenticator.counters().refused_unknown_key >= 1);
  CHECK(loop.received.empty());
  loop.allow({alice});
  REQUIRE(loop.run_until([&] { return loop.received.size() == 1; }));
  CHECK(a.link->state() == LinkState::connected);
}

TEST_CASE("a link to a server with another key than expected never carries a message") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  auto& a = loop.connect(alice, crypto::generate_link_key().public_key);
  a.send("for another server");
  REQUIRE(loop.run_until([&] { return loop.server->connection_counters().closed_unheard > 0; }));
  CHECK(loop.received.empty());
  CHECK(a.link->state() != LinkState::connected);
  CHECK(loop.authenticator.counters().admitted == 0);
}

TEST_CASE("a key that is removed while it is connected is cut off, others are not") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  const auto bob = crypto::generate_link_key();
  loop.allow({alice, bob});
  auto& a = loop.connect(alice);
  auto& b = loop.connect(bob);
  REQUIRE(loop.passes(a, alice));
  REQUIRE(loop.passes(b, bob));
  const Route to_alice = loop.received[0].from;

  loop.allow({bob});
  loop.server->flush();
  CHECK_FALSE(loop.server->send(to_alice, view("secret")));
  const std::size_t before = loop.received.size();
  a.send("still here");
  REQUIRE(loop.run_until([&] { return a.link->state() == LinkState::refused; }));
  CHECK(loop.received.size() == before);
  CHECK(loop.server->counters().dropped_not_allowed == 1);
  CHECK(loop.passes(b, bob));
  CHECK(b.link->counters().connects == 1);
}

TEST_CASE("a link survives a restart of the server and drops what was queued before") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  auto& a = loop.connect(alice);
  REQUIRE(loop.passes(a, alice));
  loop.stop_server();
  REQUIRE(loop.run_until([&] { return a.link->state() == LinkState::connecting; }));
  loop.start_server();
  CHECK(loop.passes(a, alice));
  CHECK(a.link->counters().connects == 2);
}

TEST_CASE("while a link is down its queue stays bounded and keeps the newest") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({});
  auto options = client_link_options();
  options.outbox.max_queued = 100'000;
  auto& a = loop.connect(alice, loop.server_key.public_key, options);
  for (int i = 0; i < 1000; ++i) {
    CHECK(a.link->send(Bytes(1000, 1)));
    CHECK(a.link->unsent_bytes() <= 100'000);
  }
  CHECK(a.send("the newest"));
  loop.allow({alice});
  REQUIRE(loop.run_until([&] {
    return !loop.received.empty() && text(loop.received.back().message) == "the newest";
  }));
  CHECK(loop.received.size() < 110);
}

TEST_CASE("what was read does not count against a connection, however long it stands") {
  auto options = client_port_options();
  options.max_unread = 4096;  // the handshake and one round
  Loopback loop(options);
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  loop.on_message = [&](const test::Received& r) {
    loop.server->send(r.from, r.message);
    loop.server->flush();
  };
  auto link = client_link_options();
  link.max_unread = options.max_unread;
  auto& a = loop.connect(alice, loop.server_key.public_key, link);
  REQUIRE(loop.run_until([&] { return a.link->state() == LinkState::connected; }));
  std::size_t sent = 0;
  for (int round = 0; round < 300; ++round) {
    // A frame each, of short and long lengths.
    for (int i = 0; i < 10; ++i) {
      REQUIRE(a.link->send(Bytes(1 + sent++ * 7 % 280, 7)));
      a.link->flush();
    }
    REQUIRE(loop.run_until([&] { return a.inbox.size() == sent; }));
  }
  CHECK(a.link->counters().frames == sent);
  CHECK(loop.server->counters().frames == sent);
  CHECK(a.link->counters().connects == 1);
  // They look every 250 ms.
  const auto start = std::chrono::steady_clock::now();
  loop.run_until([&] { return std::chrono::steady_clock::now() - start > 600ms; });
  CHECK(a.link->counters().disconnects == 0);
  CHECK(loop.server->connection_counters().shut_unread == 0);
}

TEST_CASE("both ends of a connection let TCP find out that the other host is silent") {
  Loopback loop;
  const auto alice = crypto::generate_link_key();
  loop.allow({alice});
  REQUIRE(loop.passes(loop.connect(alice), alice));
  const auto option = [](int fd, int level, int name) {
    int value = -1;
    socklen_t size = sizeof value;
    return ::getsockopt(fd, level, name, &value, &size) == 0 ? value : -1;
  };
  const auto port_of = [](int fd, auto name_of) {
    sockaddr_in address{};
    socklen_t size = sizeof address;
    const int rc = name_of(fd, reinterpret_cast<sockaddr*>(&address), &size);
    return rc == 0 && address.sin_family == AF_INET ? ntohs(address.sin_port) : 0;
  };
  int ends = 0;
  for (int fd = 3; fd < 256; ++fd) {
    if (port_of(fd, ::getpeername) == 0) continue;
    if (port_of(fd, ::getsockname) != loop.server->port() &&
        port_of(fd, ::getpeername) != loop.server->port())
      continue;
    ++ends;
    CHECK(option(fd, SOL_SOCKET, SO_KEEPALIVE) == 1);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPIDLE) == 4);
    CHECK(option(fd, IPPROTO_TCP, TCP_KEEPINTVL) == 2);
    CHECK(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 8000);
  }
  CHECK(ends == 2);
}

TEST_CASE("an endpoint that cannot be bound is an error that names it and says what to do") {
  Loopback loop;
  auto options = loop.server_options;  // its port is taken by the server of the fixture
  const auto taken = Server::bind(loop.context, loop.server_key, options, loop.poller.waker());
  REQUIRE_FALSE(taken.has_value());
  CHECK(taken.error().code == Errc::io);
  CHECK(taken.error().message.find("tcp://127.0.0.1:" + std::to_string(options.port)) !=
        std::string::npos);
  CHECK(taken.error().message.find("in use") != std::string::npos);

  for (const char* host : {"192.0.2.1", "no-such-host.invalid", "not a host", ""}) {
    options.host = host;
    const auto bad = Server::bind(loop.context, loop.server_key, options, loop.poller.waker());
    REQUIRE_FALSE(bad.has_value());
    CHECK(bad.error().message.find(host) != std::string::npos);
    CHECK(bad.error().message.find('\n') == std::string::npos);
  }
  LinkOptions link = client_link_options();
  link.host = "127.0.0.1";
  CHECK_FALSE(ClientLink::open(loop.context, loop.server_key, link, loop.poller.waker()));
}

TEST_CASE("another thread ends a wait") {
  Poller poller;
  std::thread other([waker = poller.waker()] { waker->wake(); });
  const auto start = std::chrono::steady_clock::now();
  // Each wait lasts at most 250 ms; a hundred of them would take 25 s.
  for (int i = 0; i < 100; ++i) {
    pollfd fd{poller.waker()->fd(), POLLIN, 0};
    if (::poll(&fd, 1, 10'000) == 1) break;
  }
  poller.wait(std::chrono::seconds(60));
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(250));
  other.join();
}
