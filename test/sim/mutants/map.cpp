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

// The options' seeds; without, those of its witnesses.
std::set<std::uint64_t> seeds_of(Mutant mutant, const MapOptions& options) {
  std::set<std::uint64_t> seeds;
  for (std::uint64_t i = 0; i < options.seeds; ++i) seeds.insert(options.start + i);
  if (options.seeds != 0) return seeds;
  for (const Witness& w : witnesses())
    if (w.mutant == mutant) seeds.insert(w.seed);
  return seeds;
}

// Whether the strategy, and nothing else, lets the defect be noticed.
bool kills(const std::string& strategy, Mutant mutant, std::uint64_t seed) {
  const std::string what = kill({strategy, mutant, seed});
  if (what.empty()) return false;
  std::printf("%-26s %3u %-34s %6lu  %.90s\n", strategy.c_str(), number_of(mutant), name_of(mutant),
              seed, what.c_str());
  std::fflush(stdout);
  return true;
}

bool wraps_another(const std::string& strategy) {
  const adversary::Named* named = adversary::find_strategy(strategy);
  return named != nullptr && named->wraps;
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
  std::map<std::pair<Mutant, std::uint64_t>, std::vector<std::string>> killers;
  std::printf("%-26s %3s %-34s %6s  %s\n", "strategy", "no.", "defect", "seed", "noticed by");
  for (const Mutant mutant : defects_of(options))
    for (const std::uint64_t seed : seeds_of(mutant, options)) {
      auto& of = killers[{mutant, seed}];
      for (const std::string& strategy : strategies)
        if (kills(strategy, mutant, seed)) of.push_back(strategy);
    }
  bool few = true;
  std::printf("\n%3s %-34s %6s %7s  %s\n", "no.", "defect", "seed", "killers", "");
  for (const auto& [duel, of] : killers) {
    const auto& [mutant, seed] = duel;
    const auto own = std::ranges::count_if(of, [](const auto& s) { return !wraps_another(s); });
    std::printf("%3u %-34s %6lu %7zu ", number_of(mutant), name_of(mutant), seed,
                static_cast<std::size_t>(own));
    for (const std::string& strategy : of) std::printf(" %s", strategy.c_str());
    std::printf("\n");
    few = few && static_cast<std::size_t>(own) <= kMostKillers;
  }
  return few;
}

}  // namespace bftmeta::mutants
