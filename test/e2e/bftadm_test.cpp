#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>

#include "config/identity.hpp"
#include "config/load.hpp"
#include "crypto/keys.hpp"
#include "messages/evidence.hpp"
#include "support/cluster.hpp"
#include "support/run.hpp"
#include "support/temp_dir.hpp"
#include "verify/epoch_chain.hpp"

using namespace bftmeta;
using test::read_text;
using test::RunResult;
using test::TempDir;
using test::write_text;

namespace {

RunResult bftadm(std::vector<std::string> args, const std::string& input = "") {
  args.insert(args.begin(), BFTADM);
  return test::run(args, input);
}

void must(const std::vector<std::string>& args) {
  const RunResult r = bftadm(args);
  INFO(r.err);
  REQUIRE(r.exit_code == 0);
  CHECK(r.err.empty());
}

// The contract of every failure: this exit code, one line on stderr, nothing on stdout.
void refused(const std::vector<std::string>& args, ExitCode code, const std::string& part,
             const std::string& input = "") {
  const RunResult r = bftadm(args, input);
  CAPTURE(r.err);
  CHECK(r.exit_code == static_cast<int>(code));
  CHECK(r.out.empty());
  CHECK(r.err.starts_with("bftadm: "));
  CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 1);
  CHECK(r.err.ends_with('\n'));
  CHECK(r.err.find(part) != std::string::npos);
}

void make_replica(const TempDir& dir, int i) {
  must({"keygen", "replica", "--out", dir / ("r" + std::to_string(i)), "--host", "127.0.0.1",
        "--port", std::to_string(7400 + 4 * i)});
}

// Cards of n replicas, one admin and one gateway client.
std::vector<std::string> make_cards(const TempDir& dir, int n) {
  std::vector<std::string> cards;
  for (int i = 0; i < n; ++i) {
    make_replica(dir, i);
    cards.push_back(dir / ("r" + std::to_string(i) + "/card.toml"));
  }
  must({"keygen", "admin", "--out", dir / "admin", "--name", "root"});
  must({"keygen", "client", "--out", dir / "client", "--name", "gw", "--gateway", "--uid-first",
        "0", "--uid-last", "4294967295", "--no-root-squash"});
  cards.push_back(dir / "admin/card.toml");
  cards.push_back(dir / "client/card.toml");
  return cards;
}

std::vector<std::string> genesis_command(std::vector<std::string> cards, const std::string& out) {
  cards.insert(cards.begin(), "genesis");
  cards.insert(cards.end(), {"--out", out});
  return cards;
}

std::string digest_in(const std::string& text) {
  const std::size_t at = text.find("digest");
  REQUIRE(at != std::string::npos);
  const std::size_t start = text.find_first_of("0123456789abcdef", at + 6);
  return text.substr(start, 64);
}

mode_t mode_of(const std::string& path) {
  struct stat st {};
  REQUIRE(::stat(path.c_str(), &st) == 0);
  return st.st_mode & 07777;
}

}  // namespace

TEST_CASE("bootstrap: keys on four hosts, one genesis, one digest everywhere") {
  const TempDir dir;
  const auto cards = make_cards(dir, 4);
  auto command = genesis_command(cards, dir / "genesis.toml");
  command.insert(command.end(), {"--canonical", dir / "genesis.bin", "--name", "home"});
  const RunResult made = bftadm(command);
  REQUIRE(made.exit_code == 0);
  const std::string digest = digest_in(made.out);

  const auto genesis = config::load_genesis(dir / "genesis.toml");
  REQUIRE(genesis.has_value());
  CHECK(to_hex(genesis->cluster_id()) == digest);
  CHECK(genesis->name == "home");
  CHECK(genesis->config.n() == 4);
  CHECK(genesis->clients.at(0).rules.gateway);
  CHECK_FALSE(genesis->clients.at(0).rules.root_squash);
  CHECK(read_text(dir / "genesis.bin") == std::string(text(encode(*genesis))));

  const RunResult shown = bftadm(
      {"genesis", "--show", dir / "genesis.toml", "-o", "json", "--canonical", dir / "again.bin"});
  CHECK(shown.exit_code == 0);
  CHECK(digest_in(shown.out) == digest);
  CHECK(shown.out.starts_with("{\n"));
  CHECK(read_text(dir / "again.bin") == read_text(dir / "genesis.bin"));

  REQUIRE(bftadm(genesis_command(cards, dir / "second.toml")).exit_code == 0);
  CHECK(digest_in(read_text(dir / "second.toml")) != digest);  // a nonce of its own
}

TEST_CASE("keygen replica: private files, and an identity that belongs to the key") {
  const TempDir dir;
  make_replica(dir, 0);
  const std::string r = dir / "r0/";
  for (const char* name : {"vote.key", "link.key", "data/identity"})
    CHECK(mode_of(r + name) == 0600);
  CHECK(mode_of(r) == 0700);
  CHECK(mode_of(r + "data") == 0700);
  auto none = crypto::PassphraseSource::descriptor(-2);
  const auto signer = crypto::load_sign_key(r + "vote.key", none);
  const auto link = crypto::load_link_key(r + "link.key", none);
  const auto identity = config::load_identity(r + "data/identity");
  const auto card = config::load_card(r + "card.toml");
  REQUIRE((signer && link && identity && card));
  CHECK(identity->vote_fingerprint == crypto::fingerprint((*signer)->public_key()));
  const auto& replica = std::get<config::ReplicaCard>(*card);
  CHECK(replica.vote_key == (*signer)->public_key());
  CHECK(replica.link_key == link->public_key);
}

TEST_CASE("keygen client: the rules of a single user") {
  const TempDir dir;
  must({"keygen", "client", "--out", dir / "c", "--name", "alice", "--uid", "1000", "--gid", "100",
        "--groups", "27,100", "--strict"});
  const auto card = config::load_card(dir / "c/card.toml");
  REQUIRE(card.has_value());
  CHECK(std::get<config::Client>(*card).rules ==
        config::ClientRules{false, true, true, 1000, 1000, 100, {27, 100}});
}

TEST_CASE("keygen with a passphrase from a descriptor") {
  const TempDir dir;
  const RunResult made =
      bftadm({"keygen", "admin", "--out", dir / "a", "--name", "root", "--passphrase-fd", "0"},
             "open sesame\n");
  REQUIRE(made.exit_code == 0);
  CHECK(read_text(dir / "a/admin.key").find("ENCRYPTED") != std::string::npos);
  refused({"keygen", "admin", "--out", dir / "b", "--name", "root", "--passphrase-fd", "0"},
          ExitCode::permission, "the passphrase is empty", "\n");
  refused({"keygen", "admin", "--out", dir / "b", "--name", "root", "--passphrase-fd", "99"},
          ExitCode::failed, "descriptor 99");
  CHECK_FALSE(std::filesystem::exists(dir / "b"));
}

TEST_CASE("3 or 5 replicas, no admin, the same card twice, overlapping ports") {
  const TempDir dir;
  const auto cards = make_cards(dir, 5);
  const std::string out = dir / "genesis.toml";
  const std::vector<std::string> rest(cards.begin() + 5, cards.end());
  const auto first = [&](int n) {
    std::vector<std::string> chosen(cards.begin(), cards.begin() + n);
    chosen.insert(chosen.end(), rest.begin(), rest.end());
    return chosen;
  };
  refused(genesis_command(first(3), out), ExitCode::usage, "3 replicas: the number must be n = 3f");
  refused(genesis_command(first(5), out), ExitCode::usage, "5 replicas: the number must be n = 3f");
  refused(genesis_command({cards.begin(), cards.begin() + 4}, out), ExitCode::usage, "no admin");
  auto twice = first(4);
  twice[1] = twice[0];
  refused(genesis_command(twice, out), ExitCode::usage, "a key is used twice");
  must({"keygen", "replica", "--out", dir / "near", "--host", "127.0.0.1", "--port", "7403"});
  auto near = first(4);
  near[3] = dir / "near/card.toml";
  refused(genesis_command(near, out), ExitCode::usage, "ports overlap");
  auto threshold = genesis_command(first(4), out);
  threshold.insert(threshold.end(), {"--admin-threshold", "2"});
  refused(threshold, ExitCode::usage, "admin threshold must lie in 1..1");
  CHECK_FALSE(std::filesystem::exists(out));
}

TEST_CASE("cards and genesis that are missing, cut, edited or no cards at all") {
  const TempDir dir;
  const auto cards = make_cards(dir, 4);
  const std::string out = dir / "genesis.toml";
  const auto with_first = [&](const std::string& card) {
    auto chosen = cards;
    chosen[0] = card;
    return genesis_command(chosen, out);
  };
  refused(with_first(dir / "absent.toml"), ExitCode::failed, "No such file");
  refused(with_first(dir.path()), ExitCode::failed, "not a regular file");
  refused(with_first(dir / "r0/vote.key"), ExitCode::usage, "vote.key:1: not valid TOML");
  const std::string card = read_text(cards[0]);
  write_text(dir / "cut.toml", card.substr(0, card.size() - 20));
  refused(with_first(dir / "cut.toml"), ExitCode::usage, "cut.toml:");
  write_text(dir / "more.toml", card + "colour = \"blue\"\n");
  refused(with_first(dir / "more.toml"), ExitCode::usage, "key 'colour': unknown; allowed: format");

  must(genesis_command(cards, out));
  refused(genesis_command(cards, out), ExitCode::failed, "never overwritten");
  const std::string genesis = read_text(out);
  write_text(dir / "half.toml", genesis.substr(0, genesis.size() / 2));
  refused({"genesis", "--show", dir / "half.toml"}, ExitCode::usage, "half.toml:");
  write_text(dir / "short.toml", genesis.substr(0, genesis.rfind("[[client]]")));
  refused({"genesis", "--show", dir / "short.toml"}, ExitCode::usage, "edited, cut short");
  refused({"genesis", "--show", dir / "absent.toml"}, ExitCode::failed, "No such file");
}

TEST_CASE("command line: unknown and missing things") {
  const TempDir dir;
  const std::string x = dir / "x";
  struct Case {
    std::vector<std::string> args;
    std::string part;
  };
  const Case cases[] = {
      {{}, "subcommand is required"},
      {{"frobnicate"}, "unknown command 'frobnicate'"},
      {{"--frobnicate"}, "bftadm --help"},
      {{"genesis", "--frobnicate"}, "--frobnicate"},
      {{"keygen", "replica", "--out", x, "--host", "h", "--port", "1", "extra"}, "extra"},
      {{"keygen"}, "subcommand is required"},
      {{"keygen", "replica", "--host", "h", "--port", "1"}, "--out is required"},
      {{"keygen", "replica", "--out", x, "--host", "h", "--port", "99999"}, "--port"},
      {{"keygen", "replica", "--out", x, "--host", "h", "--port", "65533"}, "1 to 65532"},
      {{"keygen", "replica", "--out", x, "--host", "h", "--port", "0"}, "1 to 65532"},
      {{"keygen", "replica", "--out", x, "--host", "h", "--port", "-1"}, "--port"},
      {{"keygen", "replica", "--out", x, "--host", "a b", "--port", "1"}, "--host 'a b'"},
      {{"keygen", "admin", "--out", x, "--name", "a/b"}, "--name 'a/b'"},
      {{"keygen", "admin", "--out", x, "--name", ""}, "--name ''"},
      {{"keygen", "client", "--out", x, "--name", "c", "--uid", "4294967296"}, "--uid"},
      {{"keygen", "client", "--out", x, "--name", "c", "--gateway", "--uid", "1"}, "--gateway"},
      {{"keygen", "client", "--out", x, "--name", "c", "--uid-first", "1", "--uid-last", "2"},
       "need --gateway"},
      {{"keygen", "client", "--out", x, "--name", "c", "--gateway", "--uid-first", "2",
        "--uid-last", "1"},
       "below --uid-first"},
      {{"genesis"}, "give either cards"},
      {{"genesis", "a.toml"}, "--out FILE is missing"},
      {{"genesis", "a.toml", "--show", "b.toml"}, "give either cards"},
      {{"genesis", "--show", "b.toml", "--out", "c"}, "makes no sense"},
      {{"genesis", "--show", "b.toml", "-o", "yaml"}, "yaml"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.part);
    refused(c.args, ExitCode::usage, c.part);
  }
  CHECK_FALSE(std::filesystem::exists(x));
}

TEST_CASE("keygen refuses before it writes, when any of its files exists") {
  const TempDir dir;
  for (const char* name : {"vote.key", "link.key", "data", "card.toml"}) {
    const std::string out = dir / (std::string("with-") + name);
    std::filesystem::create_directory(out);
    write_text(out + "/" + name, "precious");
    refused({"keygen", "replica", "--out", out, "--host", "h", "--port", "1"}, ExitCode::failed,
            "never overwritten");
    CHECK(read_text(out + "/" + name) == "precious");
    CHECK(std::distance(std::filesystem::directory_iterator(out), {}) == 1);
  }
  write_text(dir / "file", "x");
  refused({"keygen", "replica", "--out", dir / "file", "--host", "h", "--port", "1"},
          ExitCode::failed, "a file of that name exists");
  refused({"keygen", "replica", "--out", dir / "no/such", "--host", "h", "--port", "1"},
          ExitCode::failed, "cannot make directory");
}

TEST_CASE("--help and --version are answers, not errors") {
  for (const std::vector<std::string>& args : {std::vector<std::string>{"--help"},
                                               {"keygen", "--help"},
                                               {"keygen", "client", "-h"},
                                               {"genesis", "--help"},
                                               {"--version"}}) {
    const RunResult r = bftadm(args);
    CHECK(r.exit_code == 0);
    CHECK_FALSE(r.out.empty());
    CHECK(r.err.empty());
  }
}

TEST_CASE("evidence verify: the file alone convinces, or is refused with exit code 4") {
  TempDir dir;
  const std::string genesis_path = dir / "genesis.toml";
  must(genesis_command(make_cards(dir, 4), genesis_path));
  const auto genesis = config::load_genesis(genesis_path);
  REQUIRE(genesis.has_value());
  auto no_passphrase = crypto::PassphraseSource::terminal();
  const auto key = crypto::load_sign_key(dir / "r2/vote.key", no_passphrase);
  REQUIRE(key.has_value());
  const crypto::Context context{genesis->cluster_id(), genesis->config.epoch};
  const auto prepare = [&](std::uint8_t digest) {
    return messages::sign_prepare(**key, context, {0, 5, Hash{digest}}, 2);
  };
  const auto write = [&](const std::string& name, const messages::Evidence& evidence) {
    const Bytes bytes =
        messages::encode_evidence_file(context.cluster_id, {context.epoch, evidence});
    write_text(dir / name, std::string(bytes.begin(), bytes.end()));
    return dir / name;
  };
  const std::string good = write("good", {prepare(1), prepare(2)});
  const RunResult r = bftadm({"evidence", "verify", good, "--genesis", genesis_path, "-o", "json"});
  INFO(r.err);
  CHECK(r.exit_code == 0);
  CHECK(r.out.find("\"replica\": 2") != std::string::npos);
  CHECK(r.out.find("two-prepares") != std::string::npos);
  CHECK(r.out.find("\"kind\": \"PREPARE\"") != std::string::npos);
  CHECK(r.out.find(to_hex(Hash{1})) != std::string::npos);
  CHECK(r.out.find(to_hex(Hash{2})) != std::string::npos);
  CHECK(r.out.find(to_hex((*key)->public_key())) != std::string::npos);

  const auto verify = [&](const std::string& file, const std::string& part) {
    refused({"evidence", "verify", file, "--genesis", genesis_path}, ExitCode::verification_failed,
            part);
  };
  verify(write("same", {prepare(1), prepare(1)}), "say the same");
  messages::Prepare forged = prepare(2);
  forged.signature[3] ^= 1;
  verify(write("forged", {prepare(1), forged}), "does not hold");
  write_text(dir / "no-evidence", "something else");
  verify(dir / "no-evidence", "evidence file");
  refused({"evidence", "verify", dir / "missing", "--genesis", genesis_path}, ExitCode::failed,
          "missing");

  // The next epoch: the same members, one of them at another address.
  messages::EpochStep step{{}, genesis->config};
  step.next.epoch = 1;
  step.next.replicas[1].port += 400;
  step.cert.body.cluster_id = context.cluster_id;
  step.cert.body.config_hash = genesis->config.hash();
  step.cert.body.next_config_hash = step.next.hash();
  step.cert.body.seq = step.cert.body.epoch_end_seq = 1234;
  for (std::uint32_t member = 0; member < 3; ++member) {
    const auto vote_key =
        crypto::load_sign_key(dir / ("r" + std::to_string(member) + "/vote.key"), no_passphrase);
    REQUIRE(vote_key.has_value());
    step.cert.signers |= 1U << member;
    step.cert.signatures.push_back(
        messages::sign_share(**vote_key, step.cert.body, member).signature);
  }
  step.cert.next_signers = step.cert.signers;
  step.cert.next_signatures = step.cert.signatures;
  const auto write_bytes = [&](const std::string& name, const Bytes& bytes) {
    write_text(dir / name, std::string(bytes.begin(), bytes.end()));
    return dir / name;
  };
  const std::string chain =
      write_bytes("chain", verify::encode_chain_file(context.cluster_id, std::vector{step}));
  const crypto::Context later{context.cluster_id, 1};
  const auto prepare_later = [&](std::uint8_t digest) {
    return messages::sign_prepare(**key, later, {0, 1240, Hash{digest}}, 2);
  };
  const std::string of_later = write_bytes(
      "later",
      messages::encode_evidence_file(later.cluster_id, {1, {prepare_later(1), prepare_later(2)}}));
  verify(of_later, "of epoch 1");
  const RunResult led = bftadm(
      {"evidence", "verify", of_later, "--genesis", genesis_path, "--chain", chain, "-o", "json"});
  INFO(led.err);
  CHECK(led.exit_code == 0);
  CHECK(led.out.find("\"epoch\": 1") != std::string::npos);
  step.cert.signatures[1][5] ^= 1;
  const std::string broken =
      write_bytes("broken", verify::encode_chain_file(context.cluster_id, std::vector{step}));
  refused({"evidence", "verify", of_later, "--genesis", genesis_path, "--chain", broken},
          ExitCode::verification_failed, "does not hold");
}

TEST_CASE(
    "verify: a chain of epochs leads to the members of today, or is refused with exit code 4") {
  TempDir dir;
  const test::Cluster cluster(4);
  const test::Cluster seven(7);
  const Bytes canonical = encode(cluster.genesis);
  write_text(dir / "genesis", std::string(canonical.begin(), canonical.end()));
  // Replica 4 takes the place of 3.
  test::Cluster later(4);
  later.genesis.config.epoch = 1;
  later.genesis.config.replicas[3] = seven.config().replicas[4];
  later.genesis.config.replicas[3].id = 3;
  later.replicas[3] = test::test_signer("replica 4");
  messages::CertBody last;
  last.cluster_id = cluster.genesis.cluster_id();
  last.config_hash = cluster.config().hash();
  last.next_config_hash = later.config().hash();
  last.seq = last.epoch_end_seq = 1234;
  const auto write = [&](const std::string& name, std::uint32_t before, std::uint32_t after) {
    const messages::EpochStep step{cluster.certify_jointly(last, before, later, after),
                                   later.config()};
    const Bytes bytes = verify::encode_chain_file(last.cluster_id, std::vector{step});
    write_text(dir / name, std::string(bytes.begin(), bytes.end()));
    return dir / name;
  };
  const std::string good = write("good", 0b0111, 0b1011);
  const RunResult r = bftadm({"verify", good, "--genesis", dir / "genesis", "-o", "json"});
  INFO(r.err);
  INFO(r.out);
  CHECK(r.exit_code == 0);
  for (const std::string part :
       {"\"verified\": true", "\"epoch\": 1", "\"starts_behind_seq\": 1234", "\"last_seq\": 1234"})
    CHECK(r.out.find(part) != std::string::npos);
  CHECK(r.out.find(to_hex(later.config().hash())) != std::string::npos);
  CHECK(r.out.find(short_hex(crypto::fingerprint(later.replicas[3]->public_key()))) !=
        std::string::npos);

  const auto verify = [&](const std::string& file, const std::string& part) {
    refused({"verify", file, "--genesis", dir / "genesis"}, ExitCode::verification_failed, part);
  };
  verify(write("few-before", 0b0011, 0b1011), "exactly 3 signatures of members of epoch 0");
  verify(write("few-after", 0b0111, 0b1001), "exactly 3 signatures of members of epoch 1");
  const Bytes elsewhere = verify::encode_chain_file(Hash{9}, {});
  write_text(dir / "elsewhere", std::string(elsewhere.begin(), elsewhere.end()));
  verify(dir / "elsewhere", "chain of epochs: it is of cluster");
  write_text(dir / "cut", std::string(elsewhere.begin(), elsewhere.begin() + 20));
  verify(dir / "cut", "chain of epochs");
}
