// Attacks by somebody whose key is registered: a malicious client or replica.
#include <doctest/doctest.h>

#include <set>
#include <thread>

#include "base/limits.hpp"
#include "raw_peer.hpp"
#include "support/loopback.hpp"

using namespace bftmeta;
using namespace bftmeta::net;
using test::Loopback;
using test::RawDealer;

namespace {

struct Scene {
  crypto::LinkKey alice = crypto::generate_link_key();
  crypto::LinkKey mallory = crypto::generate_link_key();
  Loopback loop;
  Loopback::Client* good = nullptr;

  explicit Scene(ServerOptions options = client_port_options()) : loop(options) {
    loop.allow({alice, mallory});
    good = &loop.connect(alice);
    REQUIRE(loop.passes(*good, alice));
  }
  RawDealer dealer(std::string_view routing_id = "") {
    return RawDealer(mallory, loop.server_key.public_key, loop.server->port(), routing_id);
  }
  std::unique_ptr<RawDealer> another() {
    return std::make_unique<RawDealer>(mallory, loop.server_key.public_key, loop.server->port());
  }
  std::size_t from_mallory() const {
    return static_cast<std::size_t>(std::ranges::count_if(
        loop.received, [&](const auto& r) { return r.from.key == mallory.public_key; }));
  }
  // More frames than any port lets wait in libzmq arrive at once, PINGs after them if so wanted,
  // and then a reset of the connection, while the loop is busy with something else.
  void burst_and_reset(bool pings, std::chrono::milliseconds busy) {
    constexpr std::size_t kFrames = 100;
    constexpr std::size_t kPing = 42;  // on the wire
    const std::string_view text = "burst";
    const std::size_t frames = kFrames * wire_bytes(text.size() + kMessageHeader);
    test::Proxy line(loop.server->port(), {});
    RawDealer dealer(mallory, loop.server_key.public_key, line.port(), "", pings ? 50 : 0);
    dealer.send_message("first");
    REQUIRE(loop.run_until([&] { return from_mallory() == 1; }));
    line.hold(test::Towards::server);
    for (std::size_t i = 0; i < kFrames; ++i) dealer.send_message(text);
    // The first PING may have come before the frames.
    REQUIRE(loop.run_until([&] { return line.held() >= frames + (pings ? 2 * kPing : 0); }));
    line.release_and_reset();
    REQUIRE(line.wait_released());
    std::this_thread::sleep_for(busy);
    CHECK(loop.run_until([&] { return from_mallory() == 1 + kFrames; }));
  }
  // Alice is heard, and always was over one and the same connection.
  void check_good_peer() {
    CHECK(loop.passes(*good, alice));
    CHECK(good->link->counters().connects == 1);
  }
};

}  // namespace

TEST_CASE("attack: the routing id of another peer; neither its messages nor its answers are got") {
  Scene scene;
  auto& loop = scene.loop;
  const Route to_alice = loop.received[0].from;
  // More than any peer can know: the very id, with the server's secret in it.
  const std::string stolen = loop.server->domain().routing_id_of(to_alice);
  std::vector<std::unique_ptr<RawDealer>> thieves;
  for (int i = 0; i < 20; ++i) {
    thieves.push_back(std::make_unique<RawDealer>(scene.mallory, loop.server_key.public_key,
                                                  loop.server->port(), stolen));
    thieves.back()->send_message("I am Alice " + std::to_string(i));
    REQUIRE(loop.run_until([&] { return scene.from_mallory() == std::size_t(i) + 1; }));
    REQUIRE(loop.server->send(to_alice, view("for Alice only")));
    REQUIRE(loop.run_until([&] { return scene.good->inbox.size() == std::size_t(i) + 1; }));
  }
  for (auto& thief : thieves) CHECK_FALSE(thief->receive().has_value());
  CHECK(loop.server->counters().dropped_forged_route == 0);
  scene.check_good_peer();
}

TEST_CASE("attack: routing ids of the form that libzmq gives out itself, and duplicates of one") {
  Scene scene;
  for (int i = 0; i < 16; ++i) {
    std::string id("\0\0\0\0", 5);
    id[4] = static_cast<char>(i / 2);  // each twice
    RawDealer dealer(scene.mallory, scene.loop.server_key.public_key, scene.loop.server->port(),
                     id);
    dealer.send_message("hello");
    REQUIRE(scene.loop.run_until([&] { return scene.from_mallory() == std::size_t(i) + 1; }));
  }
  scene.check_good_peer();
}

TEST_CASE("attack: one key opens many connections; they take places from each other only") {
  Scene scene;
  const std::size_t before = Loopback::open_descriptors();
  std::vector<std::unique_ptr<RawDealer>> crowd;
  SUBCASE("over which it speaks") {
    for (int i = 0; i < 30; ++i) {
      crowd.push_back(scene.another());
      crowd.back()->send_message("one of many");
    }
    // What is under way when a connection loses its place is lost; some messages get through.
    REQUIRE(scene.loop.run_until([&] {
      return scene.loop.authenticator.counters().admitted >= 31 && scene.from_mallory() >= 4;
    }));
    std::set<Route> routes;
    for (const auto& r : scene.loop.received)
      if (r.from.key == scene.mallory.public_key && scene.loop.server->connected(r.from))
        routes.insert(r.from);
    CHECK(routes.size() <= 4);
  }
  SUBCASE("over which it never speaks") {
    for (int i = 0; i < 30; ++i) crowd.push_back(scene.another());
    REQUIRE(
        scene.loop.run_until([&] { return scene.loop.authenticator.counters().admitted >= 31; }));
  }
  scene.check_good_peer();
  // When it has gone nothing of it is left.
  crowd.clear();
  CHECK(scene.loop.run_until([&] { return Loopback::open_descriptors() <= before; }));
  scene.check_good_peer();
}

TEST_CASE("attack: a connection is lost again and again while it speaks; nothing of them is left") {
  Scene scene;
  const std::size_t before = Loopback::open_descriptors();
  for (int round = 0; round < 5; ++round) {
    std::vector<std::unique_ptr<RawDealer>> crowd;
    for (int i = 0; i < 8; ++i) crowd.push_back(scene.another());
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(300);
    scene.loop.run_until([&] {
      for (auto& dealer : crowd) dealer->send_message("me, me");
      return std::chrono::steady_clock::now() > end;
    });
  }
  CHECK(scene.from_mallory() > 20);
  CHECK(scene.loop.server->counters().disconnected > 4);
  CHECK(scene.loop.run_until([&] { return Loopback::open_descriptors() <= before; }));
  scene.check_good_peer();
}

TEST_CASE("attack: each connection holds less than it may, all of them too much") {
  auto options = client_port_options();
  options.max_unread = 1024 * 1024;
  options.max_unread_in_all = 2 * 1024 * 1024;
  options.turn_bytes = 64 * 1024;
  Scene scene(options);
  auto& silent = scene.loop.connect(scene.alice);
  REQUIRE(scene.loop.run_until([&] { return silent.link->state() == LinkState::connected; }));
  std::vector<std::unique_ptr<RawDealer>> crowd;
  for (int i = 0; i < 4; ++i) {
    crowd.push_back(scene.another());
    crowd.back()->send_message("first");
  }
  REQUIRE(scene.loop.run_until([&] { return scene.from_mallory() == 4; }));
  // The loop stands still meanwhile, and long enough to look at the connections in its next turn.
  const Bytes large(900 * 1024, 1);
  for (auto& dealer : crowd) CHECK(dealer->send_message(text(large)));
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  scene.loop.turn();
  const auto shut = scene.loop.server->connection_counters().shut_unread;
  CHECK(shut >= 1);
  CHECK(shut <= 2);
  scene.check_good_peer();
  CHECK(silent.link->counters().disconnects == 0);
}

TEST_CASE("attack: bad frames are left behind, and an honest connection has their descriptor") {
  auto options = client_port_options();
  options.offences_per_s = 10;
  Scene scene(options);
  const std::size_t before = Loopback::open_descriptors();
  auto dealer = scene.another();
  dealer->send_message("first");
  REQUIRE(scene.loop.run_until([&] { return scene.from_mallory() == 1; }));
  for (int i = 0; i < 100; ++i) dealer->send(Bytes(20, 0xff));
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  dealer.reset();
  REQUIRE(Loopback::wait_closed(before));
  auto& honest = scene.loop.connect(scene.alice);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (scene.loop.authenticator.counters().admitted < 3 && std::chrono::steady_clock::now() < end)
    std::this_thread::yield();
  REQUIRE(scene.loop.run_until([&] { return honest.link->state() == LinkState::connected; }));
  REQUIRE(
      scene.loop.run_until([&] { return scene.loop.server->counters().dropped_malformed > 20; }));
  CHECK(scene.loop.passes(honest, scene.alice));
  CHECK(honest.link->counters().disconnects == 0);
  scene.check_good_peer();
}

TEST_CASE("attack: an oversize frame costs the connection and reaches nobody") {
  Scene scene;
  auto dealer = scene.dealer();
  dealer.send_message("first");
  REQUIRE(scene.loop.run_until([&] { return scene.from_mallory() == 1; }));
  const auto opened = scene.loop.server->connection_counters().opened;
  dealer.send(Bytes(limits::kMaxFrame + 1000, 1));
  // Hung up on, it connects again.
  REQUIRE(scene.loop.run_until(
      [&] { return scene.loop.server->connection_counters().opened > opened; }));
  CHECK(scene.from_mallory() == 1);
  scene.check_good_peer();
}

TEST_CASE("attack: frames that are not containers, and multi-part messages, are dropped whole") {
  Scene scene;
  auto dealer = scene.dealer();
  Bytes good_frame;
  append_message(good_frame, view("valid"));
  Bytes trailing = good_frame;
  trailing.push_back(0);
  const std::vector<Bytes> bad{
      {},       Bytes(1, 0),       Bytes(4, 0),
      trailing, Bytes(1000, 0xff), Bytes(good_frame.begin(), good_frame.end() - 1)};
  for (const Bytes& frame : bad) dealer.send(frame);
  dealer.send(good_frame, true);
  dealer.send(good_frame, false);
  dealer.send_message("last");
  REQUIRE(scene.loop.run_until([&] { return scene.from_mallory() == 1; }));
  CHECK(text(scene.loop.received.back().message) == "last");
  CHECK(scene.loop.server->counters().dropped_malformed == bad.size() + 1);
  scene.check_good_peer();
}

TEST_CASE("attack: a multi-part message without end is cut off before it fills the memory") {
  auto options = client_port_options();
  options.outbox.max_frame = 64 * 1024;
  options.max_unread = 1024 * 1024;
  Scene scene(options);
  std::optional<test::Proxy> slow_line(std::in_place, scene.loop.server->port(),
                                       test::ProxyRules{.bytes_per_ms = 16 * 1024});
  RawDealer dealer(scene.mallory, scene.loop.server_key.public_key, slow_line->port());
  constexpr std::size_t kPart = 16 * 1024;
  constexpr std::size_t kTotal = 256 * 1024 * 1024;
  // libzmq hands a message on when it is complete: the length is as good as endless for the line.
  for (std::size_t sent = 0; sent < kTotal; sent += kPart)
    REQUIRE(dealer.send(Bytes(kPart, 1), true));
  dealer.send(Bytes(1, 1));
  REQUIRE(scene.loop.run_until(
      [&] { return scene.loop.server->connection_counters().shut_unread > 0; }));
  CHECK(slow_line->forwarded() < kTotal / 4);
  CHECK(scene.from_mallory() == 0);
  scene.check_good_peer();
  // libzmq aborts the process of a socket that is closed without lingering in the very moment in
  // which its connection breaks within a message: the attacker loses the line first, then closes.
  slow_line.reset();
  dealer.socket().set(ZMQ_LINGER, 1000);
}

TEST_CASE("attack: a flood is dropped at the bucket, then banned; a good peer still gets through") {
  auto options = client_port_options();
  options.rates.messages_per_s = 1000;
  options.rates.burst_messages = 1000;
  options.offences_per_s = 500;
  Scene scene(options);
  std::atomic<bool> stop{false};
  std::thread flood([&] {
    auto dealer = scene.dealer();
    while (!stop)
      if (!dealer.send_message("flood")) std::this_thread::yield();
  });
  CHECK(
      scene.loop.run_until([&] { return scene.loop.authenticator.counters().refused_banned > 0; }));
  for (int i = 0; i < 20; ++i) CHECK(scene.loop.passes(*scene.good, scene.alice));
  stop = true;
  flood.join();
  CHECK(scene.loop.server->counters().dropped_over_rate > 500);
  CHECK(scene.loop.server->counters().disconnected >= 1);
  CHECK(scene.from_mallory() <= 1000 * 12);
  scene.check_good_peer();
}

TEST_CASE("attack: a flood within the rates does not keep a good peer's messages waiting") {
  Scene scene;
  std::atomic<bool> stop{false};
  std::thread flood([&] {
    auto dealer = scene.dealer();
    while (!stop)
      if (!dealer.send_message("flood")) std::this_thread::yield();
  });
  const bool started = scene.loop.run_until([&] { return scene.from_mallory() > 1000; });
  for (int i = 0; i < 20; ++i) CHECK(scene.loop.passes(*scene.good, scene.alice));
  stop = true;
  flood.join();
  CHECK(started);
  scene.check_good_peer();
}

TEST_CASE("attack: a slow reader costs a bounded queue and blocks nobody") {
  auto options = client_port_options();
  options.outbox.max_queued = 1024 * 1024;
  options.outbox.max_in_flight = 512 * 1024;
  Scene scene(options);
  auto& loop = scene.loop;
  auto dealer = scene.dealer();  // never reads
  dealer.socket().set(ZMQ_RCVHWM, 1);
  dealer.send_message("send me much");
  REQUIRE(loop.run_until([&] { return scene.from_mallory() == 1; }));
  const Route slow = loop.received.back().from;
  const Bytes reply(60'000, 1);
  std::size_t refused = 0;
  auto slowest = std::chrono::steady_clock::duration::zero();
  for (int i = 0; i < 20'000 && refused < 100; ++i) {
    const auto start = std::chrono::steady_clock::now();
    if (!loop.server->send(slow, reply)) ++refused;
    loop.server->flush();
    slowest = std::max(slowest, std::chrono::steady_clock::now() - start);
    CHECK(loop.server->unsent_bytes(slow) <= (1024 + 512) * 1024);
    if (i % 10 == 0) loop.turn();
  }
  CHECK(refused == 100);
  CHECK(slowest < std::chrono::seconds(1));
  REQUIRE(loop.server->send(loop.received[0].from, view("for Alice")));
  CHECK(loop.run_until([&] { return scene.good->inbox.size() == 1; }));
  scene.check_good_peer();
}

TEST_CASE("attack: a removed key stays away though its socket keeps connecting") {
  Scene scene;
  auto dealer = scene.dealer();
  dealer.send_message("first");
  REQUIRE(scene.loop.run_until([&] { return scene.from_mallory() == 1; }));
  scene.loop.allow({scene.alice});
  dealer.send_message("second");
  REQUIRE(scene.loop.run_until(
      [&] { return scene.loop.authenticator.counters().refused_unknown_key > 0; }));
  dealer.send_message("third");
  scene.check_good_peer();
  CHECK(scene.from_mallory() == 1);
}

TEST_CASE("attack: a burst and a reset while the server is busy; it goes on") {
  Scene scene(peer_port_options());
  // Longer than it took libzmq's heartbeat to stumble over the connection.
  scene.burst_and_reset(false, std::chrono::milliseconds(2300));
  scene.check_good_peer();
}

TEST_CASE("attack: a burst with PINGs in it and a reset; the server goes on") {
  Scene scene(peer_port_options());
  scene.burst_and_reset(true, std::chrono::milliseconds(0));
  scene.check_good_peer();
}

TEST_CASE("attack: small frames faster than they are read; the connection is cut off") {
  auto options = client_port_options();
  options.max_unread = 1024 * 1024;
  options.turn_bytes = 64 * 1024;
  Scene scene(options);
  auto dealer = scene.dealer();
  dealer.send_message("first");
  REQUIRE(scene.loop.run_until([&] { return scene.from_mallory() == 1; }));
  // The loop stands still meanwhile, and long enough to look at the connections in its next turn.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  for (int sent = 0; sent < 100'000 && std::chrono::steady_clock::now() < end;)
    sent += dealer.send_message("small") ? 1 : 0;
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  REQUIRE(scene.loop.run_until(
      [&] { return scene.loop.server->connection_counters().shut_unread > 0; }));
  scene.check_good_peer();
}

TEST_CASE("attack: new connections while nothing is read; a key gets no more than it may have") {
  Scene scene;
  std::vector<std::unique_ptr<RawDealer>> crowd;
  for (int i = 0; i < 12; ++i) {
    crowd.push_back(scene.another());
    crowd.back()->send_message("hello");
  }
  // The loop stands still.
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const auto counters = [&] { return scene.loop.authenticator.counters(); };
  while (counters().refused_banned < 8 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(counters().refused_banned >= 8);
  CHECK(counters().admitted == 1 + 4);
  // Those that were turned away come again.
  CHECK(scene.loop.run_until([&] { return counters().admitted >= 1 + 12; }));
  scene.check_good_peer();
}
