// Four real replicas on loopback, as `bftadm dev` starts them, and the commands that talk to them.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <nlohmann/json.hpp>

#include "base/result.hpp"
#include "support/run.hpp"
#include "support/temp_dir.hpp"

using namespace bftmeta;
using nlohmann::json;
using test::read_text;
using test::RunResult;
using test::TempDir;
using test::write_text;

namespace {

RunResult run(const char* program, std::vector<std::string> args) {
  args.insert(args.begin(), std::string(BINDIR) + "/" + program);
  return test::run(args, "", std::chrono::seconds(60));
}

// The contract of every failure: this exit code, one line on stderr, nothing on stdout.
void check_refused(const RunResult& r, const std::string& program, ExitCode code,
                   const std::string& part) {
  CAPTURE(r.err);
  CHECK(r.exit_code == static_cast<int>(code));
  CHECK(r.out.empty());
  CHECK(r.err.starts_with(program + ": "));
  CHECK(std::count(r.err.begin(), r.err.end(), '\n') == 1);
  CHECK(r.err.find(part) != std::string::npos);
}

// A cluster in a directory of its own, stopped at the end whatever happened.
class Dev {
 public:
  ~Dev() { raw({"dev", "down"}); }

  RunResult raw(std::vector<std::string> args) const {
    args.insert(args.begin(), {"--dir", path("")});
    return run("bftadm", args);
  }
  json ok(std::vector<std::string> args) const {
    args.insert(args.begin(), {"-o", "json"});
    const RunResult r = raw(args);
    INFO(args[2], " ", r.err);
    REQUIRE(r.exit_code == 0);
    CHECK(r.err.empty());
    return json::parse(r.out);
  }
  void refused(std::vector<std::string> args, ExitCode code, const std::string& part) const {
    check_refused(raw(args), "bftadm", code, part);
  }
  std::string path(const std::string& name) const {
    return dir_ / ("cluster" + (name.empty() ? "" : "/" + name));
  }
  std::string scratch(const std::string& name) const { return dir_ / name; }

  // Of the primary, or of a backup.
  pid_t pid_of(bool primary) const {
    const json status = ok({"status"});
    for (const json& r : status["replicas"])
      if (r["primary"] == primary && r["pid"] != 0) return r["pid"];
    return 0;
  }
  // A load during which that replica is killed, once operations are known to flow.
  json bench_while_killing(bool primary) const {
    const pid_t victim = pid_of(primary);
    REQUIRE(victim > 0);
    const std::uint64_t before = certified();
    auto bench = std::async(std::launch::async, [this] {
      return ok({"bench", "--op", "create", "--seconds", "3", "--clients", "2"});
    });
    while (certified() < before + 100 &&
           bench.wait_for(std::chrono::milliseconds(1)) != std::future_status::ready) {
    }
    CHECK(bench.wait_for(std::chrono::seconds(0)) != std::future_status::ready);
    REQUIRE(::kill(victim, SIGKILL) == 0);
    return bench.get();
  }

 private:
  std::uint64_t certified() const { return ok({"get-root"})["seq"]; }

  TempDir dir_;
};

}  // namespace

TEST_CASE("dev up, status, clients and proofs") {
  const Dev dev;
  const json up = dev.ok({"dev", "up"});
  CHECK(up["health"] == "HEALTH_OK");
  CHECK(up["started"] == 4);
  for (const char* file :
       {"genesis.toml", "client.toml", "replica-0/replica.toml", "replica-3/pid"})
    CHECK(std::filesystem::exists(dev.path(file)));

  SUBCASE("again it changes nothing") {
    const json again = dev.ok({"dev", "up"});
    CHECK(again["started"] == 0);
    CHECK(again["already_running"] == 4);
    CHECK(again["genesis_digest"] == up["genesis_digest"]);
    dev.refused({"dev", "up", "--replicas", "7"}, ExitCode::usage, "has 4 replicas, not 7");
  }

  SUBCASE("status: one primary, pids that run, one way to say that a replica is gone") {
    const json s = dev.ok({"status", "--exit-code"});
    CHECK(s["replicas"].size() == 4);
    CHECK(std::ranges::count_if(s["replicas"], [](const json& r) { return r["primary"]; }) == 1);
    for (const json& r : s["replicas"]) CHECK(::kill(r["pid"].get<pid_t>(), 0) == 0);
    const pid_t backup = dev.pid_of(false);
    REQUIRE(backup > 0);
    REQUIRE(::kill(backup, SIGKILL) == 0);
    const RunResult degraded = dev.raw({"-o", "json", "status", "--exit-code"});
    CHECK(degraded.exit_code == static_cast<int>(ExitCode::degraded));
    CHECK(json::parse(degraded.out)["health"] == "HEALTH_WARN");
    CHECK(dev.ok({"dev", "up"})["started"] == 1);
    dev.ok({"dev", "down"});
    dev.refused({"status"}, ExitCode::unreachable, "no replica answers");
  }

  SUBCASE("client add, list, remove") {
    const std::string keys = dev.scratch("guest");
    dev.ok({"keygen", "client", "--out", keys, "--name", "guest", "--uid", "1000"});
    write_text(dev.scratch("guest.toml"),
               "genesis = \"cluster/genesis.toml\"\n"
               "sign_key = \"guest/sign.key\"\n"
               "link_key = \"guest/link.key\"\n");
    const std::vector<std::string> as_guest = {"--config", dev.scratch("guest.toml"), "stat", "/"};
    dev.refused({"--config", dev.scratch("guest.toml"), "status", "--timeout-ms", "500"},
                ExitCode::unreachable, "registered");
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

  SUBCASE("stat, proofs and their verification without the cluster") {
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
    const Dev other;
    std::vector<std::string> assemble = {"genesis", "--out", other.scratch("other.toml")};
    for (const char* owner : {"replica-0", "replica-1", "replica-2", "replica-3", "admin"})
      assemble.push_back(dev.path(std::string(owner) + "/card.toml"));
    dev.ok(assemble);
    dev.refused({"verify", proof, "--genesis", other.scratch("other.toml")},
                ExitCode::verification_failed, "proof");
  }
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

  CHECK(dev.bench_while_killing(false)["errors"] == 0);
  CHECK(dev.ok({"dev", "up"})["started"] == 1);
  CHECK(dev.bench_while_killing(true)["errors"] == 0);
  CHECK(dev.ok({"dev", "up"})["started"] == 1);

  const json before = dev.ok({"stat", "/kept/d0"});
  CHECK(dev.ok({"dev", "down"})["killed"] == false);
  dev.ok({"dev", "up"});
  const json after = dev.ok({"stat", "/kept/d0"});
  CHECK(after["size"] == before["size"]);
  CHECK(after["ino"] == before["ino"]);
}

TEST_CASE("what keeps a replica from starting is one line") {
  const Dev dev;
  dev.ok({"dev", "up"});
  dev.ok({"dev", "down"});
  const std::string replica = dev.path("replica-1");
  const auto start = [&] { return run("bftmetad", {"--config", replica + "/replica.toml"}); };

  SUBCASE("missing key") {
    std::filesystem::rename(replica + "/vote.key", replica + "/moved.key");
    check_refused(start(), "bftmetad", ExitCode::failed, "vote.key");
    dev.refused({"dev", "up"}, ExitCode::failed, "replica 1 did not start");
  }
  SUBCASE("key that others can read") {
    std::filesystem::permissions(replica + "/vote.key", std::filesystem::perms(0644));
    check_refused(start(), "bftmetad", ExitCode::permission, "vote.key");
  }
  SUBCASE("data directory of another replica") {
    std::filesystem::rename(replica + "/data", replica + "/own");
    std::filesystem::copy(dev.path("replica-2/data"), replica + "/data",
                          std::filesystem::copy_options::recursive);
    check_refused(start(), "bftmetad", ExitCode::failed, "replica-1/data");
  }
  SUBCASE("genesis of another cluster") {
    std::vector<std::string> assemble = {"genesis", "--out", dev.scratch("other.toml")};
    for (const char* owner : {"replica-0", "replica-1", "replica-2", "replica-3", "admin"})
      assemble.push_back(dev.path(std::string(owner) + "/card.toml"));
    dev.ok(assemble);
    std::filesystem::rename(dev.scratch("other.toml"), dev.path("genesis.toml"));
    check_refused(start(), "bftmetad", ExitCode::failed, "cluster");
  }
  SUBCASE("truncated configuration, unknown option") {
    const std::string toml = read_text(replica + "/replica.toml");
    write_text(replica + "/replica.toml", toml.substr(0, toml.find("genesis") + 12));
    check_refused(start(), "bftmetad", ExitCode::usage, "replica.toml:");
    check_refused(run("bftmetad", {"--nonsense"}), "bftmetad", ExitCode::usage, "--");
  }
  SUBCASE("port in use") {
    const std::string toml = read_text(dev.path("genesis.toml"));
    const std::string key = "port = ";
    const int port = std::stoi(toml.substr(toml.find(key) + key.size()));
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port + 5));  // clients of replica 1
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd, 1) == 0);
    check_refused(start(), "bftmetad", ExitCode::failed, std::to_string(port + 5));
    dev.refused({"dev", "up"}, ExitCode::failed, "replica 1 did not start");
    ::close(fd);
  }
  SUBCASE("full disk") {
    const std::string image = dev.scratch("image");
    write_text(image, "");
    std::filesystem::resize_file(image, 6 << 20);
    REQUIRE(test::run({"/sbin/mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", image})
                .exit_code == 0);
    std::filesystem::rename(replica + "/data", replica + "/kept");
    std::filesystem::create_directory(replica + "/data");
    if (test::run({"/bin/mount", "-o", "loop", image, replica + "/data"}).exit_code != 0) {
      MESSAGE("not tested: no loop mounts here");
      return;
    }
    std::filesystem::permissions(replica + "/data", std::filesystem::perms(0700));
    std::filesystem::copy_file(replica + "/kept/identity", replica + "/data/identity");
    ::chmod((replica + "/data/identity").c_str(), 0600);
    const RunResult r = start();
    CHECK(::umount(std::string(replica + "/data").c_str()) == 0);
    check_refused(r, "bftmetad", ExitCode::failed, "replica-1/data");
  }
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
