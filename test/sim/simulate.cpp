// simulate: runs the swarm over many seeds and prints a table by strategy. Exit code 1 if an oracle
// fired; then each failing seed is printed with what fired, the smallest run that still does it,
// and its last messages as a Mermaid diagram.
#include <chrono>
#include <cstdio>

#include <CLI/CLI.hpp>

#include "sim/swarm.hpp"

using namespace bftmeta;

namespace {

struct Row {
  std::uint64_t runs = 0, batches = 0, view_changes = 0, restarts = 0, faults = 0, lies = 0,
                violations = 0, stalls = 0;

  void add(const sim::SwarmRun& run) {
    ++runs;
    batches += run.report.batches;
    view_changes += run.report.view_changes;
    restarts += run.report.restarts;
    for (const auto& [kind, count] : run.report.faults) faults += count;
    lies += run.lies;
    // A run that does not get done (L1) is a stall; everything else is a violation.
    for (const std::string& v : run.report.violations)
      ++(v.starts_with("L1 ") ? stalls : violations);
  }
};

void print_row(const std::string& name, const Row& r) {
  std::printf("%-44s %6lu %8lu %12lu %8lu %15lu %8lu %10lu %6lu\n", name.c_str(), r.runs, r.batches,
              r.view_changes, r.restarts, r.faults, r.lies, r.violations, r.stalls);
}

void print_table(const std::map<std::string, Row>& rows, const Row& total) {
  std::printf("%-44s %6s %8s %12s %8s %15s %8s %10s %6s\n", "strategy", "runs", "batches",
              "view changes", "restarts", "faults injected", "lies", "violations", "stalls");
  for (const auto& [name, row] : rows) print_row(name, row);
  print_row("all", total);
}

// What the whole of it was good for, beside the table.
struct Totals {
  std::map<std::string, std::uint64_t> faults;
  std::uint64_t acknowledged = 0, reads = 0, refuted = 0, modelled = 0, longest_us = 0;

  void add(const sim::Report& r) {
    for (const auto& [kind, count] : r.faults) faults[kind] += count;
    acknowledged += r.acknowledged;
    reads += r.reads;
    refuted += r.refuted;
    modelled += r.modelled;
    longest_us = std::max(longest_us, r.healing_us);
  }
  void print() const {
    std::printf(
        "\n%lu bundles acknowledged, %lu verified reads, %lu answers refuted, %lu batches "
        "compared with the naive model, at most %lu ms from the last fault to the end\n",
        acknowledged, reads, refuted, modelled, longest_us / 1000);
    std::printf("faults:");
    for (const auto& [kind, count] : faults) std::printf(" %s %lu", kind.c_str(), count);
    std::printf("\n");
  }
};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("simulate: the swarm over many seeds");
  std::uint64_t seeds = 200;
  std::uint64_t start = 1;
  std::uint64_t minutes = 0;
  sim::SwarmOptions options;
  app.add_option("--seeds", seeds, "how many");
  app.add_option("--start", start, "the first one");
  app.add_option("--minutes", minutes, "stop after this long; 0: no limit");
  app.add_option("--strategy", options.strategy,
                 "only this one, or 'none'; 'a+b': two replicas, with 7");
  app.add_option("--replicas", options.n, "4 or 7; 0: by the seed")
      ->check(CLI::IsMember({0, 4, 7}));
  CLI11_PARSE(app, argc, argv);
  if (const std::string unknown = sim::unknown_strategy(options.strategy); !unknown.empty()) {
    std::fprintf(stderr, "simulate: unknown strategy '%s'; docs/testing.md has the names\n",
                 unknown.c_str());
    return 2;
  }
  std::map<std::string, Row> rows;
  Row total;
  Totals totals;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t seed = start; seed < start + seeds; ++seed) {
    if (minutes != 0 && std::chrono::steady_clock::now() - begin > std::chrono::minutes(minutes))
      break;
    const sim::SwarmRun run = sim::run_swarm(seed, options);
    rows[run.strategy].add(run);
    total.add(run);
    totals.add(run.report);
    if (run.report.violations.empty()) continue;
    std::printf("%s\n", sim::explain(seed, run).c_str());
    std::fflush(stdout);
  }
  print_table(rows, total);
  totals.print();
  return total.violations + total.stalls == 0 ? 0 : 1;
}
