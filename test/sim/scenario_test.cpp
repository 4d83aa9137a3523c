// The parser of scenarios, and what the generated cases of scenario files run. A scenario can fail,
// by an expectation and by an oracle.
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "sim/scenario.hpp"
#include "sim/scenario_case.hpp"
#include "sim/scenario_words.hpp"

using namespace bftmeta;
using sim::parse_scenario;

namespace bftmeta::sim {

void run_file(const char* name) {
  std::ifstream file(std::string(SOURCE_ROOT "/test/sim/scenarios/") + name);
  REQUIRE(file.good());
  std::ostringstream text;
  text << file.rdbuf();
  const auto scenarios = parse_scenario(text.str());
  if (!scenarios) FAIL(name << ": " << scenarios.error().message);
  for (const Scenario& scenario : *scenarios)
    if (const Status done = run_scenario(scenario); !done) FAIL_CHECK(done.error().message);
}

}  // namespace bftmeta::sim

namespace {

std::string parse_error(const std::string& text) {
  const auto parsed = parse_scenario(text);
  return parsed ? "" : parsed.error().message;
}
// Of the first scenario in the text; empty: it passes.
std::string run_error(const std::string& text) {
  const auto parsed = parse_scenario(text);
  if (!parsed) return parsed.error().message;
  const Status done = sim::run_scenario(parsed->front());
  return done ? "" : done.error().message;
}

}  // namespace

TEST_CASE("scenario: what the parser does not know is an error with its line") {
  CHECK(parse_error("# T1.1 title\nrun 5ms\n").empty());
  CHECK(parse_error("# title\nrun 5ms\n").starts_with("line 1"));
  CHECK(parse_error("# T1 title\n").starts_with("line 1"));
  CHECK(parse_error("# T1.1\n").starts_with("line 1"));
  const std::string bad[] = {
      "jump 5ms",
      "run",
      "run 5",
      "run 5ms 6ms",
      "cut 0",
      "cut 0 9",
      "cut 0->",
      "drop 0->1",
      "drop 0->1 NONSENSE",
      "drop 0->1 COMMIT count=x",
      "drop 0->1 COMMIT times=2",
      "crash 1 keep=half",
      "crash 1 keep=none keep=all",
      "start 3-1",
      "clock 1 5s",
      "client 7 open",
      "client 0 dance wildly",
      "client 0 submit remove a",
      "expect executed 1",
      "expect executed 1 > 5",
      "expect executed 1 >= five",
      "expect happiness",
      "until done in 5s",
      "inject 0,1->2 PRE-PREPARE view=0 seq=1",
      "inject 0->2 COMMIT view=0 seq=1",
      "replicas 7",  // behind a command
  };
  for (const std::string& line : bad) {
    INFO(line);
    CHECK(parse_error("# T1.1 title\n\nrun 1ms\n" + line + "\n").starts_with("line 4"));
  }
  CHECK(parse_error("# T1.1 title\nreplicas 5\n").starts_with("line 2"));
  CHECK(parse_error("# T1.1 title\nbyzantine 0,1\n").find("more than f") != std::string::npos);
  CHECK(parse_error("# T1.1 title\nbyzantine 0 strategy=kindness\n").find("unknown strategy") !=
        std::string::npos);
}

TEST_CASE("scenario: sets of replicas") {
  using sim::scenario::Ids;
  using sim::scenario::replicas;
  CHECK(replicas("all", 4) == Ids{0, 1, 2, 3});
  CHECK(replicas("2", 4) == Ids{2});
  CHECK(replicas("0-1,3", 4) == Ids{0, 1, 3});
  CHECK(replicas("!1,2", 4) == Ids{0, 3});
  CHECK(replicas("last", 7) == Ids{6});
  CHECK(replicas("low", 7) == Ids{0, 1});
  CHECK(replicas("high", 7) == Ids{5, 6});
  CHECK(replicas("!high", 4) == Ids{0, 1, 2});
  for (const char* bad : {"", "4", "2-1", "x", "!all", "1-", "-1"}) {
    INFO(bad);
    CHECK_FALSE(replicas(bad, 4).has_value());
  }
}

TEST_CASE("scenario: each number of replicas is a run of its own") {
  const auto both = parse_scenario("# T1.1 title\nreplicas 4 7\nrun 1ms\n");
  REQUIRE(both.has_value());
  REQUIRE(both->size() == 2);
  CHECK(both->at(0).plan.n == 4);
  CHECK(both->at(1).plan.n == 7);
}

TEST_CASE("scenario: an expectation that does not hold fails with its line and a diagram") {
  const std::string error = run_error(
      "# T1.1 title\n"
      "client 0 submit create a\n"
      "until done within 5s\n"
      "expect acknowledged 0 == 1\n"
      "expect executed 2 >= 100\n");
  CHECK(error.find("line 5 (expect executed 2 >= 100): replica 2 has 2") != std::string::npos);
  CHECK(error.find("sequenceDiagram") != std::string::npos);
}

TEST_CASE("scenario: an oracle that fires fails it, whatever was expected") {
  const std::string error = run_error(
      "# T1.1 title\n"
      "client 0 load 3\n"
      "until done within 5s\n"
      "diverge 2 always\n"
      "client 0 load 3\n"
      "run 1s\n");
  CHECK(error.find("S1 at") != std::string::npos);
}

TEST_CASE("scenario: reads are answered at the certified root, in either mode") {
  CHECK(run_error("# T1.1 title\n"
                  "client 0 submit create a\n"
                  "until done within 5s\n"
                  "client 0 read token\n"
                  "client 0 read ordered\n"
                  "until done within 5s\n"
                  "expect reads 0 == 2\n") == "");
}
