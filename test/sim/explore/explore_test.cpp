// The small case, small enough for every run of the tests; and that a search can find something.
#include <doctest/doctest.h>

#include "sim/explore/configurations.hpp"

using namespace bftmeta;
using namespace bftmeta::sim::explore;

namespace {

Options options_of(const std::string& name) {
  Options options = configurations(name).front().options;
  options.seconds = 60;
  return options;
}

}  // namespace

TEST_CASE("explore: one number, two views: every state is right, whoever is Byzantine") {
  for (const char* name : {"1x2-b0", "1x2-b1", "1x2-b2"}) {
    Options options = options_of(name);
    options.check_merging = true;
    const Findings found = explore(options);
    CAPTURE(name);
    CHECK(found.violation == "");
    CHECK(found.exhausted);
    CHECK(found.states > 10'000);
    CHECK(found.compared > 0);
    CHECK(found.different == 0);
  }
}

TEST_CASE("explore: a log that forgets is found, and the moves that lead there can be made again") {
  Options options = options_of("1x2-b1-cut");
  options.scope.forgetful = true;
  options.only_agreement = true;
  const Findings found = explore(options);
  REQUIRE(found.violation != "");
  CHECK(found.trace.size() == found.depth);

  const auto again = replay(options, found.trace);
  REQUIRE(again.has_value());
  CHECK(again->violation == found.violation);

  options.scope.forgetful = false;
  const auto without = replay(options, found.trace);
  CHECK((!without || without->violation == ""));
}

TEST_CASE("explore: a move that cannot be made is an error that says what can be") {
  const auto impossible = replay(options_of("1x2-b0"), {"r1 COMMIT v0 n1 a of 0,2"});
  REQUIRE_FALSE(impossible.has_value());
  CHECK(impossible.error().message.find("r1 PRE-PREPARE v0 n1 a") != std::string::npos);
}

#ifdef BFTMETA_MUTANTS
TEST_CASE("explore: defects on purpose break agreement") {
  const std::pair<Mutant, const char*> all[] = {
      {Mutant::prepare_quorum_small, "1x2-b0"},   {Mutant::commit_quorum_small, "1x2-b0"},
      {Mutant::lowest_view_chosen, "1x3-b0"},     {Mutant::p_dropped_on_entry, "1x2-b1"},
      {Mutant::p_entry_unchecked, "1x2-b0-lies"}, {Mutant::prepared_not_logged, "1x2-b0-cut"}};
  for (const auto& [mutant, name] : all) {
    CAPTURE(static_cast<int>(mutant));
    chosen_mutant = mutant;
    Options options = options_of(name);
    options.only_agreement = true;
    const Findings found = explore(options);
    chosen_mutant = Mutant::none;
    CHECK(found.violation != "");
  }
}
#endif
