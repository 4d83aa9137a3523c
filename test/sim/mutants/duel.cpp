#include "mutants/duel.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "sim/swarm.hpp"

namespace bftmeta::mutants {

namespace {

constexpr unsigned kEndlessS = 60;  // a run takes a tenth of a second

[[noreturn]] void run(const Duel& duel, int out) {
  if (std::freopen("/dev/null", "w", stderr) == nullptr) std::_Exit(3);
  chosen_mutant = duel.mutant;
  ::alarm(kEndlessS);
  sim::SwarmOptions options;
  options.strategy = duel.strategy;
  options.calm = true;
  options.reconfigure = duel.reconfigure;
  const sim::SwarmRun run = sim::run_swarm(duel.seed, options);
  if (!run.report.violations.empty()) {
    const std::string& what = run.report.violations.front();
    if (::write(out, what.data(), what.size()) != static_cast<ssize_t>(what.size())) std::_Exit(3);
  }
  std::_Exit(0);
}

}  // namespace

std::string fight(const Duel& duel) {
  int ends[2];
  if (::pipe(ends) != 0) return "no pipe";
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    run(duel, ends[1]);
  }
  ::close(ends[1]);
  std::string what;
  char part[512];
  for (ssize_t n = 0; (n = ::read(ends[0], part, sizeof part)) > 0;)
    what.append(part, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) what = "the program ended by signal " + std::to_string(WTERMSIG(status));
  return what;
}

std::string kill(const Duel& duel) {
  const adversary::Named* strategy = adversary::find_strategy(duel.strategy);
  const bool changes = duel.reconfigure || (strategy != nullptr && strategy->epochs);
  std::string what = fight(duel);
  if (what.empty() || !fight({"none", duel.mutant, duel.seed, changes}).empty() ||
      !fight({duel.strategy, Mutant::none, duel.seed, changes}).empty())
    return "";
  return what;
}

}  // namespace bftmeta::mutants
