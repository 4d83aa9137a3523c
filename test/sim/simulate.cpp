// simulate: runs the swarm over many seeds and prints a table by strategy. Exit code 1 if an oracle
// fired; the first failing seed is printed with what it found.
#include <chrono>
#include <cstdio>
#include <map>

#include "adversary/clients.hpp"
#include "adversary/strategies.hpp"
#include "config/command_line.hpp"
#include "sim/swarm.hpp"

using namespace bftmeta;

namespace {

struct Row {
  std::uint64_t runs = 0, batches = 0, view_changes = 0, crashes = 0, dropped = 0, lies = 0,
                violations = 0;
};

void print_table(const std::map<std::string, Row>& rows) {
  std::printf("%-22s %7s %9s %13s %8s %9s %8s %11s\n", "strategy", "runs", "batches",
              "view changes", "crashes", "dropped", "lies", "violations");
  for (const auto& [name, r] : rows)
    std::printf("%-22s %7lu %9lu %13lu %8lu %9lu %8lu %11lu\n", name.c_str(), r.runs, r.batches,
                r.view_changes, r.crashes, r.dropped, r.lies, r.violations);
}

}  // namespace

int main(int argc, char** argv) {
  config::CommandLine line("", "simulate: the swarm over many seeds");
  std::uint64_t seeds = 200;
  std::uint64_t start = 1;
  std::uint64_t minutes = 0;
  sim::SwarmOptions options;
  std::vector<std::string> names = {"none"};
  for (const adversary::Named& s : adversary::all_strategies()) names.emplace_back(s.name);
  for (const adversary::NamedClient& c : adversary::all_hostile_clients())
    names.emplace_back(c.name);
  line.option("--seeds", seeds, "how many");
  line.option("--start", start, "the first one");
  line.option("--minutes", minutes, "stop after this long; 0: no limit");
  line.option("--strategy", options.strategy,
              "only this one, of replicas or of a client, or 'none'")
      .one_of(names);
  line.option("--replicas", options.n, "4 or 7; 0: by the seed");
  const Result<config::Parsed> parsed = line.parse(argc, argv);
  if (!parsed) {
    std::fprintf(stderr, "simulate: %s\n", parsed.error().message.c_str());
    return static_cast<int>(exit_code_of(parsed.error().code));
  }
  if (*parsed == config::Parsed::answered) return 0;
  std::map<std::string, Row> rows;
  bool failed = false;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t seed = start; seed < start + seeds; ++seed) {
    if (minutes != 0 && std::chrono::steady_clock::now() - begin > std::chrono::minutes(minutes))
      break;
    const sim::SwarmRun run = sim::run_swarm(seed, options);
    const std::string who = run.client.empty()       ? run.strategy
                            : run.strategy == "none" ? run.client
                                                     : run.strategy + "+" + run.client;
    Row& row = rows[run.strategy == "none" && !run.client.empty() ? run.client : run.strategy];
    ++row.runs;
    row.batches += run.report.batches;
    row.view_changes += run.report.view_changes;
    row.crashes += run.report.crashes;
    row.dropped += run.report.dropped;
    row.lies += run.lies;
    row.violations += run.report.violations.size();
    if (run.report.violations.empty()) continue;
    failed = true;
    std::printf("seed %lu (%s): %s\n", seed, who.c_str(), run.report.violations[0].c_str());
  }
  print_table(rows);
  return failed ? 1 : 0;
}
