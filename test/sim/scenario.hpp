// Schedules as text files, one command a line, in the style of the scenario files of CCF's
// consensus tests. The first line is "# T5.4 title": the number of the point of the design that the
// file covers. The parser is strict: whatever it does not know is an error with its line number.
// All commands: test/sim/README.md. A scenario runs on the production engine and log; all oracles
// watch it. Thread-safety: pure functions.
#pragma once

#include "sim/adversary.hpp"
#include "sim/disk_log.hpp"

namespace bftmeta::sim {

// nullopt: it holds; else what is the case instead.
using Condition = std::function<std::optional<std::string>(const Cluster&)>;

struct ScenarioCommand {
  std::size_t line = 0;
  std::string text;
  // An error ends the scenario: an expectation that does not hold, or something that cannot be.
  std::function<Status(Cluster&)> run;
};

struct Scenario {
  std::string title;  // "T5.4 ..."
  Plan plan;
  Attack attack;
  std::uint64_t log_retain_bytes = DiskLog::kRetainBytes;
  std::vector<ScenarioCommand> commands;
};

// One scenario for each number of replicas that the file names. Errc::malformed with the line.
Result<std::vector<Scenario>> parse_scenario(std::string_view text);

// Runs it and then looks at everything that the oracles look at in the end. The error says which
// line failed and why, or which oracle fired, with the last messages as a diagram.
Status run_scenario(const Scenario& scenario);

}  // namespace bftmeta::sim
