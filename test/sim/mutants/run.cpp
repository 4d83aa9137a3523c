// mutants: runs the swarm against each defect of src/base/mutant.hpp until an oracle fires, a
// client finds a lie, or an assertion ends the run. Exit code 1 if one survives. Every defect has a
// process of its own: some end it.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "config/command_line.hpp"
#include "mutants/duel.hpp"
#include "mutants/mutants.hpp"
#include "mutants/witnesses.hpp"
#include "sim/scenario.hpp"
#include "sim/swarm.hpp"

using namespace bftmeta;

namespace {

struct Arguments {
  std::uint64_t seeds = 500;
  std::uint64_t start = 1;
  std::vector<std::uint32_t> only;
  std::string scenario;
  bool witnesses = false;
  bool strategies = false;
  std::vector<std::string> by;
};

// What the process of one defect tells: the seed that it is at, and the finding once there is one.
struct Verdict {
  std::uint64_t seed = 0;  // 0: a scenario
  bool killed = false;
  char what[120] = "";
};

// Empty: all oracles hold.
std::string finding(const mutants::Entry& entry, Mutant chosen, std::uint64_t seed) {
  chosen_mutant = chosen;
  ::alarm(120);  // a defect may make a run endless
  const sim::SwarmRun run = sim::run_swarm(seed, {4, entry.strategy});
  ::alarm(0);
  return run.report.violations.empty() ? "" : run.report.violations.front();
}

void tell(int out, Verdict& verdict, const std::string& what) {
  std::snprintf(verdict.what, sizeof verdict.what, "%s", what.c_str());
  if (::write(out, &verdict, sizeof verdict) != sizeof verdict) std::_Exit(3);
}

std::vector<std::filesystem::path> scenario_files(const std::string& only) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(SOURCE_ROOT "/test/sim/scenarios"))
    if (entry.path().extension() == ".scenario" && (only.empty() || entry.path().stem() == only))
      files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

// Empty: it passes.
std::string failure(Mutant chosen, const sim::Scenario& scenario) {
  chosen_mutant = chosen;
  ::alarm(120);  // a defect may make a run endless
  const Status done = sim::run_scenario(scenario);
  ::alarm(0);
  return done ? "" : done.error().message;
}

// Ends the process of the defect. Noticed means: by this defect, and by nothing else.
[[noreturn]] void conclude(int out, Verdict& verdict, const std::string& found, bool also_without) {
  tell(out, verdict, (also_without ? "WITHOUT IT, TOO: " : "") + found);
  std::_Exit(also_without ? 3 : 1);
}

// The schedules that are known come first. Ends the process when one notices.
void try_scenarios(const mutants::Entry& entry, const Arguments& a, Verdict& verdict, int out) {
  for (const auto& path : scenario_files(a.scenario)) {
    std::ostringstream text;
    text << std::ifstream(path).rdbuf();
    const std::string name = "scenario " + path.stem().string();
    tell(out, verdict, name);
    const auto scenarios = sim::parse_scenario(text.str());
    if (!scenarios) conclude(out, verdict, name + ": " + scenarios.error().message, true);
    for (const sim::Scenario& scenario : *scenarios)
      if (const std::string found = failure(entry.mutant, scenario); !found.empty())
        conclude(out, verdict, name + ": " + found, !failure(Mutant::none, scenario).empty());
  }
  tell(out, verdict, "");
}

// Then the seeds of which it is known that a strategy finds this defect.
void try_witnesses(const mutants::Entry& entry, Verdict& verdict, int out) {
  for (const mutants::Witness& w : mutants::witnesses()) {
    if (w.mutant != entry.mutant) continue;
    verdict.seed = w.seed;
    tell(out, verdict, w.strategy);
    const std::string found = mutants::kill({w.strategy, w.mutant, w.seed});
    if (!found.empty()) conclude(out, verdict, w.strategy + (": " + found), false);
  }
}

void hunt(const mutants::Entry& entry, const Arguments& a, int out) {
  Verdict verdict;
  try_scenarios(entry, a, verdict, out);
  if (a.seeds != 0) try_witnesses(entry, verdict, out);
  for (std::uint64_t i = 0; i < a.seeds; ++i) {
    verdict.seed = a.start + i;
    tell(out, verdict, "");
    const std::string found = finding(entry, entry.mutant, verdict.seed);
    if (found.empty()) continue;
    conclude(out, verdict, found, !finding(entry, Mutant::none, verdict.seed).empty());
  }
  std::_Exit(0);
}

// Its last word; an assertion is one, too.
Verdict judge(const mutants::Entry& entry, const Arguments& a) {
  int ends[2];
  Verdict last;
  if (::pipe(ends) != 0) return last;
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) std::_Exit(3);
    hunt(entry, a, ends[1]);
  }
  ::close(ends[1]);
  for (Verdict v; ::read(ends[0], &v, sizeof v) == sizeof v;) last = v;
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) {
    const std::string where = last.what;
    std::snprintf(last.what, sizeof last.what, "%s: the program ended by signal %d", where.c_str(),
                  WTERMSIG(status));
  }
  last.killed = WIFSIGNALED(status) || WEXITSTATUS(status) == 1;
  return last;
}

}  // namespace

int main(int argc, char** argv) {
  config::CommandLine line("", "mutants: the swarm against defects on purpose");
  Arguments a;
  line.option("--seeds", a.seeds, "for each at most");
  line.option("--start", a.start, "the first one");
  line.option("--scenario", a.scenario, "of all scenarios this one only");
  line.option("--only", a.only, "numbers of defects").separated_by(',');
  line.flag("--witnesses", a.witnesses, "each strategy against the defect that is its opponent");
  line.flag("--strategies", a.strategies,
            "every strategy against these, or all witnesses' defects");
  line.option("--by", a.by, "with --strategies: these only").separated_by(',');
  const Result<config::Parsed> parsed = line.parse(argc, argv);
  if (!parsed) {
    std::fprintf(stderr, "mutants: %s\n", parsed.error().message.c_str());
    return static_cast<int>(ExitCode::usage);
  }
  if (*parsed == config::Parsed::answered) return 0;
  if (a.witnesses) return mutants::verify_witnesses() ? 0 : 1;
  if (a.strategies) return mutants::print_map({a.seeds, a.start, a.only, a.by}) ? 0 : 1;
  std::uint32_t killed = 0;
  std::uint32_t survived = 0;
  std::printf("%3s %-34s %-9s %6s %6s  %s\n", "no.", "defect", "", "seed", "s", "noticed by");
  for (const mutants::Entry& entry : mutants::all()) {
    const auto number = static_cast<std::uint32_t>(entry.mutant);
    if (!a.only.empty() && std::ranges::find(a.only, number) == a.only.end()) continue;
    const auto begin = std::chrono::steady_clock::now();
    const Verdict verdict = judge(entry, a);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    ++(verdict.killed ? killed : survived);
    std::printf("%3u %-34s %-9s %6lu %6.1f  %s\n", number, entry.name,
                verdict.killed ? "killed" : "SURVIVED", verdict.seed, took.count(),
                verdict.what[0] != '\0' ? verdict.what : entry.rule);
    std::fflush(stdout);
  }
  std::printf("%u killed, %u survived\n", killed, survived);
  return survived == 0 ? 0 : 1;
}
