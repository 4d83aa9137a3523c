// What goes wrong by configuration, by hand or by a full disk: one clear line, the right code, and
// nobody else suffers.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <cerrno>

#include <algorithm>
#include <sstream>

#include "admin/keyring.hpp"
#include "config/load.hpp"
#include "support/create_load.hpp"
#include "support/free_ports.hpp"
#include "support/process_cluster.hpp"
#include "support/run.hpp"

using namespace bftmeta;
using namespace std::chrono_literals;
using test::ProcessCluster;

namespace {

// wait_ready fails with this code and one line that holds `part`.
void check_not_ready(client::Options options, Errc code, const std::string& part) {
  auto client = client::Client::connect(std::move(options));
  REQUIRE(client.has_value());
  const Status ready = (*client)->wait_ready(1500ms);
  REQUIRE_FALSE(ready.has_value());
  CAPTURE(ready.error().message);
  CHECK(ready.error().code == code);
  CHECK(ready.error().message.find(part) != std::string::npos);
  CHECK(ready.error().message.find('\n') == std::string::npos);
}

// The lines that say why a program ended.
std::vector<std::string> last_words(const std::string& errors) {
  std::vector<std::string> lines;
  std::istringstream in(errors);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("bftmetad: ")) lines.push_back(line);
  return lines;
}

// bftmetad does not start: this exit code, exactly one line on standard error, none on the other.
void check_does_not_start(ProcessCluster& cluster, std::uint32_t replica, ExitCode code,
                          const std::string& part) {
  std::filesystem::remove(cluster.replica_dir(replica) + "/stderr");
  test::Child& child = cluster.launch(replica);
  const auto exit_code = child.wait_exit(10s);
  const std::string errors = cluster.errors(replica);
  INFO(errors);
  CHECK(exit_code == static_cast<int>(code));
  CHECK(child.output().empty());
  CHECK(std::count(errors.begin(), errors.end(), '\n') == 1);
  CHECK(errors.starts_with("bftmetad: "));
  CHECK(errors.find(part) != std::string::npos);
  cluster.kill(replica);
}

void rewrite(const ProcessCluster& cluster, std::uint32_t replica,
             const config::ReplicaSettings& settings) {
  std::filesystem::remove(cluster.replica_toml(replica));
  REQUIRE(config::write_replica(cluster.replica_toml(replica), settings).has_value());
}

// A small file system of its own in a file, if this machine lets us have one.
class LoopMount {
 public:
  LoopMount(const test::TempDir& dir, const std::string& mib) : path_(dir / "disk") {
    const std::string image = dir / "disk.img";
    std::filesystem::create_directory(path_);
    for (const std::vector<std::string>& command :
         {std::vector<std::string>{"/usr/bin/truncate", "-s", mib + "M", image},
          {"/sbin/mkfs.ext4", "-q", image},
          {"/bin/mount", "-o", "loop", image, path_}}) {
      if (!std::filesystem::exists(command[0])) {
        why_not_ = command[0] + " does not exist";
        return;
      }
      const test::RunResult r = test::run(command);
      if (r.exit_code == 0) continue;
      why_not_ = command[0] + ": " + r.err;
      return;
    }
    mounted_ = true;
  }
  ~LoopMount() {
    if (mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  LoopMount(const LoopMount&) = delete;
  LoopMount& operator=(const LoopMount&) = delete;

  const std::string& path() const { return path_; }
  bool mounted() const { return mounted_; }
  const std::string& why_not() const { return why_not_; }

  // Somebody else takes the space, except `left` bytes.
  void fill_up_to(std::uint64_t left) const {
    struct statvfs fs {};
    REQUIRE(::statvfs(path_.c_str(), &fs) == 0);
    const std::uint64_t free = fs.f_bfree * fs.f_frsize;
    REQUIRE(free > left);
    const int fd = ::open((path_ + "/filler").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    REQUIRE(fd >= 0);
    // The replica takes space meanwhile; the file system being full early is as good.
    const int rc = ::posix_fallocate(fd, 0, static_cast<off_t>(free - left));
    CHECK((rc == 0 || rc == ENOSPC));
    ::close(fd);
  }

 private:
  const std::string path_;
  bool mounted_ = false;
  std::string why_not_;
};

}  // namespace

TEST_CASE("clients with the wrong keys, genesis or replica: one clear line, the right code") {
  ProcessCluster cluster(BFTMETAD);
  cluster.start_all();

  const std::string stranger = cluster.dir() / "stranger";
  REQUIRE(admin::make_client_keys(stranger, "stranger", test::gateway_rules(), {}).has_value());
  check_not_ready(test::client_options(cluster.genesis(), stranger), Errc::permission,
                  "refuse the link key of this client");

  const ProcessCluster other(BFTMETAD);  // its keys and genesis; it does not run
  check_not_ready(test::client_options(cluster.genesis(), other.client_dir(0)), Errc::permission,
                  "4 of 4 replicas refuse the link key of this client");

  // The genesis of another cluster, whose addresses lead here.
  auto misled = other.client_options();
  for (std::uint32_t r = 0; r < cluster.n(); ++r)
    misled.endpoints.push_back({r, "127.0.0.1", cluster.genesis().config.replicas[r].port});
  check_not_ready(misled, Errc::unreachable, "connected to 0 of 4 replicas");

  // The same members under another nonce: the links stand, but every message is of elsewhere.
  auto renamed = cluster.client_options();
  renamed.genesis.nonce[0] ^= 1;
  check_not_ready(renamed, Errc::unreachable, "is the genesis theirs?");

  // A link key that is registered, a sign key that is not.
  auto mixed = cluster.client_options();
  mixed.signer = test::client_options(cluster.genesis(), stranger).signer;
  check_not_ready(mixed, Errc::permission, "do not know the sign key of this client");
  auto client = client::Client::connect(mixed);
  REQUIRE(client.has_value());
  const auto refused = (*client)->execute(test::create_file("by a stranger"));
  REQUIRE_FALSE(refused.has_value());
  CAPTURE(refused.error().message);
  CHECK(refused.error().code == Errc::permission);
  CHECK(refused.error().message.find("do not know the sign key") != std::string::npos);

  const auto nothing_done = cluster.open(1)->read({test::stat_file("by a stranger")});
  REQUIRE(nothing_done.has_value());
  CHECK(nothing_done->answers.at(0).code == schema::Code::no_entry);
}

TEST_CASE("another cluster's replica at one address: the other three serve") {
  ProcessCluster cluster(BFTMETAD);
  ProcessCluster other(BFTMETAD);
  for (std::uint32_t r = 0; r < cluster.n(); ++r) cluster.launch(r);
  other.start(2);
  for (std::uint32_t r = 0; r < cluster.n(); ++r) cluster.wait_serving(r);
  auto options = cluster.client_options();
  options.endpoints.push_back({2, "127.0.0.1", other.genesis().config.replicas[2].port});
  const auto client = cluster.open(std::move(options));
  test::CreateLoad load(*client, "f", 8);
  CHECK(load.wait_acknowledged(50, 20s));
  load.stop();
  CHECK(load.failures().empty());
  CHECK(test::missing(*client, load.acknowledged()).empty());
  CHECK_FALSE(client->status(2, 300ms).has_value());
}

TEST_CASE("bftmetad refuses to start in one line: directory, port, key file, lost log") {
  ProcessCluster cluster(BFTMETAD);

  auto settings = cluster.settings(1);
  settings.data_dir = cluster.settings(2).data_dir;
  rewrite(cluster, 1, settings);
  check_does_not_start(cluster, 1, ExitCode::failed, "identity");
  settings = cluster.settings(1);
  settings.vote_key = cluster.settings(2).vote_key;
  rewrite(cluster, 1, settings);
  check_does_not_start(cluster, 1, ExitCode::failed, "gives replica 1 another key");
  rewrite(cluster, 1, cluster.settings(1));

  const std::string key = cluster.settings(1).vote_key;
  REQUIRE(::chmod(key.c_str(), 0644) == 0);
  check_does_not_start(cluster, 1, ExitCode::permission, key);
  REQUIRE(::chmod(key.c_str(), 0600) == 0);

  for (std::uint16_t offset = 0; offset < 3; ++offset) {
    CAPTURE(offset);
    const auto port =
        static_cast<std::uint16_t>(cluster.genesis().config.replicas[1].port + offset);
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(::listen(fd, 1) == 0);
    check_does_not_start(cluster, 1, ExitCode::failed, std::to_string(port));
    ::close(fd);
  }

  cluster.start(1);
  // A second one beside it.
  const test::RunResult second =
      test::run({BFTMETAD, "--config", cluster.replica_toml(1)}, "", 10s);
  CHECK(second.exit_code == static_cast<int>(ExitCode::failed));
  CHECK(last_words(second.err).size() == 1);
  CHECK(second.err.find("in use by a running bftmetad") != std::string::npos);
  CHECK(cluster.stop(1) == 0);

  std::filesystem::remove_all(cluster.settings(1).data_dir + "/log");
  check_does_not_start(cluster, 1, ExitCode::failed, "missing although this key has been in use");
  std::filesystem::remove_all(cluster.settings(1).data_dir);
  check_does_not_start(cluster, 1, ExitCode::failed, "does not exist");
}

TEST_CASE("SIGTERM at any moment of the start ends it") {
  ProcessCluster cluster(BFTMETAD);
  for (int i = 0; i < 8; ++i) {
    CAPTURE(i);
    test::Child& child = cluster.launch(0);
    // A little later each time: before the handlers, during recovery, after it.
    child.wait_for_output("never printed", std::chrono::milliseconds(1 + 8 * i));
    child.signal(SIGTERM);
    const auto code = child.wait_exit(10s);
    REQUIRE(code.has_value());
    CHECK((*code == 0 || *code == 128 + SIGTERM));
  }
  cluster.start(0);
  CHECK(cluster.stop(0) == 0);
}

TEST_CASE("a full disk stops one replica's vote, not its reads; nothing acknowledged is lost") {
  ProcessCluster cluster(BFTMETAD);
  // What the filler gives back later is room for the segments that wait for a flush, for a spare
  // one, and for the store that is flushed: the log may take its part first.
  const LoopMount disk(cluster.dir(), "64");
  if (!disk.mounted()) {
    MESSAGE("skipped, no loop mount here: " << disk.why_not());
    return;
  }
  auto settings = cluster.settings(3);
  std::filesystem::copy_file(settings.data_dir + "/identity", disk.path() + "/identity");
  settings.data_dir = disk.path();
  rewrite(cluster, 3, settings);
  cluster.start_all();
  const auto client = cluster.open();
  test::CreateLoad load(*client, std::string(200, 'n'));
  REQUIRE(load.wait_acknowledged(100, 20s));
  disk.fill_up_to(64 << 10);
  const auto condition = [&](const std::string& part, std::chrono::seconds timeout) {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    std::string seen;
    while (std::chrono::steady_clock::now() < deadline) {
      const auto status = client->status(3, 500ms);
      if (status) seen = status->condition;
      if (seen.find(part) != std::string::npos) return std::string();
      std::this_thread::sleep_for(100ms);
    }
    return "replica 3 says: " + seen;
  };
  CHECK(condition("disk full, does not vote", 40s) == "");
  CHECK(load.wait_acknowledged(200, 20s));
  CHECK(test::certificate_of(cluster.client_options(1), 3, 5s).has_value());
  load.stop();
  for (const std::string& failure : load.failures()) FAIL_CHECK(failure);
  CHECK(test::missing(*client, load.acknowledged()).empty());

  // With space again the same process goes on.
  std::filesystem::remove(disk.path() + "/filler");
  CHECK(condition("ok", 60s) == "");  // the next flush is tried after its interval
  const auto goal = client->root();
  REQUIRE(goal.has_value());
  const auto deadline = std::chrono::steady_clock::now() + 20s;
  bool caught_up = false;
  while (!caught_up && std::chrono::steady_clock::now() < deadline) {
    const auto status = client->status(3, 500ms);
    caught_up = status && status->executed_seq >= goal->body.seq;
  }
  CHECK(caught_up);
  CHECK(cluster.stop(3) == 0);
}
