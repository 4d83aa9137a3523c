// Who is answered what: admission by executed state, and replies as clients verify them. No
// sockets.
#include <doctest/doctest.h>

#include "replica/answers.hpp"
#include "verify/reply.hpp"
#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using consensus::Admission;
using messages::Seq;

namespace {

net::Route route(std::uint8_t slot) { return {PublicKey{7}, slot}; }

// A replica's machine that executes what a world executes.
struct Fixture {
  Seq run(const std::vector<Item>& items) {
    world.run(items);
    const auto executed = machine.execute(world.log().back());
    REQUIRE(executed.has_value());
    return machine.executed_seq();
  }
  Id16 open() {
    run({world.open_item(0, nonce++)});
    return result_of(machine.entry(machine.executed_seq())->executed).session_id;
  }
  Admission admit(const Item& item) const {
    const auto parsed = messages::parse_item(item);
    REQUIRE(parsed.has_value());
    return machine.admit(*parsed);
  }
  messages::RootCert certificate() const {
    return world.cluster.certify(machine.engine().body(), world.cluster.quorum_bitmap());
  }
  // The routes that were answered.
  std::vector<net::Route> certify() {
    std::vector<net::Route> answered;
    answers.certified(certificate(), [&](const net::Route& to, const messages::Reply& reply) {
      answered.push_back(to);
      replies.push_back(reply);
    });
    return answered;
  }
  // What a client makes of a reply to `item`.
  Result<verify::VerifiedReply> verified(const messages::Reply& reply, const Item& item) const {
    const auto parsed = messages::parse_item(item);
    verify::Expected expected;
    expected.request_digest = parsed->digest;
    if (const messages::Bundle* bundle = parsed->bundle()) {
      expected.session_id = bundle->session_id;
      expected.bundle_no = bundle->bundle_no;
    }
    verify::Certificates certificates(world.cluster.verifier,
                                      verify::TrustAnchor::of(world.cluster.genesis));
    return verify::verify_reply(reply, expected, certificates);
  }

  World world;
  replica::Machine machine{
      std::move(*Engine::from_genesis(world.cluster.genesis, world.cluster.verifier))};
  replica::Answers answers{machine};
  std::vector<messages::Reply> replies;
  std::uint64_t nonce = 1;
};

}  // namespace

TEST_CASE_FIXTURE(Fixture, "a session that was closed: its closing is answered again") {
  const Id16 s = open();
  const Item one = world.bundle(0, s, 1, {World::make("a")});
  const Item close = world.bundle(0, s, 2, {schema::CloseSession{}});
  run({one});
  CHECK(admit(close) == Admission::accept);
  run({close});
  REQUIRE_FALSE(machine.engine().session(s).has_value());
  CHECK(admit(close) == Admission::done);
  const auto place = answers.find(s, 2);
  REQUIRE(place.has_value());
  CHECK(answers.to_come(*place));
  CHECK_FALSE(answers.build(*place).has_value());
  certify();
  CHECK_FALSE(answers.to_come(*place));
  const auto reply = answers.build(*place);
  REQUIRE(reply.has_value());
  const auto outcome = verified(*reply, close);
  REQUIRE_MESSAGE(outcome.has_value(), outcome.error().message);
  CHECK(outcome->result.outcome == BundleOutcome::done);

  CHECK(admit(one) == Admission::done);
  CHECK(admit(world.bundle(0, s, 3, {World::make("b")})) == Admission::no_session);
  CHECK(admit(world.bundle(1, s, 2, {schema::CloseSession{}})) == Admission::no_session);
}

TEST_CASE_FIXTURE(Fixture, "a batch is awaited where somebody will be answered") {
  const Id16 s = open();
  const auto awaited = [this] {
    return answers.awaited(machine.entry(machine.executed_seq())->executed.results);
  };
  CHECK_FALSE(awaited());
  run({world.bundle(0, s, 1, {World::make("a")})});
  CHECK_FALSE(awaited());
  answers.subscribe(s, route(1));
  CHECK(awaited());
  const Item request = world.open_item(0, nonce++);
  answers.expect_open(messages::parse_item(request)->digest, route(1));
  run({request});
  CHECK(awaited());
}

TEST_CASE_FIXTURE(Fixture, "subscribers are answered once their batch is certified, and once") {
  const Id16 s = open();
  certify();
  answers.subscribe(s, route(1));
  answers.subscribe(s, route(1));
  const Item one = world.bundle(0, s, 1, {World::make("a")});
  run({one});
  CHECK(certify() == std::vector{route(1)});
  REQUIRE(verified(replies.back(), one).has_value());
  CHECK(certify().empty());

  // A certificate that comes before the own execution answers nobody until that has caught up.
  const Item two = world.bundle(0, s, 2, {World::make("b")});
  Fixture ahead;
  ahead.open();
  ahead.run({one});
  ahead.run({two});
  const auto early = ahead.certificate();
  std::size_t sent = 0;
  const auto count = [&](const net::Route&, const messages::Reply&) { ++sent; };
  answers.certified(early, count);
  CHECK(sent == 0);
  run({two});
  answers.certified(early, count);
  CHECK(sent == 1);
}

TEST_CASE_FIXTURE(Fixture, "a client that connects anew many times is still answered") {
  const Id16 s = open();
  const Item another = world.open_item(0, 99);
  const Hash digest = another.digest();
  constexpr std::uint8_t kConnections = 3 * replica::Answers::kMaxLinksPerSession;
  for (std::uint8_t slot = 0; slot < kConnections; ++slot) {
    answers.subscribe(s, route(slot));
    answers.expect_open(digest, route(slot));
  }
  run({world.bundle(0, s, 1, {World::make("a")})});
  auto answered = certify();
  CHECK(answered.size() == replica::Answers::kMaxLinksPerSession);
  CHECK(std::ranges::find(answered, route(kConnections - 1)) != answered.end());
  run({another});
  answered = certify();
  CHECK(answered.size() == replica::Answers::kMaxLinksPerSession);
  CHECK(std::ranges::find(answered, route(kConnections - 1)) != answered.end());
}
