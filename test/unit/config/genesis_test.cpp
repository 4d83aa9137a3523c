#include "config/genesis.hpp"

#include <doctest/doctest.h>

#include <functional>

#include "keys.hpp"

using namespace bftmeta;
using namespace bftmeta::config;
using testing::key_of;

namespace {

Genesis with_replicas(std::uint32_t n) {
  Genesis g;
  g.name = "test";
  for (std::uint32_t i = 0; i < n; ++i)
    g.config.replicas.push_back({i, key_of(static_cast<std::uint8_t>(i)),
                                 key_of(static_cast<std::uint8_t>(100 + i)), "h",
                                 static_cast<std::uint16_t>(7000 + 4 * i)});
  g.config.admins.push_back({"root", key_of(50)});
  g.clients.push_back({"c", key_of(60), key_of(61), {}});
  return g;
}

}  // namespace

TEST_CASE("n = 3f + 1 and at least 4") {
  for (std::uint32_t n = 0; n <= 34; ++n) {
    CAPTURE(n);
    CHECK(validate(with_replicas(n)).has_value() == (n >= 4 && n <= 31 && n % 3 == 1));
  }
}

TEST_CASE("quorums") {
  const Config c = with_replicas(7).config;
  CHECK(c.f() == 2);
  CHECK(c.quorum() == 5);
  CHECK(c.weak_quorum() == 3);
  CHECK(c.primary(0) == 0);
  CHECK(c.primary(8) == 1);
}

TEST_CASE("every rule of a genesis refuses what breaks it") {
  REQUIRE(validate(with_replicas(4)).has_value());
  const std::function<void(Genesis&)> defects[] = {
      [](Genesis& g) { g.format = 2; },
      [](Genesis& g) { g.config.epoch = 1; },
      [](Genesis& g) { g.config.protocol_version = 2; },
      [](Genesis& g) { g.config.sm_version = 0; },
      [](Genesis& g) { std::swap(g.config.replicas[0], g.config.replicas[1]); },
      [](Genesis& g) { g.config.replicas[1].vote_key = g.config.replicas[0].vote_key; },
      [](Genesis& g) { g.config.replicas[1].link_key = g.config.replicas[0].link_key; },
      [](Genesis& g) { g.config.replicas[1].link_key = g.config.replicas[0].vote_key; },
      [](Genesis& g) { g.config.replicas[1].vote_key = {}; },
      [](Genesis& g) { g.config.replicas[1].host.clear(); },
      [](Genesis& g) { g.config.replicas[1].port = 0; },
      [](Genesis& g) { g.config.replicas[1].port = 65533; },
      [](Genesis& g) { g.config.replicas[1].port = 7003; },
      [](Genesis& g) { g.config.admins.clear(); },
      [](Genesis& g) { g.config.admin_threshold = 0; },
      [](Genesis& g) { g.config.admin_threshold = 2; },
      [](Genesis& g) { g.config.admins[0].key = {}; },
      [](Genesis& g) { g.config.admins[0].key = g.config.replicas[0].vote_key; },
      [](Genesis& g) { g.clients[0].sign_key = {}; },
      [](Genesis& g) { g.clients[0].link_key = g.clients[0].sign_key; },
      [](Genesis& g) { g.clients.push_back(g.clients[0]); },
      [](Genesis& g) { g.clients[0].rules.uid_first = 1; },
  };
  for (std::size_t i = 0; i < std::size(defects); ++i) {
    Genesis g = with_replicas(4);
    defects[i](g);
    CAPTURE(i);
    CHECK_FALSE(validate(g).has_value());
  }
}

TEST_CASE("canonical genesis: decodes to itself, refuses a cut, a tail and an invalid value") {
  const Genesis g = with_replicas(4);
  const Bytes canonical = encode(g);
  const auto decoded = decode_genesis(canonical);
  REQUIRE(decoded.has_value());
  CHECK(*decoded == g);
  CHECK(decoded->cluster_id() == g.cluster_id());
  for (std::size_t size = 0; size < canonical.size(); ++size)
    CHECK_FALSE(decode_genesis(ByteView(canonical).first(size)).has_value());
  Bytes longer = canonical;
  longer.push_back(0);
  CHECK_FALSE(decode_genesis(longer).has_value());
  CHECK_FALSE(decode_genesis(encode(with_replicas(5))).has_value());
}

TEST_CASE("the cluster id depends on every byte") {
  const Genesis g = with_replicas(4);
  Genesis other = g;
  other.nonce[15] = 1;
  CHECK(other.cluster_id() != g.cluster_id());
  other = g;
  other.clients[0].rules.gid = 1;
  CHECK(other.cluster_id() != g.cluster_id());
}
