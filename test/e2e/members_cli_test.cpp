// Members come and go as an admin makes them: bftadm over real processes (protocol §9.2).
#include <thread>

#include "admin/keyring.hpp"
#include "config/load.hpp"
#include "crypto/keys.hpp"
#include "dev.hpp"
#include "support/process_cluster.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;
using nlohmann::json;

namespace {

struct Admin {
  Admin() {
    config::ClientSettings s;
    s.genesis = cluster.dir() / "genesis.toml";
    s.sign_key = cluster.client_dir(0) + "/" + admin::kSignKeyFile;
    s.link_key = cluster.client_dir(0) + "/" + admin::kLinkKeyFile;
    s.admin_key = cluster.dir() / (std::string("admin/") + admin::kAdminKeyFile);
    s.state_file = cluster.dir() / "client.state";  // else who left may say what is newest
    REQUIRE(config::write_client(toml, s));
    cluster.start_all();
  }

  test::RunResult raw(std::vector<std::string> args) const {
    args.insert(args.begin(), {"--config", toml});
    return test::run_program("bftadm", args);
  }
  // What it prints there is in `out`, and the words of a command are none of the shell's.
  test::RunResult on_a_terminal(const std::vector<std::string>& args) const {
    std::string command = std::string(BINDIR) + "/bftadm --config " + toml;
    for (const std::string& arg : args) command += " " + arg;
    return test::run({"/usr/bin/script", "-qec", command, "/dev/null"}, "", 40s);
  }
  json ok(std::vector<std::string> args) const {
    args.insert(args.begin(), {"-o", "json"});
    const test::RunResult r = raw(args);
    REQUIRE_MESSAGE(r.exit_code == 0, r.err);
    CHECK(r.err.empty());
    return json::parse(r.out);
  }
  void refused(const std::vector<std::string>& args, ExitCode code,
               const std::vector<std::string>& parts) const {
    const test::RunResult r = raw(args);
    for (const std::string& part : parts) test::check_refused(r, "bftadm", code, part);
  }
  std::string card(std::uint32_t replica) const {
    return cluster.replica_dir(replica) + "/" + admin::kCardFile;
  }
  std::uint32_t learner() {
    const std::uint32_t id = cluster.add_replica();
    cluster.launch(id);
    REQUIRE_MESSAGE(cluster.child(id).wait_for_output("learns", 20s), cluster.errors(id));
    return id;
  }
  // Whether these replicas are the members, by position, and nobody else is.
  void check_members(const std::vector<std::uint32_t>& replicas) const {
    const json rows = ok({"replica", "list"})["members"];
    REQUIRE(rows.size() == replicas.size());
    for (std::size_t i = 0; i < replicas.size(); ++i) {
      CAPTURE(i);
      const config::Replica& r = cluster.card(replicas[i]);
      CHECK(rows[i]["id"] == i);
      CHECK(rows[i]["port"] == r.port);
      CHECK(rows[i]["vote_key_fingerprint"] == short_hex(crypto::fingerprint(r.vote_key)));
    }
  }

  test::ProcessCluster cluster{BFTMETAD, {.flush_interval_ms = 500}};
  const std::string toml = cluster.dir() / "client.toml";
};

}  // namespace

TEST_CASE("a change that can not be made, or not yet: the quorums, who is missing, what to do") {
  Admin a;
  const json before = a.ok({"replica", "list"});  // nothing was executed yet
  CHECK(before["epoch"] == 0);
  CHECK(before["quorum"] == "3 of 4");
  a.check_members({0, 1, 2, 3});
  const std::string card = a.card(a.cluster.add_replica());
  a.refused({"replica", "add", card}, ExitCode::usage,
            {"change from 4 replicas (quorum 3) to 5 replicas (quorum 3): ", "n = 3f + 1",
             "name three at once"});
  a.refused({"replica", "remove", "3"}, ExitCode::usage, {"to 3 replicas", "name three at once"});
  a.refused({"replica", "remove", "4"}, ExitCode::usage, {"epoch 0 has replicas 0..3"});
  a.refused({"replica", "replace", "4", card}, ExitCode::usage, {"epoch 0 has replicas 0..3"});

  // The new one was never started, and a member is down.
  a.cluster.kill(2);
  const std::string waits =
      "quorum 3 of 4 before, 3 of 4 after; joining replicas that are not ready: 1; others that are "
      "not: 2; needed are all that join, and 3 of 4; members of now that do not answer: 2";
  a.refused({"replica", "replace", "1", card, "--timeout", "5"}, ExitCode::unreachable,
            {"not in force after 5 s", waits, "bftadm replica list"});
  a.refused({"replica", "replace", "1", card}, ExitCode::failed,
            {"this one is under way already: " + waits, "bftadm replica cancel"});
  a.refused({"replica", "replace", "3", card}, ExitCode::failed,
            {"another one is under way: " + waits, "bftadm replica cancel"});
  const json pending = a.ok({"replica", "list"});
  CHECK(pending["pending_quorum"] == "3 of 4");
  REQUIRE(pending["members"].size() == 8);
  for (std::size_t i = 0; i < 4; ++i) {
    CAPTURE(i);
    const json& next = pending["members"][4 + i];
    CHECK(next["of"] == "next");
    CHECK(next["id"] == i);
    CHECK(next["ready"] == (i == 0 || i == 3 ? "ready" : "not ready"));
  }
  CHECK(a.ok({"replica", "cancel"})["taken_back"] == true);
  CHECK_FALSE(a.ok({"replica", "list"}).contains("pending_quorum"));
  a.check_members({0, 1, 2, 3});
  a.refused({"replica", "cancel"}, ExitCode::failed, {"none is under way"});

  // On a terminal it does not keep silent that long.
  const test::RunResult r = a.on_a_terminal({"replica", "replace", "1", card, "--timeout", "12"});
  CHECK(r.exit_code == static_cast<int>(ExitCode::unreachable));
  const std::size_t tells = r.out.find("bftadm: waits: " + waits);
  CHECK_MESSAGE(tells < r.out.find("not in force after 12 s"), r.out);
  CHECK(a.ok({"replica", "cancel"})["taken_back"] == true);
}

TEST_CASE("four become seven and four again: their numbers, the chain, the end of who leaves") {
  Admin a;
  const std::string genesis = a.cluster.dir() / "genesis.toml";
  std::vector<std::string> add{"replica", "add"};
  for (int i = 0; i < 3; ++i) add.push_back(a.card(a.learner()));
  const json more = a.ok(add);
  CHECK(more["in_force"] == true);
  CHECK(more["epoch"] == 1);
  CHECK(more["quorum_before"] == "3 of 4");
  CHECK(more["quorum_after"] == "5 of 7");
  a.check_members({0, 1, 2, 3, 4, 5, 6});

  // Who stays keeps its number where there still is one.
  const json fewer = a.ok({"replica", "remove", "0", "2", "5"});
  const auto left = std::chrono::steady_clock::now();
  CHECK(fewer["quorum_before"] == "5 of 7");
  CHECK(fewer["quorum_after"] == "3 of 4");
  a.check_members({6, 1, 4, 3});
  const std::string chain = a.cluster.dir() / "chain";
  const json root = a.ok({"get-root", "--chain", chain});
  CHECK(root["epoch"] == 2);

  for (const std::uint32_t gone : {0U, 2U, 5U}) {
    CAPTURE(gone);
    CHECK(a.cluster.child(gone).wait_exit(60s) == 0);
    CHECK(std::chrono::steady_clock::now() > left + 20s);  // until then it shows others the way
    CHECK(a.cluster.errors(gone).find("vote key has left the configuration by epoch 2 and never "
                                      "comes back: remove its keys and its data directory") !=
          std::string::npos);
  }
  a.check_members({6, 1, 4, 3});

  // Off line.
  for (const std::uint32_t stays : {1U, 3U, 4U, 6U}) a.cluster.kill(stays);
  const json verified = a.ok({"verify", chain, "--genesis", genesis});
  CHECK(verified["verified"] == true);
  CHECK(verified["epochs"].size() == 3);
  CHECK(verified["epochs"][1]["members"] == 7);
  CHECK(verified["epochs"][2]["members"] == 4);
  std::string bytes = test::read_text(chain);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  test::write_text(a.cluster.dir() / "forged", bytes);
  a.refused({"verify", a.cluster.dir() / "forged", "--genesis", genesis},
            ExitCode::verification_failed, {"forged: "});
}
