#include "admin/dev_cluster.hpp"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>

#include "admin/keyring.hpp"
#include "config/load.hpp"
#include "crypto/files.hpp"

namespace bftmeta::admin {

namespace {

namespace fs = std::filesystem;

constexpr const char* kHost = "127.0.0.1";
constexpr std::uint32_t kDefaultReplicas = 4;
constexpr std::uint32_t kPortsPerReplica = 4;
constexpr std::uint16_t kFirstPort = 7400, kLastPort = 31999;  // below the ephemeral ports
constexpr std::uint64_t kLogRetainBytes = 32ULL << 20;
constexpr std::chrono::seconds kStartTimeout{30};  // recovery of a long log included
constexpr std::chrono::seconds kStopGrace{10};

std::string replica_name(std::uint32_t id) { return "replica-" + std::to_string(id); }

bool port_is_free(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool free =
      fd >= 0 && ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  if (fd >= 0) ::close(fd);
  return free;
}

Result<std::uint16_t> choose_ports(std::uint32_t count) {
  for (std::uint32_t base = kFirstPort; base + count <= kLastPort; base += count) {
    bool free = true;
    for (std::uint32_t p = base; free && p < base + count; ++p)
      free = port_is_free(static_cast<std::uint16_t>(p));
    if (free) return static_cast<std::uint16_t>(base);
  }
  return fail(Errc::io, "no " + std::to_string(count) + " free ports in a row from " +
                            std::to_string(kFirstPort) + " on; choose with --port");
}

Status write_replica_settings(const std::string& dir, std::uint32_t id) {
  config::ReplicaSettings s;
  s.id = id;
  s.genesis = "../genesis.toml";
  s.data_dir = kDataDir;
  s.vote_key = kVoteKeyFile;
  s.link_key = kLinkKeyFile;
  s.log_segment_bytes = config::kDevLogSegmentBytes;
  s.log_retain_bytes = kLogRetainBytes;
  s.lmdb_map_bytes = config::kDevLmdbMapBytes;
  s.state_fetch_rate = config::kDevStateFetchRate;
  return config::write_replica(dir + "/replica.toml", s);
}

Status write_client_settings(const std::string& dir) {
  config::ClientSettings s;
  s.genesis = "genesis.toml";
  s.sign_key = std::string("client/") + kSignKeyFile;
  s.link_key = std::string("client/") + kLinkKeyFile;
  s.admin_key = std::string("admin/") + kAdminKeyFile;
  s.state_file = "client.state";
  return config::write_client(dir + "/client.toml", s);
}

// Everything of a new cluster in an existing directory; genesis.toml last, which says that it is
// complete.
Status make_cluster(const std::string& dir, const DevOptions& options) {
  const std::uint32_t n = options.replicas == 0 ? kDefaultReplicas : options.replicas;
  if (n < 4 || n > limits::kMaxReplicas || n % 3 != 1)
    return fail(Errc::invalid_argument,
                "--replicas " + std::to_string(n) +
                    ": wrong value; allowed: 3f+1, as in 4, 7, 10, to tolerate f faulty ones");
  std::uint32_t port = options.port;
  if (port == 0) {
    BFTMETA_ASSIGN(port, choose_ports(n * kPortsPerReplica));
  }
  if (port + (n - 1) * kPortsPerReplica > config::kMaxPort)
    return fail(Errc::invalid_argument,
                "--port " + std::to_string(port) + ": the last port would be above 65535");
  std::vector<config::Card> cards;
  for (std::uint32_t id = 0; id < n; ++id) {
    const std::string path = dir + "/" + replica_name(id);
    BFTMETA_ASSIGN(config::ReplicaCard card,
                   make_replica_keys(path, kHost,
                                     static_cast<std::uint16_t>(port + id * kPortsPerReplica), {}));
    BFTMETA_TRY(write_replica_settings(path, id));
    cards.emplace_back(std::move(card));
  }
  config::ClientRules rules;
  rules.gateway = true;
  rules.root_squash = false;
  rules.uid_last = std::numeric_limits<std::uint32_t>::max();
  BFTMETA_ASSIGN(config::Admin admin, make_admin_keys(dir + "/admin", "dev", {}));
  BFTMETA_ASSIGN(config::Client client, make_client_keys(dir + "/client", "dev", rules, {}));
  cards.emplace_back(std::move(admin));
  cards.emplace_back(std::move(client));
  BFTMETA_TRY(write_client_settings(dir));
  BFTMETA_ASSIGN(const config::Genesis genesis, assemble_genesis("dev", cards, 1));
  return config::write_genesis(dir + "/genesis.toml", genesis);
}

// In a directory beside, renamed when it is complete.
Status make_at(const std::string& dir, const DevOptions& options) {
  std::error_code error;
  if (!fs::is_empty(dir, error) && !error)
    return fail(Errc::already_exists, "directory " + dir +
                                          " is not empty and holds no dev cluster; choose another "
                                          "--dir");
  std::string making = dir + ".XXXXXX";
  if (::mkdtemp(making.data()) == nullptr)
    return fail(Errc::io, "cannot make a directory beside " + dir + ": " +
                              std::generic_category().message(errno));
  Status made = make_cluster(making, options);
  if (made) {
    fs::rename(making, dir, error);
    if (error) made = fail(Errc::io, "cannot make " + dir + ": " + error.message());
  }
  if (!made) fs::remove_all(making, error);
  return made;
}

Result<std::string> absolute(const std::string& path) {
  std::error_code error;
  const fs::path full = fs::absolute(path, error);
  if (error) return fail(Errc::invalid_argument, "path '" + path + "': " + error.message());
  std::string text = full.lexically_normal().string();
  while (text.size() > 1 && text.ends_with('/')) text.pop_back();
  return text;
}

bool is_mounted(const std::string& mountpoint) {
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string skip, at;
    words >> skip >> skip >> skip >> skip >> at;
    if (at == mountpoint && line.find(" fuse.bftfs ") != std::string::npos) return true;
  }
  return false;
}

}  // namespace

DevCluster::DevCluster(DevCluster&& other) noexcept
    : dir_(std::move(other.dir_)),
      lock_(std::exchange(other.lock_, -1)),
      genesis_(std::move(other.genesis_)) {}

DevCluster::~DevCluster() {
  if (lock_ >= 0) ::close(lock_);
}

std::string DevCluster::replica_dir(std::uint32_t id) const {
  return dir_ + "/" + replica_name(id);
}

Result<DevCluster> DevCluster::locked(const std::string& dir) {
  const std::string path = dir + "/lock";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return fail(Errc::io, path + ": " + std::generic_category().message(errno));
  DevCluster cluster(dir, fd);
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0)
    return fail(Errc::busy, "dev cluster " + dir +
                                ": another bftadm works on it; try again when that has ended");
  BFTMETA_ASSIGN(cluster.genesis_, config::load_genesis(dir + "/genesis.toml"));
  return cluster;
}

Result<DevCluster> DevCluster::open(const std::string& dir) {
  BFTMETA_ASSIGN(const std::string path, absolute(dir));
  if (!fs::exists(path + "/genesis.toml"))
    return fail(Errc::not_found, "no dev cluster in " + path + "; 'bftadm dev up' makes one");
  return locked(path);
}

Result<DevCluster> DevCluster::open_or_make(const std::string& dir, const DevOptions& options) {
  BFTMETA_ASSIGN(const std::string path, absolute(dir));
  if (!fs::exists(path + "/genesis.toml")) {
    std::error_code error;
    fs::create_directories(fs::path(path).parent_path(), error);
    BFTMETA_TRY(make_at(path, options));
  }
  BFTMETA_ASSIGN(DevCluster cluster, locked(path));
  const config::Config& config = cluster.genesis_.config;
  if (options.replicas != 0 && options.replicas != config.n())
    return fail(Errc::config, "dev cluster " + path + " has " + std::to_string(config.n()) +
                                  " replicas, not " + std::to_string(options.replicas) +
                                  "; choose another --dir");
  if (options.port != 0 && options.port != config.replicas[0].port)
    return fail(Errc::config, "dev cluster " + path + " has its ports from " +
                                  std::to_string(config.replicas[0].port) + " on, not " +
                                  std::to_string(options.port) + "; choose another --dir");
  return cluster;
}

std::optional<Process> DevCluster::running(std::uint32_t id) const {
  const auto process = running_process(replica_dir(id) + "/pid");
  if (!process || !usage_of(process->pid, "bftmetad")) return std::nullopt;
  return process;
}

Result<bool> DevCluster::start(std::uint32_t id, const std::string& strategy) const {
  if (running(id)) return false;
  await_end(replica_dir(id) + "/pid", kStopGrace);
  BFTMETA_ASSIGN(const std::string program,
                 sibling_program(strategy.empty() ? "bftmetad" : "bftmetad-evil"));
  std::vector<std::string> argv = {program, "--config", replica_dir(id) + "/replica.toml"};
  if (!strategy.empty()) argv.insert(argv.end(), {"--strategy", strategy});
  const Result<Daemon> daemon = start_daemon(argv, log_file(id), kStartTimeout);
  if (!daemon) return fail("replica " + std::to_string(id) + " did not start", daemon.error());
  BFTMETA_TRY(write_pid_file(replica_dir(id) + "/pid", daemon->process));
  return true;
}

Result<bool> DevCluster::stop_all() const {
  std::vector<Ending> endings;
  for (std::uint32_t id = 0; id < genesis_.config.n(); ++id) {
    const auto process = running(id);
    if (!process) continue;
    BFTMETA_ASSIGN(Ending ending, Ending::begin(*process));
    endings.push_back(std::move(ending));
  }
  bool gently = true;
  for (Ending& ending : endings) gently = ending.wait(kStopGrace) && gently;
  for (std::uint32_t id = 0; id < genesis_.config.n(); ++id)
    ::unlink((replica_dir(id) + "/pid").c_str());
  return gently;
}

std::string DevCluster::mounted_at() const {
  std::ifstream in(mount_file());
  std::string path;
  std::getline(in, path);
  return !path.empty() && is_mounted(path) ? path : "";
}

Result<bool> DevCluster::mount(const std::string& mountpoint) const {
  BFTMETA_ASSIGN(const std::string path, absolute(mountpoint));
  const std::string current = mounted_at();
  if (current == path) return false;
  if (!current.empty())
    return fail(Errc::config, "dev cluster " + dir_ + " is mounted at " + current +
                                  " already; 'bftadm dev down' unmounts it");
  BFTMETA_ASSIGN(const std::string program, sibling_program("bftfs"));
  std::error_code error;
  fs::create_directory(path, error);  // what is wrong with it is bftfs's to say
  // The name is kept first: what could not be noted would never be unmounted.
  BFTMETA_TRY(crypto::replace_file(mount_file(), view(path + "\n"), crypto::FileMode::public_file));
  std::vector<std::string> argv = {program, client_toml(), path};
  if (::geteuid() == 0) argv.insert(argv.begin() + 1, {"-o", "allow_other"});
  BFTMETA_TRY(run_program(argv));
  return true;
}

Status DevCluster::unmount() const {
  const std::string path = mounted_at();
  if (!path.empty()) {
    // The setuid helper of libfuse3, found on the system's path.
    if (const Status s = run_program({"/usr/bin/fusermount3", "-u", path}); !s)
      return fail("cannot unmount " + path + " (close what uses it)", s.error());
  }
  ::unlink(mount_file().c_str());
  return {};
}

}  // namespace bftmeta::admin
