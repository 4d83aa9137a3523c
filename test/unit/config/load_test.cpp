#include "config/load.hpp"

#include <doctest/doctest.h>

#include "keys.hpp"
#include "support/temp_dir.hpp"

using namespace bftmeta;
using namespace bftmeta::config;
using test::read_text;
using test::TempDir;
using test::write_text;
using testing::key_of;

namespace {

Genesis sample_genesis() {
  Genesis g;
  g.name = "test";
  g.nonce.fill(3);
  g.time_us = 1'700'000'000'000'000;
  for (std::uint8_t i = 0; i < 4; ++i)
    g.config.replicas.push_back({i, key_of(i), key_of(static_cast<std::uint8_t>(100 + i)),
                                 "127.0.0.1", static_cast<std::uint16_t>(7000 + 4 * i)});
  g.config.admins.push_back({"root", key_of(50)});
  Client gateway{"gateway", key_of(60), key_of(61), {}};
  gateway.rules = {true, false, false, 0, 4294967295U, 0, {}};
  Client user{"alice@host", key_of(62), key_of(63), {}};
  user.rules = {false, true, true, 1000, 1000, 100, {27, 100}};
  g.clients = {gateway, user};
  return g;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

std::size_t line_of(const std::string& text, const std::string& part) {
  const std::size_t at = text.find(part);
  REQUIRE(at != std::string::npos);
  return 1 + static_cast<std::size_t>(
                 std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
}

template <class T>
void check_refused(const Result<T>& result, const std::string& start, const std::string& part) {
  REQUIRE_FALSE(result.has_value());
  const std::string& message = result.error().message;
  CAPTURE(message);
  CHECK(result.error().code == Errc::config);
  CHECK(message.starts_with(start));
  CHECK(message.find(part) != std::string::npos);
  CHECK(message.find('\n') == std::string::npos);
}

}  // namespace

TEST_CASE("genesis.toml: what is written loads to the same value and digest") {
  const TempDir dir;
  const Genesis g = sample_genesis();
  REQUIRE(write_genesis(dir / "genesis.toml", g).has_value());
  const auto loaded = load_genesis(dir / "genesis.toml");
  REQUIRE_MESSAGE(loaded.has_value(), (loaded ? "" : loaded.error().message));
  CHECK(*loaded == g);
  CHECK(loaded->cluster_id() == g.cluster_id());
  CHECK(write_genesis(dir / "genesis.toml", g).error().code == Errc::already_exists);
}

TEST_CASE(
    "genesis.toml: a cut file is refused wherever it is cut, in one line with file and line") {
  const TempDir dir;
  REQUIRE(write_genesis(dir / "whole", sample_genesis()).has_value());
  const std::string whole = read_text(dir / "whole");
  const std::string path = dir / "cut.toml";
  for (std::size_t size = 0; size + 1 < whole.size(); size += 7) {
    write_text(path, whole.substr(0, size));
    CAPTURE(size);
    check_refused(load_genesis(path), path + ":", "");
  }
}

TEST_CASE("genesis.toml: every change of content is noticed") {
  const TempDir dir;
  REQUIRE(write_genesis(dir / "whole", sample_genesis()).has_value());
  const std::string whole = read_text(dir / "whole");
  const std::string path = dir / "edited.toml";
  write_text(path, replaced(whole, "port = 7004", "port = 7104"));
  check_refused(load_genesis(path), path + ":" + std::to_string(line_of(whole, "digest = ")) + ": ",
                "edited, cut short or damaged");
  write_text(path, whole.substr(0, whole.rfind("[[client]]")));
  check_refused(load_genesis(path), path + ":", "edited, cut short or damaged");
  write_text(path, "# a comment is no content\n" + whole);
  CHECK(load_genesis(path).has_value());
}

TEST_CASE("genesis.toml: the number of replicas must be 3f + 1") {
  const TempDir dir;
  REQUIRE(write_genesis(dir / "whole", sample_genesis()).has_value());
  std::string text = read_text(dir / "whole");
  const std::size_t last = text.rfind("[[replica]]");
  text.erase(last, text.find("[[admin]]") - last);
  const std::string path = dir / "three.toml";
  write_text(path, text);
  check_refused(load_genesis(path), path + ": ", "3 replicas: the number must be n = 3f + 1");
}

TEST_CASE("genesis.toml: defects name key, line and what is allowed") {
  const TempDir dir;
  REQUIRE(write_genesis(dir / "whole", sample_genesis()).has_value());
  const std::string whole = read_text(dir / "whole");
  const std::string path = dir / "bad.toml";
  struct Case {
    std::string from, to, part;
  };
  const Case cases[] = {
      {"port = 7004", "port = 70000",
       "key 'port': wrong value 70000; allowed: an integer from 1 to 65532"},
      {"port = 7004", "port = -1", "key 'port': wrong value -1"},
      {"port = 7004", "port = \"7004\"", "key 'port': not an integer"},
      {"port = 7004", "prot = 7004", "key 'prot': unknown; allowed: id, host, port, vote_key"},
      {"id = 2", "id = 99", "key 'id': wrong value 99"},
      {"host = \"127.0.0.1\"", "host = \"\"", "key 'host': wrong value ''"},
      {"host = \"127.0.0.1\"", "host = \"a b\"", "a DNS name"},
      {"name = \"alice@host\"", "name = \"alice host\"", "key 'name': wrong value"},
      {"gateway = true", "gateway = 1", "key 'gateway': not a boolean; allowed: true or false"},
      {"groups = [27, 100]", "groups = [27, -1]", "key 'groups': wrong value in it"},
      {"groups = [27, 100]", "groups = 27", "key 'groups': not an array"},
      {"nonce = \"0303", "nonce = \"03", "exactly 32 hexadecimal digits"},
      {"nonce = \"0303", "nonce = \"zz03", "exactly 32 hexadecimal digits"},
      {"format = 1", "format = 2", "key 'format': wrong value 2"},
      {"time_us = 17", "time_us = -17", "key 'time_us': wrong value"},
      {"protocol_version = 1", "protocol_version = 9", "key 'protocol_version': wrong value 9"},
  };
  for (const Case& c : cases) {
    write_text(path, replaced(whole, c.from, c.to));
    CAPTURE(c.to);
    check_refused(load_genesis(path),
                  path + ":" + std::to_string(line_of(whole, c.from)) + ": key ", c.part);
  }
  write_text(path, replaced(whole, "uid_first = 1000\n", ""));
  check_refused(load_genesis(path), path + ":", "key 'uid_first': missing; allowed: an integer");
  write_text(path, "extra = 1\n" + whole);
  check_refused(load_genesis(path), path + ":1: key 'extra': unknown", "allowed: format, digest");
  write_text(path, replaced(whole, "[[admin]]", "[admin]"));
  check_refused(load_genesis(path), path + ":", "key 'admin': not a list of tables");
}

TEST_CASE("a small-order key is refused in a genesis") {
  const TempDir dir;
  Genesis g = sample_genesis();
  g.config.replicas[1].vote_key = PublicKey{};
  const auto written = write_genesis(dir / "genesis.toml", g);
  REQUIRE_FALSE(written.has_value());
  CHECK(written.error().message.find("not a valid Ed25519 key") != std::string::npos);
}

TEST_CASE("replica.toml: the commented sample loads, and says what the defaults are") {
  const std::string path = std::string(SAMPLES) + "/replica.toml";
  const auto loaded = load_replica(path);
  REQUIRE_MESSAGE(loaded.has_value(), (loaded ? "" : loaded.error().message));
  ReplicaSettings expected;
  expected.genesis = std::string(SAMPLES) + "/genesis.toml";
  expected.data_dir = std::string(SAMPLES) + "/data";
  expected.vote_key = std::string(SAMPLES) + "/vote.key";
  expected.link_key = std::string(SAMPLES) + "/link.key";
  expected.card = std::string(SAMPLES) + "/card.toml";
  expected.listen_host = "0.0.0.0";
  CHECK(*loaded == expected);
}

TEST_CASE("client.toml: the commented sample loads, and says what the defaults are") {
  const auto loaded = load_client(std::string(SAMPLES) + "/client.toml");
  REQUIRE_MESSAGE(loaded.has_value(), (loaded ? "" : loaded.error().message));
  ClientSettings expected;
  expected.genesis = std::string(SAMPLES) + "/genesis.toml";
  expected.sign_key = std::string(SAMPLES) + "/client/sign.key";
  expected.link_key = std::string(SAMPLES) + "/client/link.key";
  expected.admin_key = std::string(SAMPLES) + "/admin/admin.key";
  expected.state_file = std::string(SAMPLES) + "/client.state";
  expected.endpoints = {{0, "203.0.113.7", 7400}};
  CHECK(*loaded == expected);
}

TEST_CASE("genesis.toml and card.toml: the commented samples load") {
  const auto genesis = load_genesis(std::string(SAMPLES) + "/genesis.toml");
  REQUIRE_MESSAGE(genesis.has_value(), (genesis ? "" : genesis.error().message));
  const auto card = load_card(std::string(SAMPLES) + "/card.toml");
  REQUIRE_MESSAGE(card.has_value(), (card ? "" : card.error().message));
  CHECK(std::get<ReplicaCard>(*card).vote_key == genesis->config.replicas[0].vote_key);
}

TEST_CASE("settings: what is written loads to the same value") {
  const TempDir dir;
  ReplicaSettings r;
  r.id = 3;
  r.genesis = "/etc/bft/a \"quoted\" \\ name\t.toml";
  r.data_dir = "/data";
  r.vote_key = "/k/vote.key";
  r.link_key = "/k/link.key";
  r.listen_host = "::1";
  r.log_level = LogLevel::error;
  r.log_segment_bytes = kDevLogSegmentBytes;
  r.lmdb_map_bytes = kDevLmdbMapBytes;
  r.flush_batches = 7;
  r.state_fetch_rate = 3ULL << 20;
  r.block_fetch_rate = 1ULL << 20;
  r.block_check_interval_s = 0;
  r.scrub_bytes_per_s = 5000;
  REQUIRE(write_replica(dir / "replica.toml", r).has_value());
  const auto replica = load_replica(dir / "replica.toml");
  REQUIRE_MESSAGE(replica.has_value(), (replica ? "" : replica.error().message));
  CHECK(*replica == r);

  ClientSettings c;
  c.genesis = "/g";
  c.sign_key = "/s";
  c.link_key = "/l";
  c.state_file = "/state";
  c.endpoints = {{1, "h", 1}, {2, "::1", 65532}};
  c.read_mode = ReadMode::linearizable;
  c.log_level = LogLevel::trace;
  REQUIRE(write_client(dir / "client.toml", c).has_value());
  const auto client = load_client(dir / "client.toml");
  REQUIRE_MESSAGE(client.has_value(), (client ? "" : client.error().message));
  CHECK(*client == c);
}

TEST_CASE("settings: wrong values") {
  const TempDir dir;
  const std::string path = dir / "replica.toml";
  const std::string whole = read_text(std::string(SAMPLES) + "/replica.toml");
  const auto refused = [&](const std::string& from, const std::string& to,
                           const std::string& part) {
    write_text(path, replaced(whole, from, to));
    CAPTURE(to);
    check_refused(load_replica(path), path + ":" + std::to_string(line_of(whole, from)) + ": ",
                  part);
  };
  refused("log_level = \"info\"", "log_level = \"loud\"", "\"trace\", \"debug\", \"info\"");
  refused("log_segment_bytes = 67108864", "log_segment_bytes = 67108865", "a multiple of 4096");
  refused("log_segment_bytes = 67108864", "log_segment_bytes = 4096", "an integer from 4194304");
  refused("data_dir = \"data\"", "data_dir = \"\"", "key 'data_dir': wrong value ''");
  refused("flush_batches = 4096", "flush_batches = 0", "key 'flush_batches'");
  refused("state_fetch_rate = 33554432", "state_fetch_rate = 1000", "an integer from 65536");
  refused("block_fetch_rate = 33554432", "block_fetch_rate = 0", "an integer from 65536");
  refused("block_check_interval_s = 86400", "block_check_interval_s = -1",
          "key 'block_check_interval_s'");
  refused("id = 0 ", "id = 0.5 ", "key 'id': not an integer");
  refused("listen_host", "listen-host", "key 'listen-host': unknown");

  const std::string client = read_text(std::string(SAMPLES) + "/client.toml");
  write_text(path, client + "[[endpoint]]\nreplica = 0\nhost = \"h\"\nport = 1\n");
  check_refused(load_client(path), path + ":", "key 'replica': given twice");
  write_text(path, replaced(client, "read_mode = \"verified\"", "read_mode = \"fast\""));
  check_refused(load_client(path), path + ":", "\"verified\", \"linearizable\"");
}

TEST_CASE("files that are no TOML, absent, or far too long") {
  const TempDir dir;
  const std::string path = dir / "x.toml";
  CHECK(load_replica(path).error().code == Errc::not_found);
  CHECK(load_client(dir.path()).error().code == Errc::io);
  for (const char* text : {"id = ", "id = \"abc", "[[", "id = 1\nid = 2\n", "\xff\xfe", "= 3",
                           "a.b = 1\na = 2\n", "id = 99999999999999999999"}) {
    write_text(path, text);
    CAPTURE(text);
    check_refused(load_replica(path), path + ":", "");
  }
  write_text(path, std::string(100'000, '#'));
  CHECK(load_replica(path).error().code == Errc::limit);
}

TEST_CASE("cards: what is written loads to the same value, for each kind") {
  const TempDir dir;
  const Genesis g = sample_genesis();
  const Card cards[] = {ReplicaCard{key_of(1), key_of(2), "replica.example", 7000},
                        g.config.admins[0], g.clients[1]};
  for (const Card& card : cards) {
    const std::string path = dir / std::to_string(card.index());
    REQUIRE(write_card(path, card).has_value());
    const auto loaded = load_card(path);
    REQUIRE_MESSAGE(loaded.has_value(), (loaded ? "" : loaded.error().message));
    CHECK(*loaded == card);
  }
  const std::string path = dir / "bad.toml";
  write_text(path, replaced(read_text(dir / "0"), "\"replica\"", "\"server\""));
  check_refused(load_card(path), path + ":", "key 'kind': wrong value 'server'");
  write_text(path, replaced(read_text(dir / "0"), "\"replica\"", "\"admin\""));
  check_refused(load_card(path), path + ":", "unknown; allowed: format, kind, name, key");
}
