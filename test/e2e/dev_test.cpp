// Four real replicas on loopback, as `bftadm dev` starts them, and the commands that talk to them.
#include <doctest/doctest.h>
#include <signal.h>

#include <filesystem>
#include <future>
#include <thread>

#include "dev.hpp"

using namespace bftmeta;
using namespace bftmeta::test;
using nlohmann::json;

namespace {

// Of the primary, or of a backup.
pid_t pid_of(const Dev& dev, bool primary) {
  const json status = dev.ok({"status"});
  for (const json& r : status["replicas"])
    if (r["primary"] == primary && r["pid"] != 0) return r["pid"];
  return 0;
}

std::uint64_t certified(const Dev& dev) { return dev.ok({"get-root"})["seq"]; }

// A load during which that replica is killed, once operations are known to flow.
json bench_while_killing(const Dev& dev, bool primary) {
  const pid_t victim = pid_of(dev, primary);
  REQUIRE(victim > 0);
  const std::uint64_t before = certified(dev);
  auto bench = std::async(std::launch::async, [&dev] {
    return dev.ok({"bench", "--op", "create", "--seconds", "3", "--clients", "2"});
  });
  while (certified(dev) < before + 100 &&
         bench.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
  }
  CHECK(bench.wait_for(std::chrono::seconds(0)) != std::future_status::ready);
  REQUIRE(::kill(victim, SIGKILL) == 0);
  return bench.get();
}

// ---- what one running cluster is asked, in this order

void up_again_changes_nothing(const Dev& dev, const json& up) {
  const json again = dev.ok({"dev", "up"});
  CHECK(again["started"] == 0);
  CHECK(again["already_running"] == 4);
  CHECK(again["genesis_digest"] == up["genesis_digest"]);
  dev.refused({"dev", "up", "--replicas", "7"}, ExitCode::usage, "has 4 replicas, not 7");
}

void clients_come_and_go(const Dev& dev) {
  const std::string keys = dev.scratch("guest");
  dev.ok({"keygen", "client", "--out", keys, "--name", "guest", "--uid", "1000"});
  write_text(dev.scratch("guest.toml"),
             "genesis = \"cluster/genesis.toml\"\n"
             "sign_key = \"guest/sign.key\"\n"
             "link_key = \"guest/link.key\"\n");
  const std::vector<std::string> as_guest = {"--config", dev.scratch("guest.toml"), "stat", "/"};
  dev.refused({"--config", dev.scratch("guest.toml"), "status", "--timeout-ms", "500"},
              ExitCode::permission, "refuse the link key");
  CHECK(dev.ok({"client", "add", keys + "/card.toml"})["registered"] == true);
  CHECK(dev.ok({"client", "list"})["clients"].size() == 2);
  CHECK(dev.ok(as_guest)["ino"] == 1);
  dev.ok({"keygen", "admin", "--out", dev.scratch("stranger"), "--name", "stranger"});
  dev.refused({"client", "remove", "guest", "--admin-key", dev.scratch("stranger/admin.key")},
              ExitCode::permission, "belongs to no admin");
  CHECK(dev.ok({"client", "remove", "guest"})["registered"] == false);
  CHECK(dev.ok({"client", "list"})["clients"].size() == 1);
  dev.refused({"client", "remove", "guest"}, ExitCode::failed, "no registered client");
}

void stores_are_scrubbed(const Dev& dev) {
  CHECK(dev.ok({"scrub", "start", "--rate", "67108864"})["started"] == 4);
  json status;
  const auto ended = [&status] {
    if (status.is_null()) return false;
    for (const json& r : status["replicas"])
      if (r["cycles"] == 0 || r["blocks_pass"] != "has read all") return false;
    return true;
  };
  for (int i = 0; i < 100 && !ended(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    status = dev.ok({"scrub", "status"});
  }
  CHECK(status["answered"] == 4);
  for (const json& r : status["replicas"]) {
    CHECK(r["cycles"] > 0);
    CHECK(r["damage_found"] == 0);
    CHECK(r["blocks_pass"] == "has read all");
    CHECK(r["blocks_missing"] == 0);
    CHECK(r["condition"] == "ok");
  }
  const json after = dev.ok({"status"});
  for (const json& r : after["replicas"]) CHECK(r["repaired"] == 0);
  dev.refused({"scrub", "start", "--rate", "1"}, ExitCode::usage, "--rate");
  dev.refused({"scrub", "start", "--replica", "4"}, ExitCode::usage, "epoch 0 has replicas 0..3");
  CHECK(dev.ok({"scrub", "start", "--replica", "2"})["started"] == 1);
}

void proofs_hold_without_the_cluster(const Dev& dev, const json& up) {
  CHECK(dev.ok({"get-root"})["genesis_digest"] == up["genesis_digest"]);
  CHECK(dev.ok({"stat", "/"})["type"] == "directory");
  dev.refused({"stat", "/nothing"}, ExitCode::failed, "/nothing");
  dev.refused({"stat", "relative"}, ExitCode::usage, "root of the namespace");
  const std::string proof = dev.scratch("proof");
  const json written = dev.ok({"stat", "/nothing", "--proof", proof});
  CHECK(written["exists"] == false);
  const std::string genesis = dev.path("genesis.toml");
  const json verified = dev.ok({"verify", proof, "--genesis", genesis});
  CHECK(verified["verified"] == true);
  CHECK(verified["seq"] == written["seq"]);
  std::string bytes = read_text(proof);
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  write_text(dev.scratch("forged"), bytes);
  dev.refused({"verify", dev.scratch("forged"), "--genesis", genesis},
              ExitCode::verification_failed, "forged");
  dev.assemble_other(dev.scratch("other.toml"));
  dev.refused({"verify", proof, "--genesis", dev.scratch("other.toml")},
              ExitCode::verification_failed, "proof");
}

// Last: it leaves no replica running.
void status_tells_what_is_gone(const Dev& dev) {
  const json s = dev.ok({"status", "--exit-code"});
  CHECK(s["replicas"].size() == 4);
  CHECK(std::ranges::count_if(s["replicas"], [](const json& r) { return r["primary"]; }) == 1);
  for (const json& r : s["replicas"]) CHECK(::kill(r["pid"].get<pid_t>(), 0) == 0);
  const pid_t backup = pid_of(dev, false);
  REQUIRE(backup > 0);
  REQUIRE(::kill(backup, SIGKILL) == 0);
  const RunResult degraded = dev.raw({"-o", "json", "status", "--exit-code"});
  CHECK(degraded.exit_code == static_cast<int>(ExitCode::degraded));
  CHECK(json::parse(degraded.out)["health"] == "HEALTH_WARN");
  CHECK(dev.ok({"dev", "up"})["started"] == 1);
  dev.ok({"dev", "down"});
  dev.refused({"status"}, ExitCode::unreachable, "no replica answers");
}

}  // namespace

TEST_CASE("dev up, status, clients and proofs") {
  const Dev dev;
  const json up = dev.ok({"dev", "up"});
  CHECK(up["health"] == "HEALTH_OK");
  CHECK(up["started"] == 4);
  for (const char* file :
       {"genesis.toml", "client.toml", "replica-0/replica.toml", "replica-3/pid"})
    CHECK(std::filesystem::exists(dev.path(file)));
  up_again_changes_nothing(dev, up);
  stores_are_scrubbed(dev);
  clients_come_and_go(dev);
  proofs_hold_without_the_cluster(dev, up);
  status_tells_what_is_gone(dev);
}

TEST_CASE("no operation fails when a backup, the primary, or all replicas in turn stop") {
  const Dev dev;
  dev.ok({"dev", "up"});
  const json quiet = dev.ok(
      {"bench", "--op", "mixed", "--seconds", "2", "--outstanding", "64", "--dir-name", "kept"});
  CHECK(quiet["errors"] == 0);
  CHECK(quiet["ops_per_s"] > 0);
  CHECK(quiet["p50_us"] > 0);
  CHECK(quiet["p99_us"] >= quiet["p50_us"]);

  CHECK(bench_while_killing(dev, false)["errors"] == 0);
  CHECK(dev.ok({"dev", "up"})["started"] == 1);
  CHECK(bench_while_killing(dev, true)["errors"] == 0);
  CHECK(dev.ok({"dev", "up"})["started"] == 1);

  const json before = dev.ok({"stat", "/kept/d0"});
  CHECK(dev.ok({"dev", "down"})["killed"] == false);
  dev.ok({"dev", "up"});
  const json after = dev.ok({"stat", "/kept/d0"});
  CHECK(after["size"] == before["size"]);
  CHECK(after["ino"] == before["ino"]);
}

TEST_CASE("wrong values of dev are refused before anything is made") {
  const Dev dev;
  for (const char* n : {"3", "5"})
    dev.refused({"dev", "up", "--replicas", n}, ExitCode::usage, "3f+1");
  dev.refused({"dev", "up", "--port", "65530"}, ExitCode::usage, "above 65535");
  write_text(dev.scratch("file"), "");
  dev.refused({"dev", "up", "--mount", dev.scratch("file")}, ExitCode::usage, "not a directory");
  dev.refused({"dev", "up", "--strategy", "silent"}, ExitCode::usage, "REPLICA:NAME");
  dev.refused({"dev", "down"}, ExitCode::failed, "no dev cluster");
  dev.refused({"status"}, ExitCode::failed, "client.toml");
  CHECK_FALSE(std::filesystem::exists(dev.path("")));
  std::filesystem::create_directory(dev.path(""));
  write_text(dev.path("something"), "");
  dev.refused({"dev", "up"}, ExitCode::failed, "is not empty");
}
