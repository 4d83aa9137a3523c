#include "sim/explore/search.hpp"

#include <chrono>

#include "sim/explore/checks.hpp"

namespace bftmeta::sim::explore {

namespace {

struct State {
  Nodes nodes{};
  std::uint32_t crashes = 0;
  friend bool operator==(const State&, const State&) = default;
};

// All states so far, in the order of their finding, and how each was found.
class States {
 public:
  struct Origin {
    std::uint32_t from = 0;
    std::uint32_t move = 0;  // of which replica: see below
    std::uint8_t who = 0;    // the i-th correct one
  };

  States() : table_(1 << 16) {}

  std::uint64_t size() const { return states_.size(); }
  const State& at(std::uint64_t i) const { return states_[i]; }
  const Origin& origin(std::uint64_t i) const { return origins_[i]; }

  // False: known already.
  bool add(const State& state, const Origin& origin) {
    std::uint64_t at = hash(state) & (table_.size() - 1);
    for (; table_[at] != 0; at = (at + 1) & (table_.size() - 1))
      if (states_[table_[at] - 1] == state) return false;
    states_.push_back(state);
    origins_.push_back(origin);
    table_[at] = static_cast<std::uint32_t>(states_.size());
    if (states_.size() * 2 > table_.size()) grow();
    return true;
  }

 private:
  static std::uint64_t hash(const State& s) {
    std::uint64_t h = 0x9e3779b97f4a7c15ULL + s.crashes;
    for (const std::uint32_t node : s.nodes) {
      h = (h ^ node) * 0xff51afd7ed558ccdULL;
      h ^= h >> 32;
    }
    return h;
  }
  void grow() {
    table_.assign(table_.size() * 2, 0);
    for (std::uint64_t i = 0; i < states_.size(); ++i) {
      std::uint64_t at = hash(states_[i]) & (table_.size() - 1);
      while (table_[at] != 0) at = (at + 1) & (table_.size() - 1);
      table_[at] = static_cast<std::uint32_t>(i + 1);
    }
  }

  std::vector<State> states_;
  std::vector<Origin> origins_;
  std::vector<std::uint32_t> table_;  // 0: free, else 1 + index
};

class Search {
 public:
  explicit Search(const Options& options)
      : options_(options),
        world_(options.scope),
        moves_(world_),
        lives_(world_, moves_, options.check_merging),
        menu_(world_, moves_, lives_),
        checks_(world_, moves_, lives_, menu_) {}

  Findings run();
  Result<Findings> replay(const std::vector<std::string>& trace);

 private:
  struct Step {
    State to;
    std::uint32_t move = 0;
    std::uint8_t who = 0;
  };

  State first() const;
  // Every state one move away from `state`, except itself.
  const std::vector<Step>& steps(const State& state);
  void step(const State& state, std::size_t i, std::uint32_t move, bool cut);
  std::string judge(const State& state) {
    return checks_.violation(state.nodes, menu_.facts(state.nodes), options_.only_agreement);
  }
  std::string text(const Step& step) const {
    return moves_.text(menu_.replica(step.who), step.move);
  }
  void finish(Findings& result, std::chrono::steady_clock::time_point begin) const;

  const Options options_;
  World world_;
  Moves moves_;
  Lives lives_;
  Menu menu_;
  Checks checks_;
  States states_;
  std::vector<Step> steps_;
  std::vector<std::uint32_t> list_;
};

State Search::first() const {
  State state;
  for (std::size_t i = 0; i < kCorrect; ++i) state.nodes[i] = lives_.first(menu_.replica(i));
  return state;
}

void Search::step(const State& state, std::size_t i, std::uint32_t move, bool cut) {
  const Lives::Edge edge = lives_.edge(state.nodes[i], move);
  if (edge.to == state.nodes[i]) return;
  steps_.push_back({state, move, static_cast<std::uint8_t>(i)});
  steps_.back().to.nodes[i] = edge.to;
  steps_.back().to.crashes += cut;
  if (!edge.leaks || cut || state.crashes == options_.scope.crashes) return;
  std::vector<std::uint32_t> cuts;
  menu_.restarts(state.nodes, i, move, cuts);
  for (const std::uint32_t restart : cuts) step(state, i, restart, true);
}

const std::vector<Search::Step>& Search::steps(const State& state) {
  steps_.clear();
  const Facts facts = menu_.facts(state.nodes);
  for (std::size_t i = 0; i < kCorrect; ++i) {
    list_.clear();
    menu_.list(state.nodes, facts, i, list_);
    for (const std::uint32_t move : list_) step(state, i, move, false);
    if (state.crashes == options_.scope.crashes || lives_.node(state.nodes[i]).core->halted())
      continue;
    list_.clear();
    menu_.restarts(state.nodes, i, std::nullopt, list_);
    for (const std::uint32_t restart : list_) step(state, i, restart, true);
  }
  return steps_;
}

void Search::finish(Findings& result, std::chrono::steady_clock::time_point begin) const {
  result.states = states_.size();
  result.nodes = lives_.nodes();
  result.runs = lives_.runs();
  result.compared = lives_.compared();
  result.different = lives_.different();
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Findings Search::run() {
  const auto begin = std::chrono::steady_clock::now();
  const auto late = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count() >
           options_.seconds;
  };
  Findings result;
  states_.add(first(), {});
  std::uint64_t level_end = 1;
  std::uint64_t at = 0;
  for (; at < states_.size() && result.violation.empty(); ++at) {
    if (at == level_end) {
      ++result.depth;
      level_end = states_.size();
    }
    if (states_.size() > options_.max_states || lives_.nodes() > options_.max_nodes) break;
    if (at % 256 == 0 && late()) break;
    const State state = states_.at(at);
    for (const Step& step : steps(state)) {
      ++result.transitions;
      if (!states_.add(step.to, {static_cast<std::uint32_t>(at), step.move, step.who})) {
        ++result.merged;
        continue;
      }
      result.violation = judge(step.to);
      if (!result.violation.empty()) break;
    }
  }
  result.exhausted = result.violation.empty() && at == states_.size();
  if (!result.violation.empty()) {
    ++result.depth;
    for (std::uint64_t i = states_.size() - 1; i != 0; i = states_.origin(i).from) {
      const States::Origin& o = states_.origin(i);
      result.trace.push_back(text({{}, o.move, o.who}));
    }
    std::ranges::reverse(result.trace);
  }
  finish(result, begin);
  return result;
}

Result<Findings> Search::replay(const std::vector<std::string>& trace) {
  const auto begin = std::chrono::steady_clock::now();
  Findings result;
  State state = first();
  states_.add(state, {});
  for (const std::string& words : trace) {
    const std::vector<Step>& all = steps(state);
    const auto made =
        std::ranges::find_if(all, [&](const Step& step) { return text(step) == words; });
    if (made == all.end()) {
      std::string possible;
      for (const Step& step : all) possible += "\n  " + text(step);
      return fail(Errc::malformed, "'" + words + "' cannot happen here; what can:" + possible);
    }
    state = made->to;
    states_.add(state, {});
    result.trace.push_back(words);
    ++result.depth;
    result.violation = judge(state);
    if (!result.violation.empty()) break;
  }
  finish(result, begin);
  return result;
}

}  // namespace

Findings explore(const Options& options) { return Search(options).run(); }

Result<Findings> replay(const Options& options, const std::vector<std::string>& trace) {
  return Search(options).replay(trace);
}

}  // namespace bftmeta::sim::explore
