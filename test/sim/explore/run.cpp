// explore: searches the configurations (configurations.hpp) and prints a table. Exit code 1 if
// something is violated; then the moves that lead to it are printed, a line each and as a string
// that --replay takes.
#include <cstdio>

#include "config/command_line.hpp"
#include "sim/explore/configurations.hpp"

using namespace bftmeta;
using namespace bftmeta::sim;

namespace {

struct Arguments {
  std::string prefix;
  double minutes = 2;
  bool check = false;
  std::string trace;
};

int usage(const std::string& message) {
  std::fprintf(stderr, "explore: %s\n", message.c_str());
  return static_cast<int>(ExitCode::usage);
}

void print_trace(const explore::Configuration& configuration, const explore::Findings& found) {
  std::printf("\n%s: %s\n", configuration.name.c_str(), found.violation.c_str());
  std::string whole;
  for (const std::string& move : found.trace) {
    std::printf("  %s\n", move.c_str());
    whole += (whole.empty() ? "" : "; ") + move;
  }
  std::printf("again: scripts/explore --config %s --replay '%s'\n\n", configuration.name.c_str(),
              whole.c_str());
}

void print_row(const std::string& name, const explore::Findings& f) {
  std::printf("%-13s %9lu %11lu %10lu %7lu %8lu %6u %-4s %10d %7.1f\n", name.c_str(), f.states,
              f.transitions, f.merged, f.nodes, f.runs, f.depth, f.exhausted ? "yes" : "no",
              f.violation.empty() ? 0 : 1, f.seconds);
  if (f.compared > 0)
    std::printf("  %lu moves compared with those of another history, %lu different\n", f.compared,
                f.different);
  std::fflush(stdout);
}

bool search(const Arguments& a, std::vector<explore::Configuration> configurations) {
  std::printf("%-13s %9s %11s %10s %7s %8s %6s %-4s %10s %7s\n", "configuration", "states",
              "transitions", "pruned", "nodes", "runs", "depth", "all", "violations", "s");
  bool good = true;
  for (explore::Configuration& c : configurations) {
    c.options.seconds = a.minutes * 60;
    c.options.check_merging = a.check;
    const explore::Findings found = explore::explore(c.options);
    print_row(c.name, found);
    good = good && found.violation.empty() && found.different == 0;
    if (!found.violation.empty()) print_trace(c, found);
  }
  return good;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find("; ", at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 2;
  }
  return parts;
}

// Whether nothing is violated.
Result<bool> again(const explore::Configuration& configuration, const std::string& trace) {
  BFTMETA_ASSIGN(const auto found, explore::replay(configuration.options, split(trace)));
  if (found.violation.empty())
    std::printf("%zu moves, nothing is violated\n", found.trace.size());
  else
    print_trace(configuration, found);
  return found.violation.empty();
}

}  // namespace

int main(int argc, char** argv) {
  config::CommandLine line("", "explore: every state of a small case");
  Arguments a;
  line.option("--config", a.prefix, "only those whose names begin like this");
  line.option("--minutes", a.minutes, "for each at most").between(0.01, 10000.0);
  line.flag("--check", a.check, "compare histories that are taken for one");
  line.option("--replay", a.trace, "make these moves in the first configuration");
  const Result<config::Parsed> parsed = line.parse(argc, argv);
  if (!parsed) return usage(parsed.error().message);
  if (*parsed == config::Parsed::answered) return 0;
  const auto chosen = explore::configurations(a.prefix);
  if (chosen.empty()) return usage("--config " + a.prefix + ": there is none");
  if (a.trace.empty()) return search(a, chosen) ? 0 : 1;
  const Result<bool> good = again(chosen.front(), a.trace);
  if (!good) return usage("--replay: " + good.error().message);
  return *good ? 0 : 1;
}
