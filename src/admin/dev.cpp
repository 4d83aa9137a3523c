// dev up, down, status: a cluster on this machine in one command.
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <map>
#include <thread>

#include "admin/cluster.hpp"
#include "admin/dev_cluster.hpp"
#include "admin/progress.hpp"

namespace bftmeta::admin {

namespace {

constexpr std::chrono::seconds kReadyTimeout{20};
constexpr std::chrono::milliseconds kStatusTimeout{1000};

struct Options {
  DevOptions cluster;
  std::string mountpoint;
  std::vector<std::string> strategies;  // "I:NAME"
};

Result<std::map<std::uint32_t, std::string>> parse_strategies(const Options& o) {
  std::map<std::uint32_t, std::string> strategies;
  for (const std::string& s : o.strategies) {
    const std::size_t colon = s.find(':');
    const std::string id = s.substr(0, colon);
    const bool digits =
        !id.empty() && id.size() < 3 && id.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || colon == std::string::npos || colon + 1 == s.size())
      return fail(Errc::invalid_argument,
                  "--strategy '" + s + "': wrong value; allowed: REPLICA:NAME, as in 2:silent");
    strategies[static_cast<std::uint32_t>(std::stoul(id))] = s.substr(colon + 1);
  }
  return strategies;
}

Globals globals_of(const DevCluster& cluster, const Globals& globals) {
  Globals own = globals;
  own.config = cluster.client_toml();
  return own;
}

// The root directory is root's in a new genesis. Who runs a dev cluster without being root is given
// it, since the dev client may act for everybody.
Status own_root_directory(client::Client& client) {
  if (::geteuid() == 0) return {};
  const schema::Caller root{};
  BFTMETA_ASSIGN(const client::ReadResult read, client.read({{root, schema::GetInode{}}}));
  const auto* inode = std::get_if<ns::InodeAnswer>(&read.answers.front().answer);
  if (inode == nullptr || inode->attributes.uid != 0) return {};
  schema::SetAttributes chown;
  chown.mask = schema::set_mask::kUid | schema::set_mask::kGid;
  chown.uid = ::geteuid();
  chown.gid = ::getegid();
  BFTMETA_ASSIGN(const schema::OpResult result, client.execute({root, chown}));
  if (result.code == schema::Code::ok) return {};
  return tl::make_unexpected(operation_error("owner of the root directory", result.code));
}

// A mount point that cannot work is found before anything is started.
Status check_mountpoint(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status) || std::filesystem::is_directory(status)) return {};
  return fail(Errc::invalid_argument, "mount point " + path + " is not a directory");
}

Result<std::uint64_t> start_replicas(const DevCluster& cluster,
                                     std::map<std::uint32_t, std::string> strategies) {
  const std::uint32_t n = cluster.genesis().config.n();
  Progress progress("starting replicas", n);
  std::uint64_t started = 0;
  for (std::uint32_t id = 0; id < n; ++id) {
    BFTMETA_ASSIGN(const bool now, cluster.start(id, strategies[id]));
    started += now ? 1 : 0;
    progress.update(id + 1);
  }
  return started;
}

void add_summary(Report& report, const DevCluster& cluster) {
  report.fields.push_back({"dir", cluster.dir()});
  report.fields.push_back({"genesis_digest", to_hex(cluster.genesis().cluster_id())});
  report.fields.push_back({"client_config", cluster.client_toml()});
  report.fields.push_back({"mount", cluster.mounted_at()});
}

// Replicas that have just started ask each other what they have signed before they vote: a few
// round trips. What is wrong after that is told.
ClusterStatus settled_status(client::Client& client) {
  constexpr std::chrono::milliseconds kPatience{2000};
  constexpr std::chrono::milliseconds kPause{50};
  const auto end = std::chrono::steady_clock::now() + kPatience;
  while (true) {
    ClusterStatus status = ask_status(client, kStatusTimeout);
    if (status.health == Health::ok || std::chrono::steady_clock::now() >= end) return status;
    std::this_thread::sleep_for(kPause);
  }
}

Result<ExitCode> up(const Options& o, const Globals& globals) {
  BFTMETA_ASSIGN(const auto strategies, parse_strategies(o));
  if (!o.mountpoint.empty()) BFTMETA_TRY(check_mountpoint(o.mountpoint));
  BFTMETA_ASSIGN(const std::string dir, dev_directory(globals));
  BFTMETA_ASSIGN(const DevCluster cluster, DevCluster::open_or_make(dir, o.cluster));
  BFTMETA_ASSIGN(const std::uint64_t started, start_replicas(cluster, strategies));
  BFTMETA_ASSIGN(const auto client, connect(globals_of(cluster, globals)));
  BFTMETA_TRY(client->wait_ready(kReadyTimeout));
  BFTMETA_TRY(own_root_directory(*client));
  const ClusterStatus status = settled_status(*client);
  BFTMETA_TRY(client->close());
  if (!o.mountpoint.empty()) BFTMETA_TRY(cluster.mount(o.mountpoint));
  Report report = status_report(status);
  report.fields.push_back({"started", started});
  report.fields.push_back({"already_running", cluster.genesis().config.n() - started});
  add_summary(report, cluster);
  report.fields.push_back({"stop_with", "bftadm dev down --dir " + cluster.dir()});
  print(globals.output, report);
  return ExitCode::ok;
}

Result<ExitCode> down(const Globals& globals) {
  BFTMETA_ASSIGN(const std::string dir, dev_directory(globals));
  BFTMETA_ASSIGN(const DevCluster cluster, DevCluster::open(dir));
  const std::string mounted = cluster.mounted_at();
  BFTMETA_TRY(cluster.unmount());
  std::uint64_t running = 0;
  for (std::uint32_t id = 0; id < cluster.genesis().config.n(); ++id)
    running += cluster.running(id) ? 1 : 0;
  BFTMETA_ASSIGN(const bool gently, cluster.stop_all());
  print(
      globals.output,
      {{{"dir", cluster.dir()}, {"stopped", running}, {"unmounted", mounted}, {"killed", !gently}},
       {}});
  return ExitCode::ok;
}

Result<ExitCode> status(const Globals& globals) {
  BFTMETA_ASSIGN(const std::string dir, dev_directory(globals));
  BFTMETA_ASSIGN(const DevCluster cluster, DevCluster::open(dir));
  BFTMETA_ASSIGN(const auto client, connect(globals_of(cluster, globals)));
  Report report = status_report(ask_status(*client, kStatusTimeout));
  add_summary(report, cluster);
  Table processes{"processes", {"id", "pid", "running", "log"}, {}};
  for (std::uint32_t id = 0; id < cluster.genesis().config.n(); ++id) {
    const auto process = cluster.running(id);
    processes.rows.push_back({std::uint64_t{id},
                              static_cast<std::uint64_t>(process ? process->pid : 0),
                              process.has_value(), cluster.log_file(id)});
  }
  report.tables.push_back(std::move(processes));
  print(globals.output, report);
  return ExitCode::ok;
}

}  // namespace

Run declare_dev(config::Syntax syntax, const Globals& globals) {
  syntax.require_command();
  auto o = std::make_shared<Options>();
  const auto up_syntax =
      syntax.command("up", "Start a cluster, making keys and genesis if there are none");
  const auto down_syntax = syntax.command("down", "Unmount and stop; nothing is deleted");
  syntax.command("status", "As 'bftadm status', and processes and mount");
  up_syntax.option("--replicas", o->cluster.replicas, "3f+1 (default: 4)");
  up_syntax.option("--mount", o->mountpoint, "Mount it there, too");
  up_syntax.option("--port", o->cluster.port,
                   "First of four ports per replica on loopback (default: free ones)");
  up_syntax.option("--strategy", o->strategies,
                   "REPLICA:NAME: run this replica as bftmetad-evil, in test builds");
  return [=, &globals]() -> Result<ExitCode> {
    if (up_syntax.chosen()) return up(*o, globals);
    if (down_syntax.chosen()) return down(globals);
    return status(globals);
  };
}

}  // namespace bftmeta::admin
