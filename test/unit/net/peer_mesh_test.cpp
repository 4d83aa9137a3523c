#include "net/peer_mesh.hpp"

#include <doctest/doctest.h>

#include "net/poller.hpp"
#include "support/free_ports.hpp"

using namespace bftmeta;
using namespace bftmeta::net;

namespace {

struct Node {
  Context context;
  Authenticator authenticator{context};
  Poller poller;
  std::unique_ptr<PeerMesh> mesh;
  std::vector<std::pair<std::uint32_t, std::string>> inbox;

  void turn() {
    poller.wait(std::chrono::microseconds(500));
    mesh->receive([this](std::uint32_t from, ByteView message) {
      inbox.emplace_back(from, std::string(text(message)));
    });
    mesh->flush();
  }
};

struct Cluster {
  config::Config config;
  std::vector<crypto::LinkKey> keys;
  std::vector<std::unique_ptr<Node>> nodes;

  explicit Cluster(std::uint32_t n) {
    const auto ports = test::free_ports(n);
    for (std::uint32_t i = 0; i < n; ++i) {
      keys.push_back(crypto::generate_link_key());
      config.replicas.push_back(
          {.id = i, .link_key = keys[i].public_key, .host = "127.0.0.1", .port = ports[i]});
    }
    for (std::uint32_t i = 0; i < n; ++i) start(i);
  }
  void start(std::uint32_t i) {
    if (nodes.size() <= i) nodes.resize(i + 1);
    nodes[i] = std::make_unique<Node>();
    auto mesh = PeerMesh::open(nodes[i]->context, nodes[i]->authenticator, config, i, keys[i], "",
                               nodes[i]->poller.waker());
    REQUIRE_MESSAGE(mesh.has_value(), mesh.error().message);
    nodes[i]->mesh = std::move(*mesh);
    nodes[i]->poller.add(*nodes[i]->mesh);
  }
  bool run_until(const std::function<bool()>& done,
                 std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      if (std::chrono::steady_clock::now() > end) return false;
      for (auto& node : nodes)
        if (node != nullptr) node->turn();
    }
    return true;
  }
};

}  // namespace

TEST_CASE("every replica hears every other under its id") {
  Cluster cluster(4);
  for (std::uint32_t i = 0; i < 4; ++i)
    cluster.nodes[i]->mesh->broadcast(view("hello from " + std::to_string(i)));
  CHECK(cluster.run_until([&] {
    return std::ranges::all_of(cluster.nodes, [](auto& node) { return node->inbox.size() == 3; });
  }));
  for (const auto& node : cluster.nodes)
    for (const auto& [from, message] : node->inbox)
      CHECK(message == "hello from " + std::to_string(from));
  CHECK_FALSE(cluster.nodes[0]->mesh->send(0, view("to myself")));
  CHECK_FALSE(cluster.nodes[0]->mesh->send(9, view("to nobody")));
}

TEST_CASE("a replica that restarts is connected again both ways") {
  Cluster cluster(4);
  const auto exchange = [&] {
    for (auto& node : cluster.nodes) node->inbox.clear();
    return cluster.run_until([&] {
      // Sent every turn, as the protocol retransmits: what was under way at the crash is lost.
      cluster.nodes[1]->mesh->send(2, view("to 2"));
      cluster.nodes[2]->mesh->send(1, view("to 1"));
      return !cluster.nodes[1]->inbox.empty() && !cluster.nodes[2]->inbox.empty();
    });
  };
  REQUIRE(exchange());
  cluster.nodes[2].reset();
  for (int i = 0; i < 50; ++i) cluster.nodes[1]->turn();
  cluster.start(2);
  CHECK(exchange());
}

TEST_CASE("a replica that the others have left out is refused, and led by one that lets it in") {
  Cluster cluster(4);
  const config::Config before = cluster.config;
  const std::vector<crypto::LinkKey> keys = cluster.keys;
  cluster.keys[2] = crypto::generate_link_key();
  cluster.config.replicas[2].link_key = cluster.keys[2].public_key;
  cluster.nodes[2].reset();
  for (const std::uint32_t i : {0U, 1U, 3U}) {
    cluster.nodes[i].reset();
    cluster.start(i);
  }
  cluster.config = before;
  cluster.keys = keys;
  cluster.start(2);
  PeerMesh& out = *cluster.nodes[2]->mesh;
  PeerMesh& host = *cluster.nodes[0]->mesh;
  CHECK(out.count(LinkState::refused) == 0);
  CHECK(cluster.run_until([&] { return out.count(LinkState::refused) == 3; }));
  CHECK_FALSE(host.send(62, view("nobody")));

  host.let_in({{62, before.replicas[2]}, {63, before.replicas[1]}});
  CHECK(host.link(62) == nullptr);  // it is not called, it calls
  const auto heard = [&](std::uint32_t number, const std::string& message) {
    return std::ranges::count(cluster.nodes[0]->inbox, std::pair(number, message)) > 0;
  };
  CHECK(cluster.run_until([&] {
    out.send(0, view("am I one"));
    cluster.nodes[1]->mesh->send(0, view("I am"));
    return heard(62, "am I one") && heard(1, "I am");
  }));
  // Whoever is a member is not known by another number.
  CHECK_FALSE(heard(63, "I am"));
  // It was heard, so it is hung up on, and may come again; members stay.
  CHECK(cluster.run_until([&] { return out.link(0)->counters().disconnects > 0; }));
  cluster.nodes[0]->inbox.clear();
  CHECK(cluster.run_until([&] {
    out.send(0, view("am I one"));
    return heard(62, "am I one");
  }));
  CHECK(cluster.nodes[1]->mesh->link(0)->counters().disconnects == 0);
  // However much it has to say.
  cluster.nodes[0]->inbox.clear();
  CHECK(cluster.run_until([&] {
    for (int i = 0; i < 100; ++i) out.send(0, view("and I"));
    return heard(62, "and I");
  }));
  cluster.run_until(
      [&] {
        for (int i = 0; i < 100; ++i) out.send(0, view("and I"));
        return false;
      },
      std::chrono::milliseconds(500));
  CHECK(std::ranges::count(cluster.nodes[0]->inbox,
                           std::pair(std::uint32_t{62}, std::string("and I"))) == 1);
  CHECK(cluster.run_until([&] {
    host.send(62, view("you were"));
    return !cluster.nodes[2]->inbox.empty();
  }));
  CHECK(cluster.nodes[2]->inbox.front() == std::pair<std::uint32_t, std::string>(0, "you were"));

  host.let_in({});
  CHECK_FALSE(host.send(62, view("no more")));
  CHECK(cluster.run_until([&] {
    out.send(0, view("am I one"));
    return out.count(LinkState::refused) == 3;
  }));
}

TEST_CASE("a link key of another replica is refused at start") {
  Cluster cluster(4);
  Node node;
  const auto wrong = PeerMesh::open(node.context, node.authenticator, cluster.config, 0,
                                    cluster.keys[1], "", node.poller.waker());
  REQUIRE_FALSE(wrong.has_value());
  CHECK(wrong.error().code == Errc::identity);
  const auto outside = PeerMesh::open(node.context, node.authenticator, cluster.config, 7,
                                      cluster.keys[1], "", node.poller.waker());
  REQUIRE_FALSE(outside.has_value());
  CHECK(outside.error().code == Errc::identity);
}
