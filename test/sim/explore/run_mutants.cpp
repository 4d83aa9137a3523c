// explore-mutants: the search against defects on purpose (src/base/mutant.hpp), each in a process
// of its own, because some end it: at first for any violation, then for one of agreement alone. A
// table; no verdict is wrong, because some rules matter for other reasons than what is searched
// here.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "config/command_line.hpp"
#include "mutants/mutants.hpp"
#include "sim/explore/search.hpp"

using namespace bftmeta;
using namespace bftmeta::sim;

namespace {

struct Found {
  std::string where;
  std::string what;
  std::uint32_t depth = 0;  // 0: nothing
};

// With everything that there is: lies, and a power cut. Smallest case first.
Found hunt(bool only_agreement, double seconds) {
  for (const std::uint32_t views : {2U, 3U})
    for (messages::ReplicaId b = 0; b <= 2; ++b) {
      explore::Options options;
      options.scope = {.seqs = 1, .views = views, .byzantine = b, .crashes = 1, .lies = true};
      options.seconds = seconds;
      options.only_agreement = only_agreement;
      const explore::Findings found = explore::explore(options);
      if (found.violation.empty()) continue;
      return {"1x" + std::to_string(views) + "-b" + std::to_string(b), found.violation,
              found.depth};
    }
  return {};
}

void print(const char* kind, const Found& found) {
  if (found.depth == 0)
    std::printf("  %s: nothing found\n", kind);
  else
    std::printf("  %s: %s, %u moves: %s\n", kind, found.where.c_str(), found.depth,
                found.what.c_str());
  std::fflush(stdout);
}

void judge(const mutants::Entry& entry, double seconds) {
  std::printf("%u %s\n", static_cast<unsigned>(entry.mutant), entry.name);
  std::fflush(stdout);
  const pid_t child = ::fork();
  if (child == 0) {
    chosen_mutant = entry.mutant;
    const Found any = hunt(false, seconds);
    print("any", any);
    if (any.depth != 0) print("agreement", hunt(true, seconds));
    std::_Exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) std::printf("  the program ended by signal %d\n", WTERMSIG(status));
}

// Agreement, certificates, view change, catching up and starting; the others are about progress,
// clients and reads, which are not searched.
bool searched(Mutant m) {
  const bool liveness = m == Mutant::no_suspicion || m == Mutant::no_new_view_timer ||
                        m == Mutant::items_not_requeued || m == Mutant::no_status ||
                        m == Mutant::no_history;
  return m < Mutant::fresh_not_held_back && !liveness;
}

}  // namespace

int main(int argc, char** argv) {
  config::CommandLine line("", "explore-mutants: every state of a small case, with a defect");
  double seconds = 10;
  std::vector<std::uint32_t> only;
  line.option("--seconds", seconds, "for each search at most").between(0.1, 10000.0);
  line.option("--only", only, "numbers of defects").separated_by(',');
  const Result<config::Parsed> parsed = line.parse(argc, argv);
  if (!parsed) {
    std::fprintf(stderr, "explore-mutants: %s\n", parsed.error().message.c_str());
    return static_cast<int>(ExitCode::usage);
  }
  if (*parsed == config::Parsed::answered) return 0;
  for (const mutants::Entry& entry : mutants::all()) {
    const auto number = static_cast<std::uint32_t>(entry.mutant);
    const bool named = std::ranges::find(only, number) != only.end();
    if (only.empty() ? searched(entry.mutant) : named) judge(entry, seconds);
  }
  return 0;
}
