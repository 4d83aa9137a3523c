#include "net/link_set.hpp"

#include <doctest/doctest.h>

#include "support/loopback.hpp"

using namespace bftmeta;
using namespace bftmeta::net;
using test::Loopback;

namespace {

// A set of links beside the loop's own server, turned with it.
struct Links {
  Loopback loop;
  crypto::LinkKey key = crypto::generate_link_key();
  LinkSet set{loop.context, key, client_link_options()};
  std::vector<std::pair<std::size_t, Bytes>> inbox;

  Links() {
    loop.allow({key});
    loop.on_message = [this](const test::Received& r) { loop.server->send(r.from, r.message); };
  }
  Destination server() const {
    return {"127.0.0.1", loop.server_options.port, loop.server_key.public_key};
  }
  bool run_until(const std::function<bool()>& done) {
    return loop.run_until([&] {
      set.wait(std::chrono::milliseconds(1));
      set.receive([this](std::size_t from, ByteView m) { inbox.emplace_back(from, to_bytes(m)); });
      set.flush();
      return done();
    });
  }
};

}  // namespace

TEST_CASE("links: who stays keeps its link under another position, who leaves loses it") {
  Links links;
  // Nobody listens at the second one; the third leads nowhere.
  REQUIRE(
      links.set.lead_to({links.server(), Destination{"127.0.0.1", 1, {}}, std::nullopt}).status);
  CHECK(links.set.size() == 3);
  CHECK(links.set.send(0, view("first")));
  CHECK_FALSE(links.set.send(2, view("to nobody")));
  REQUIRE(links.run_until([&] { return links.inbox.size() == 1; }));
  CHECK(links.inbox.back() == std::pair<std::size_t, Bytes>(0, to_bytes("first")));
  CHECK(links.set.state(0) == LinkState::connected);
  CHECK(links.set.state(2) == LinkState::connecting);

  const LinkSet::Led led = links.set.lead_to({std::nullopt, links.server()});
  REQUIRE(led.status);
  CHECK(led.kept == std::vector<std::optional<std::size_t>>{std::nullopt, 0});
  CHECK(links.set.state(1) == LinkState::connected);  // the same connection
  CHECK(links.set.send(1, view("second")));
  REQUIRE(links.run_until([&] { return links.inbox.size() == 2; }));
  CHECK(links.inbox.back() == std::pair<std::size_t, Bytes>(1, to_bytes("second")));
  CHECK(links.loop.authenticator.counters().admitted == 1);

  Destination other_key = links.server();
  other_key.server_key = crypto::generate_link_key().public_key;
  CHECK(links.set.lead_to({other_key}).kept ==
        std::vector<std::optional<std::size_t>>{std::nullopt});
  CHECK(links.set.state(0) == LinkState::connecting);
}

TEST_CASE("links: an address that can not be one is said, and all others are led to") {
  Links links;
  const auto led = links.set.lead_to({Destination{"127.0.0.1", 0, {}}, links.server()});
  REQUIRE_FALSE(led.status);
  CHECK(led.status.error().code == Errc::invalid_argument);
  CHECK_FALSE(links.set.send(0, view("x")));
  CHECK(links.set.send(1, view("y")));
  CHECK(links.run_until([&] { return links.inbox.size() == 1; }));
}
