#include <doctest/doctest.h>

#include "messages/transfer.hpp"
#include "world.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using namespace bftmeta::messages;

TEST_CASE("a subtree's name has one form") {
  SubtreeName name;
  CHECK(name.canonical());
  name.bits = 9;
  CHECK_FALSE(name.canonical());  // two bytes
  name.prefix = Key(Bytes{0x10, 0x80});
  CHECK(name.canonical());
  name.prefix = Key(Bytes{0x10, 0xc0});
  CHECK_FALSE(name.canonical());  // a bit behind the last
  name.prefix = Key(Bytes{0x10, 0x80, 0});
  CHECK_FALSE(name.canonical());
  name.prefix = Key(Bytes(Key::kMaxSize));
  name.bits = 8 * Key::kMaxSize;
  CHECK(name.canonical());
  name.bits = 0xffff;
  CHECK_FALSE(name.canonical());
}

TEST_CASE("a certified state is what its certificate covers, to the last field") {
  World world(1);
  world.grow(10, 0);
  const Cluster& c = world.cluster();
  const auto holds = [&](const CertifiedState& s) {
    return verify_certified_state(c.verifier, c.context.cluster_id, c.config(), s).has_value();
  };
  const CertifiedState good = world.newest().state;
  REQUIRE(holds(good));
  const auto broken = [&](auto change) {
    CertifiedState s = good;
    change(s);
    return !holds(s);
  };
  CHECK(broken([](auto& s) { s.cert.signatures[0][0] ^= 1; }));
  CHECK(broken([](auto& s) { s.header.batch_digest[0] ^= 1; }));
  CHECK(broken([](auto& s) { s.header.seq ^= 1; }));
  CHECK(broken([](auto& s) { s.header.time_us ^= 1; }));
  CHECK(broken([](auto& s) { s.header.reply_root[0] ^= 1; }));
  CHECK(broken([](auto& s) { s.header.reply_count ^= 1; }));
  CHECK(broken([](auto& s) { s.header.state_root[0] ^= 1; }));
  CHECK(broken([](auto& s) { s.history_before[0] ^= 1; }));
}
