#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "admin/cluster.hpp"
#include "admin/load.hpp"
#include "admin/processes.hpp"
#include "admin/progress.hpp"

namespace bftmeta::admin {

namespace {

constexpr std::chrono::seconds kReadyTimeout{15};
constexpr std::chrono::milliseconds kStatusTimeout{1000};
constexpr std::chrono::milliseconds kWarmUp{1000};
constexpr std::uint64_t kInodesToStat = 4096;  // made when --preload does not say more

struct Options {
  LoadKind kind = LoadKind::create;
  std::uint32_t clients = 1;
  std::uint32_t outstanding = 16;
  double seconds = 10;
  std::uint64_t preload = 0;
  std::string directory;
};

const std::map<std::string, LoadKind> kKinds = {{"create", LoadKind::create},
                                                {"mkdir", LoadKind::mkdir},
                                                {"stat", LoadKind::stat},
                                                {"rename", LoadKind::rename},
                                                {"mixed", LoadKind::mixed}};

std::string fresh_name() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return "bench-" + std::to_string(std::chrono::duration_cast<std::chrono::seconds>(now).count()) +
         "-" + std::to_string(::getpid());
}

std::uint64_t own_cpu_us() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto us = [](const timeval& t) {
    return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(t.tv_usec);
  };
  return us(usage.ru_utime) + us(usage.ru_stime);
}

bool on_this_host(const config::Replica& replica) {
  return replica.host.starts_with("127.") || replica.host == "localhost" || replica.host == "::1";
}

// What the replicas on this machine use, by id; nullopt where that cannot be seen.
std::vector<std::optional<Usage>> replica_usage(client::Client& client) {
  const ClusterStatus status = ask_status(client, kStatusTimeout);
  std::vector<std::optional<Usage>> usage;
  for (std::size_t id = 0; id < status.replicas.size(); ++id) {
    usage.emplace_back();
    if (status.replicas[id] && on_this_host(status.config.replicas[id]))
      usage.back() = usage_of(static_cast<pid_t>(status.replicas[id]->pid), "bftmetad");
  }
  return usage;
}

double percent(std::uint64_t before, std::uint64_t after, double seconds) {
  return after > before ? static_cast<double>(after - before) / seconds / 10'000 : 0;
}

Table replica_table(const std::vector<std::optional<Usage>>& before,
                    const std::vector<std::optional<Usage>>& after, double seconds) {
  Table table{"replicas", {"id", "cpu_percent", "rss_anon_bytes"}, {}};
  // Members may have come or gone meanwhile.
  for (std::size_t id = 0; id < std::min(before.size(), after.size()); ++id)
    if (before[id] && after[id])
      table.rows.push_back({std::uint64_t{id},
                            percent(before[id]->cpu_us, after[id]->cpu_us, seconds),
                            after[id]->rss_anon_bytes});
  return table;
}

Result<std::vector<std::unique_ptr<client::Client>>> connect_all(const Options& o,
                                                                 const Globals& globals) {
  std::vector<std::unique_ptr<client::Client>> clients;
  for (std::uint32_t i = 0; i < o.clients; ++i) {
    BFTMETA_ASSIGN(auto client, connect(globals));
    clients.push_back(std::move(client));
  }
  for (const auto& client : clients) BFTMETA_TRY(client->wait_ready(kReadyTimeout));
  return clients;
}

Status preload(Load& load, const Options& o) {
  const bool reads = o.kind == LoadKind::stat || o.kind == LoadKind::mixed;
  const std::uint64_t count = reads ? std::max(o.preload, kInodesToStat) : o.preload;
  Progress progress("creating inodes", count);
  return load.preload(count, [&progress](std::uint64_t done) { progress.update(done); });
}

Result<ExitCode> run(const Options& o, const std::string& op, const Globals& globals) {
  if (o.outstanding < o.clients)
    return fail(Errc::invalid_argument, "--outstanding " + std::to_string(o.outstanding) +
                                            ": is for all clients, so at least --clients " +
                                            std::to_string(o.clients));
  BFTMETA_ASSIGN(const auto clients, connect_all(o, globals));
  std::vector<client::Client*> users;
  for (const auto& client : clients) users.push_back(client.get());
  const std::string directory = o.directory.empty() ? fresh_name() : o.directory;
  BFTMETA_ASSIGN(const auto load, Load::make(users, current_caller(), directory));
  BFTMETA_TRY(preload(*load, o));

  const auto start = std::chrono::steady_clock::now();
  const auto before = replica_usage(*clients[0]);
  const std::uint64_t own_before = own_cpu_us();
  BFTMETA_ASSIGN(const LoadResult result,
                 load->run(o.kind, o.outstanding, kWarmUp,
                           std::chrono::milliseconds(static_cast<std::int64_t>(o.seconds * 1000))));
  const std::uint64_t own_after = own_cpu_us();
  const auto after = replica_usage(*clients[0]);
  const double wall =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

  Report report{{{"op", op},
                 {"clients", std::uint64_t{o.clients}},
                 {"outstanding", std::uint64_t{o.outstanding}},
                 {"seconds", result.seconds},
                 {"ops", result.done},
                 {"ops_per_s", static_cast<double>(result.done) / result.seconds},
                 {"p50_us", result.latency.quantile(0.5)},
                 {"p99_us", result.latency.quantile(0.99)},
                 {"p999_us", result.latency.quantile(0.999)},
                 {"max_us", result.latency.quantile(1.0)},
                 {"errors", result.errors},
                 {"client_cpu_percent", percent(own_before, own_after, wall)},
                 {"directory", "/" + directory}},
                {replica_table(before, after, wall)}};
  if (!result.first_error.empty()) report.fields.push_back({"first_error", result.first_error});
  print(globals.output, report);
  for (const auto& client : clients) BFTMETA_TRY(client->close());
  return result.errors == 0 ? ExitCode::ok : ExitCode::failed;
}

}  // namespace

Run declare_bench(config::Syntax syntax, const Globals& globals) {
  auto o = std::make_shared<Options>();
  auto op = std::make_shared<std::string>("create");
  std::vector<std::string> names;
  for (const auto& [name, kind] : kKinds) names.push_back(name);
  syntax.option("--op", *op, "mixed is 60% stat, 20% create, 10% mkdir, 10% rename")
      .one_of(names)
      .show_default();
  syntax.option("--clients", o->clients, "Sessions, each with its own connections")
      .between(1, 64)
      .show_default();
  syntax.option("--outstanding", o->outstanding, "Operations under way at a time, in all")
      .between(1, 65536)
      .show_default();
  syntax.option("--seconds", o->seconds, "Measured time, after one second of warm-up")
      .between(0.1, 86400.0)
      .show_default();
  syntax.option("--preload", o->preload, "Create so many inodes first (stat and mixed: 4096)");
  syntax.option("--dir-name", o->directory,
                "Directory to make and to work in (default: a new name each time)");
  return [=, &globals] {
    o->kind = kKinds.at(*op);
    return run(*o, *op, globals);
  };
}

}  // namespace bftmeta::admin
