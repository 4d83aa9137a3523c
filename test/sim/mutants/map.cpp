#include <algorithm>
#include <cstdio>
#include <map>
#include <set>

#include "adversary/clients.hpp"
#include "adversary/strategies.hpp"
#include "mutants/duel.hpp"
#include "mutants/mutants.hpp"
#include "mutants/witnesses.hpp"
#include "sim/swarm.hpp"

namespace bftmeta::mutants {

namespace {

std::vector<std::string> all_names() {
  std::vector<std::string> names;
  for (const auto& s : adversary::all_strategies()) names.emplace_back(s.name);
  for (const auto& c : adversary::all_hostile_clients()) names.emplace_back(c.name);
  return names;
}

const char* name_of(Mutant mutant) {
  for (const Entry& entry : all())
    if (entry.mutant == mutant) return entry.name;
  return "unknown";
}

unsigned number_of(Mutant mutant) { return static_cast<unsigned>(mutant); }

std::vector<Mutant> defects_of(const MapOptions& options) {
  std::set<Mutant> chosen;
  for (const std::uint32_t number : options.defects) chosen.insert(static_cast<Mutant>(number));
  if (chosen.empty())
    for (const Witness& w : witnesses()) chosen.insert(w.mutant);
  return {chosen.begin(), chosen.end()};
}

// The options' seeds, and those of its witnesses; of a defect that takes a long run to find, the
// two kinds of these.
std::set<std::uint64_t> seeds_of(Mutant mutant, const MapOptions& options) {
  std::set<std::uint64_t> seeds;
  for (std::uint64_t i = 0; i < options.seeds; ++i) seeds.insert(options.start + i);
  for (const Witness& w : witnesses()) {
    if (w.mutant != mutant) continue;
    if (w.seed >= sim::kLoaded && w.seed < sim::kBusy) return {sim::kLoaded, sim::kLoaded + 1};
    seeds.insert(w.seed);
  }
  return seeds;
}

// The first seed with which the strategy, and nothing else, lets the defect be noticed; 0: none.
std::uint64_t first_kill(const std::string& strategy, Mutant mutant, const MapOptions& options) {
  for (const std::uint64_t seed : seeds_of(mutant, options)) {
    const std::string what = kill({strategy, mutant, seed});
    if (what.empty()) continue;
    std::printf("%-26s %3u %-34s %6lu  %.90s\n", strategy.c_str(), number_of(mutant),
                name_of(mutant), seed, what.c_str());
    std::fflush(stdout);
    return seed;
  }
  return 0;
}

}  // namespace

bool verify_witnesses() {
  std::set<std::string> without;
  for (const std::string& name : all_names()) without.insert(name);
  // A client that lends itself to a strategy does nothing wrong alone.
  for (const auto& s : adversary::all_strategies())
    if (s.client != nullptr) without.erase(s.client);
  const std::size_t expected = without.size();
  std::size_t failed = 0;
  std::printf("%-26s %3s %-34s %6s  %s\n", "strategy", "no.", "defect", "seed", "noticed by");
  for (const Witness& w : witnesses()) {
    const std::string what = kill({w.strategy, w.mutant, w.seed});
    std::printf("%-26s %3u %-34s %6lu  %.90s\n", w.strategy, number_of(w.mutant), name_of(w.mutant),
                w.seed, what.empty() ? "NO WITNESS" : what.c_str());
    std::fflush(stdout);
    if (what.empty())
      ++failed;
    else
      without.erase(w.strategy);
  }
  for (const std::string& name : without) std::printf("%-26s HAS NO WITNESS\n", name.c_str());
  std::printf("%zu strategies have a witness, %zu have none; %zu of the list are none\n",
              expected - without.size(), without.size(), failed);
  return failed == 0;
}

bool print_map(const MapOptions& options) {
  const std::vector<std::string> strategies =
      options.strategies.empty() ? all_names() : options.strategies;
  std::map<Mutant, std::vector<std::string>> killers;
  std::printf("%-26s %3s %-34s %6s  %s\n", "strategy", "no.", "defect", "seed", "noticed by");
  for (const Mutant mutant : defects_of(options)) {
    auto& of = killers[mutant];
    for (const std::string& strategy : strategies)
      if (first_kill(strategy, mutant, options) != 0) of.push_back(strategy);
  }
  bool few = true;
  std::printf("\n%3s %-34s %7s  %s\n", "no.", "defect", "killers", "");
  for (const auto& [mutant, of] : killers) {
    std::printf("%3u %-34s %7zu ", number_of(mutant), name_of(mutant), of.size());
    for (const std::string& strategy : of) std::printf(" %s", strategy.c_str());
    std::printf("\n");
    few = few && of.size() <= kMostKillers;
  }
  return few;
}

}  // namespace bftmeta::mutants
