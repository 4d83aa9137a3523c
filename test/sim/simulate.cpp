// simulate: runs the swarm over many seeds and prints a table by strategy. Exit code 1 if an oracle
// fired; then each failing seed is printed with what fired, the smallest run that still does it,
// and its last messages as a Mermaid diagram.
#include <chrono>
#include <cstdio>

#include "config/command_line.hpp"
#include "sim/swarm.hpp"

using namespace bftmeta;

namespace {

struct Row {
  std::uint64_t runs = 0, batches = 0, view_changes = 0, restarts = 0, transfers = 0, faults = 0,
                lies = 0, violations = 0, stalls = 0;

  void add(const sim::SwarmRun& run) {
    ++runs;
    batches += run.report.batches;
    view_changes += run.report.view_changes;
    restarts += run.report.restarts;
    transfers += run.report.transfers;
    for (const auto& [kind, count] : run.report.faults) faults += count;
    lies += run.lies;
    // A run that does not get done (L1) is a stall; everything else is a violation.
    for (const std::string& v : run.report.violations)
      ++(v.starts_with("L1 ") ? stalls : violations);
  }
};

// A run with a lying replica and a hostile client counts for both.
std::vector<std::string> rows_of(const sim::SwarmRun& run) {
  std::vector<std::string> rows;
  if (run.attack.strategy != nullptr) rows.push_back(run.attack.strategy->name);
  if (run.attack.client != nullptr) rows.push_back(run.attack.client->name);
  if (rows.empty()) rows.push_back("none");
  return rows;
}

void print_row(const std::string& name, const Row& r) {
  std::printf("%-26s %6lu %8lu %12lu %8lu %9lu %15lu %8lu %10lu %6lu\n", name.c_str(), r.runs,
              r.batches, r.view_changes, r.restarts, r.transfers, r.faults, r.lies, r.violations,
              r.stalls);
}

void print_table(const std::map<std::string, Row>& rows, const Row& total) {
  std::printf("%-26s %6s %8s %12s %8s %9s %15s %8s %10s %6s\n", "strategy", "runs", "batches",
              "view changes", "restarts", "transfers", "faults injected", "lies", "violations",
              "stalls");
  for (const auto& [name, row] : rows) print_row(name, row);
  print_row("all", total);
}

// What the whole of it was good for, beside the table.
struct Totals {
  std::map<std::string, std::uint64_t> faults;
  std::uint64_t acknowledged = 0, reads = 0, fresh_reads = 0, refuted = 0, modelled = 0,
                longest_us = 0;

  void add(const sim::Report& r) {
    for (const auto& [kind, count] : r.faults) faults[kind] += count;
    acknowledged += r.acknowledged;
    reads += r.reads;
    fresh_reads += r.fresh_reads;
    refuted += r.refuted;
    modelled += r.modelled;
    longest_us = std::max(longest_us, r.healing_us);
  }
  void print() const {
    std::printf(
        "\n%lu bundles acknowledged, %lu verified reads (%lu after a FRESH round), %lu answers "
        "refuted, %lu batches compared with the naive model, at most %lu ms from the last fault to "
        "the end\n",
        acknowledged, reads, fresh_reads, refuted, modelled, longest_us / 1000);
    std::printf("faults:");
    for (const auto& [kind, count] : faults) std::printf(" %s %lu", kind.c_str(), count);
    std::printf("\n");
  }
};

struct Arguments {
  std::uint64_t seeds = 200;
  std::uint64_t start = 1;
  std::uint64_t minutes = 0;
  sim::SwarmOptions options;

  // What is wrong with them; empty: nothing.
  std::string fault() const {
    const std::string& name = options.strategy;
    if (!name.empty() && name != "none" && adversary::find_strategy(name) == nullptr &&
        adversary::find_hostile_client(name) == nullptr)
      return "--strategy " + name + ": unknown; docs/testing.md lists them";
    if (options.n != 0 && options.n != 4 && options.n != 7)
      return "--replicas " + std::to_string(options.n) + ": 4 or 7";
    return "";
  }
};

int usage(const std::string& message) {
  std::fprintf(stderr, "simulate: %s\n", message.c_str());
  return static_cast<int>(ExitCode::usage);
}

// Whether every oracle held.
bool run(const Arguments& arguments) {
  std::map<std::string, Row> rows;
  Row total;
  Totals totals;
  const auto begin = std::chrono::steady_clock::now();
  const std::chrono::minutes limit(arguments.minutes);
  for (std::uint64_t i = 0; i < arguments.seeds; ++i) {
    if (arguments.minutes != 0 && std::chrono::steady_clock::now() - begin > limit) break;
    const std::uint64_t seed = arguments.start + i;
    const sim::SwarmRun run = sim::run_swarm(seed, arguments.options);
    for (const std::string& row : rows_of(run)) rows[row].add(run);
    total.add(run);
    totals.add(run.report);
    if (run.report.violations.empty()) continue;
    // Before the search for a smaller run, which may take minutes.
    std::printf("seed %lu (%s): %s\n", seed, run.name().c_str(),
                run.report.violations.front().c_str());
    std::fflush(stdout);
    std::printf("%s\n", sim::explain(run).c_str());
    std::fflush(stdout);
  }
  print_table(rows, total);
  totals.print();
  return total.violations + total.stalls == 0;
}

}  // namespace

int main(int argc, char** argv) {
  config::CommandLine line("", "simulate: the swarm over many seeds");
  Arguments arguments;
  line.option("--seeds", arguments.seeds, "how many");
  line.option("--start", arguments.start, "the first one");
  line.option("--minutes", arguments.minutes, "stop after this long; 0: no limit");
  line.option("--strategy", arguments.options.strategy,
              "only this one, of replicas or of a client, or 'none'");
  line.flag("--calm", arguments.options.calm,
            "four replicas and few other faults: what happens is the strategy's doing");
  line.flag("--reconfigure", arguments.options.reconfigure,
            "four replicas become seven, and four again");
  line.option("--replicas", arguments.options.n, "4 or 7; 0: by the seed");
  const Result<config::Parsed> parsed = line.parse(argc, argv);
  if (!parsed) return usage(parsed.error().message);
  if (*parsed == config::Parsed::answered) return 0;
  if (const std::string fault = arguments.fault(); !fault.empty()) return usage(fault);
  return run(arguments) ? 0 : 1;
}
