// What users get wrong, with each of the three programs: one clear line, the documented exit code,
// and nothing is left behind.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "dev.hpp"

using namespace bftmeta;
using namespace bftmeta::test;

namespace {

namespace fs = std::filesystem;

// Takes a file or directory away for a while; the test may put another one there.
class Instead {
 public:
  explicit Instead(std::string path) : path_(std::move(path)) { fs::rename(path_, kept()); }
  Instead(const std::string& path, const std::string& content) : Instead(path) {
    write_text(path_, content);
    REQUIRE(::chmod(path_.c_str(), 0600) == 0);
  }
  ~Instead() {
    fs::remove_all(path_);
    fs::rename(kept(), path_);
  }
  Instead(const Instead&) = delete;
  Instead& operator=(const Instead&) = delete;
  std::string kept() const { return path_ + ".kept"; }

 private:
  const std::string path_;
};

class ModeFor {
 public:
  ModeFor(std::string path, mode_t mode) : path_(std::move(path)) {
    REQUIRE(::chmod(path_.c_str(), mode) == 0);
  }
  ~ModeFor() { ::chmod(path_.c_str(), 0600); }
  ModeFor(const ModeFor&) = delete;
  ModeFor& operator=(const ModeFor&) = delete;

 private:
  const std::string path_;
};

// A text that was cut in the middle of a value.
std::string cut(const std::string& path, const std::string& key) {
  const std::string whole = read_text(path);
  const std::size_t at = whole.find(key + " = ");
  REQUIRE(at != std::string::npos);
  return whole.substr(0, at + key.size() + 5);
}

// The genesis with only so many of its replicas: somebody thought that fewer would do.
std::string with_replicas(const std::string& path, int n) {
  const std::string whole = read_text(path);
  std::vector<std::size_t> at;
  for (std::size_t p = whole.find("[[replica]]"); p != std::string::npos;
       p = whole.find("[[replica]]", p + 1))
    at.push_back(p);
  REQUIRE(at.size() == 4);
  const std::size_t last_end = whole.find("\n[", at[3] + 1) + 1;
  const std::string last = whole.substr(at[3], last_end - at[3]);
  std::string out = whole;
  if (n == 3) out.erase(at[3], last.size());
  if (n == 5) out.insert(last_end, last);
  return out;
}

// One of the programs that fails in the same way, whatever it is asked to do.
struct Program {
  std::string name;
  std::vector<std::string> args;
  void refused(ExitCode code, const std::string& part) const {
    CAPTURE(name);
    CAPTURE(part);
    check_refused(run_program(name, args), name, code, part);
  }
};

// bftmetad of replica 1, stopped.
struct Replica {
  explicit Replica(const Dev& d) : dev(d), dir(d.path("replica-1")) {}
  std::string file(const std::string& name) const { return dir + "/" + name; }
  void refused(ExitCode code, const std::string& part) const {
    Program{"bftmetad", {"--config", file("replica.toml")}}.refused(code, part);
  }

  const Dev& dev;
  const std::string dir;
};

void keys_of_a_replica(const Replica& replica) {
  for (const char* name : {"vote.key", "link.key"}) {
    const std::string key = replica.file(name);
    {
      const Instead none(key);
      replica.refused(ExitCode::failed, name);
      if (std::string(name) == "vote.key")
        replica.dev.refused({"dev", "up"}, ExitCode::failed, "replica 1 did not start");
    }
    {
      const Instead garbage(key, "-----BEGIN PRIVATE KEY-----\nnonsense\n");
      replica.refused(ExitCode::failed, name);
    }
    {
      const Instead directory(key);
      fs::create_directory(key);
      replica.refused(ExitCode::failed, name);
    }
    const ModeFor open_to_all(key, 0644);
    replica.refused(ExitCode::permission, name);
  }
  const Instead other(replica.file("vote.key"));
  fs::copy_file(replica.dev.path("replica-2/vote.key"), replica.file("vote.key"));
  replica.refused(ExitCode::failed, "gives replica 1 another key");
}

void data_of_a_replica(const Replica& replica) {
  const Instead own(replica.file("data"));
  replica.refused(ExitCode::failed, "data");
  fs::copy(replica.dev.path("replica-2/data"), replica.file("data"), fs::copy_options::recursive);
  replica.refused(ExitCode::failed, "replica-1/data");
}

void configuration_of_a_replica(const Replica& replica) {
  const std::string toml = replica.file("replica.toml");
  {
    const Instead cut_short(toml, cut(toml, "genesis"));
    replica.refused(ExitCode::usage, "replica.toml:");
  }
  {
    const Instead unknown(toml, read_text(toml) + "colour = \"blue\"\n");
    replica.refused(ExitCode::usage, "key 'colour': unknown");
  }
  {
    const Instead none(toml);
    replica.refused(ExitCode::failed, "replica.toml");
  }
  const std::string genesis = replica.dev.path("genesis.toml");
  for (const int n : {3, 5}) {
    const Instead edited(genesis, with_replicas(genesis, n));
    replica.refused(ExitCode::usage, "genesis.toml");
  }
  {
    const Instead cut_short(genesis, cut(genesis, "port"));
    replica.refused(ExitCode::usage, "genesis.toml:");
  }
  replica.dev.assemble_other(replica.dev.scratch("other.toml"));
  const Instead other(genesis, read_text(replica.dev.scratch("other.toml")));
  replica.refused(ExitCode::failed, "cluster");
}

void port_in_use(const Replica& replica) {
  const std::string toml = read_text(replica.dev.path("genesis.toml"));
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
  replica.refused(ExitCode::failed, std::to_string(port + 5));
  replica.dev.refused({"dev", "up"}, ExitCode::failed, "replica 1 did not start");
  ::close(fd);
}

}  // namespace

TEST_CASE("what keeps a replica from starting is one line") {
  const Dev dev;
  dev.ok({"dev", "up"});
  dev.ok({"dev", "down"});
  const Replica replica(dev);
  keys_of_a_replica(replica);
  data_of_a_replica(replica);
  configuration_of_a_replica(replica);
  port_in_use(replica);
  // Nothing of all this has changed anything: the four start and agree.
  CHECK(dev.ok({"dev", "up"})["health"] == "HEALTH_OK");
}

TEST_CASE("unknown options and missing arguments, every program") {
  const TempDir dir;
  for (const char* name : {"bftmetad", "bftfs", "bftadm"}) {
    Program{name, {}}.refused(ExitCode::usage, "--");
    Program{name, {"--nonsense"}}.refused(ExitCode::usage, "--");
  }
  Program{"bftmetad", {"--config", dir / "a", "--colour"}}.refused(ExitCode::usage, "--colour");
  Program{"bftmetad", {"--config", dir / "a", "extra"}}.refused(ExitCode::usage, "extra");
  Program{"bftmetad", {"--config"}}.refused(ExitCode::usage, "--config");
  Program{"bftfs", {"-o", "colour=blue", dir / "a", dir.path()}}.refused(ExitCode::usage, "colour");
  Program{"bftfs", {"-o", "max_dirty=much", dir / "a", dir.path()}}.refused(ExitCode::usage,
                                                                            "max_dirty='much'");
  Program{"bftfs", {dir / "a"}}.refused(ExitCode::usage, "MOUNTPOINT");
  Program{"bftadm", {"status", "--colour"}}.refused(ExitCode::usage, "--colour");
}

namespace {

// Users of a running cluster: everything that reads a client.toml. What only a mount or only an
// operation finds out is asked of that one alone.
class Users {
 public:
  explicit Users(const Dev& dev) : dev_(dev), mountpoint_(dev.scratch("mnt")) {
    fs::create_directory(mountpoint_);
    write_toml("genesis.toml", "client");
  }
  const std::string& mountpoint() const { return mountpoint_; }
  std::string toml() const { return dev_.path("user.toml"); }
  void write_toml(const std::string& genesis, const std::string& keys) const {
    write_text(toml(), "genesis = \"" + genesis + "\"\nsign_key = \"" + keys +
                           "/sign.key\"\nlink_key = \"" + keys +
                           "/link.key\"\ntimeout_ms = 2000\n");
  }
  Program mount(const std::string& at) const { return {"bftfs", {"-o", "timeout=2", toml(), at}}; }
  Program mount() const { return mount(mountpoint_); }
  Program stat() const { return {"bftadm", {"--config", toml(), "stat", "/"}}; }
  Program status() const {
    return {"bftadm", {"--config", toml(), "status", "--timeout-ms", "1000"}};
  }
  void all_refused(ExitCode code, const std::string& part) const {
    for (const Program& program : {mount(), stat(), status()}) program.refused(code, part);
  }

 private:
  const Dev& dev_;
  const std::string mountpoint_;
};

void keys_of_a_client(const Dev& dev, const Users& users) {
  for (const char* name : {"sign.key", "link.key"}) {
    const std::string key = dev.path("client/") + name;
    {
      const Instead none(key);
      users.all_refused(ExitCode::failed, name);
    }
    {
      const Instead garbage(key, "nonsense");
      users.all_refused(ExitCode::failed, name);
    }
    const ModeFor open_to_all(key, 0644);
    users.all_refused(ExitCode::permission, name);
  }
}

void configuration_of_a_client(const Dev& dev, const Users& users) {
  {
    const Instead cut_short(users.toml(), cut(users.toml(), "sign_key"));
    users.all_refused(ExitCode::usage, "user.toml:");
  }
  {
    const Instead unknown(users.toml(), read_text(users.toml()) + "colour = \"blue\"\n");
    users.all_refused(ExitCode::usage, "key 'colour': unknown");
  }
  {
    const Instead none(users.toml());
    users.stat().refused(ExitCode::failed, "user.toml");
    users.mount().refused(ExitCode::usage, "user.toml");
  }
  const std::string genesis = dev.path("genesis.toml");
  const Instead cut_short(genesis, cut(genesis, "port"));
  users.all_refused(ExitCode::usage, "genesis.toml:");
}

void mount_points(const Dev& dev, const Users& users) {
  write_text(dev.scratch("file"), "");
  users.mount(dev.scratch("file")).refused(ExitCode::usage, "is not a directory");
  users.mount(dev.scratch("absent")).refused(ExitCode::usage, "make the directory first");
}

// The cluster is there; who asks is not its client, or means another one.
void strangers(const Dev& dev, const Users& users) {
  dev.ok({"keygen", "client", "--out", dev.path("stranger"), "--name", "stranger", "--uid", "1"});
  users.write_toml("genesis.toml", "stranger");
  users.all_refused(ExitCode::permission, "refuse the link key of this client");

  // A link key that is registered before a sign key that is not.
  write_text(users.toml(),
             "genesis = \"genesis.toml\"\nsign_key = \"stranger/sign.key\"\n"
             "link_key = \"client/link.key\"\ntimeout_ms = 2000\n");
  users.mount().refused(ExitCode::permission, "do not know the sign key of this client");

  dev.assemble_other(dev.path("other.toml"));
  users.write_toml("other.toml", "client");
  users.mount().refused(ExitCode::unreachable, "is the genesis theirs?");
  users.stat().refused(ExitCode::unreachable, "genesis");
  users.status().refused(ExitCode::unreachable, "no replica answers");
}

}  // namespace

TEST_CASE("what keeps a client from working is one line") {
  const Dev dev;
  dev.ok({"dev", "up"});
  const Users users(dev);
  keys_of_a_client(dev, users);
  configuration_of_a_client(dev, users);
  mount_points(dev, users);
  strangers(dev, users);
  CHECK(fs::is_empty(users.mountpoint()));
  users.write_toml("genesis.toml", "client");
  CHECK(run_program("bftadm", users.stat().args).exit_code == 0);
  dev.ok({"dev", "down"});
  users.mount().refused(ExitCode::unreachable, "are the replicas running");
  users.stat().refused(ExitCode::unreachable, "no replica gave a verified answer");
  users.status().refused(ExitCode::unreachable, "no replica answers");
}
