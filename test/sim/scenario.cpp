#include "sim/scenario.hpp"

#include "sim/engine_machine.hpp"
#include "sim/scenario_commands.hpp"
#include "sim/scenario_words.hpp"

namespace bftmeta::sim {

namespace {

using scenario::Words;

struct Line {
  std::size_t number = 0;
  Words words;
};

tl::unexpected<Error> at_line(std::size_t line, const Error& cause) {
  return fail("line " + std::to_string(line), cause);
}

// "# T5.4 title"
Result<std::string> title_of(std::string_view first) {
  const auto bad = [] {
    return fail(Errc::malformed, "line 1: expected '# T<section>.<number> title'");
  };
  if (!first.starts_with("# T")) return bad();
  const std::string title(first.substr(2));
  const std::size_t digits = title.find_first_not_of("0123456789", 1);
  if (digits == std::string::npos || digits == 1 || title[digits] != '.') return bad();
  const std::size_t end = title.find_first_not_of("0123456789", digits + 1);
  if (end == std::string::npos || end == digits + 1 || title[end] != ' ') return bad();
  return title;
}

std::vector<Line> lines_of(std::string_view text) {
  std::vector<Line> lines;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, std::min(text.substr(0, end).find('#'), end));
    text.remove_prefix(std::min(end + 1, text.size()));
    Words words = scenario::split(line);
    if (!words.empty()) lines.push_back({number, std::move(words)});
  }
  return lines;
}

// What the plan is made of; stands before everything else.
class Header {
 public:
  static bool knows(const std::string& word) {
    return word == "replicas" || word == "clients" || word == "seed" || word == "byzantine" ||
           word == "rotten" || word == "retain" || word == "learners";
  }
  Status take(const Words& words) {
    if (words[0] == "byzantine" || words[0] == "rotten") {
      later_.push_back(words);  // sets of replicas need to know how many there are
      return {};
    }
    if (words[0] == "replicas") return take_replicas(words);
    if (words.size() != 2) return fail(Errc::malformed, "'" + words[0] + "' needs one number");
    BFTMETA_ASSIGN(const std::uint64_t value, scenario::number(words[1]));
    if (words[0] == "retain")
      retain_bytes_ = value << 20;
    else if (words[0] == "learners")
      plan_.learners = static_cast<std::uint32_t>(value);
    else if (words[0] == "clients")
      plan_.clients = static_cast<std::uint32_t>(value);
    else
      plan_.seed = value;
    return {};
  }
  const std::vector<std::uint32_t>& sizes() const { return sizes_; }
  // What a scenario of this size starts from.
  Result<Scenario> scenario(std::uint32_t n) const {
    Scenario s;
    s.plan = plan_;
    s.log_retain_bytes = retain_bytes_;
    Plan& plan = s.plan;
    plan.n = n;
    plan.bundles_per_client = 0;
    plan.think_max_us = 2'000;
    plan.schedule.emplace();
    plan.reference = true;
    for (const Words& words : later_) BFTMETA_TRY(add_faulty(words, s));
    const auto faulty = [&plan](std::uint32_t members) {
      const auto lying = std::ranges::count_if(
          plan.byzantine, [members](const auto& b) { return b.first < members; });
      return static_cast<std::uint32_t>(lying) + (plan.rotten != 0 ? 1U : 0U);
    };
    for (const std::uint32_t members : {n, n + plan.learners})
      if (faulty(members) > (members - 1) / 3)
        return fail(Errc::malformed, "more than f faulty replicas");
    return s;
  }

 private:
  Status take_replicas(const Words& words) {
    sizes_.clear();
    for (std::size_t i = 1; i < words.size(); ++i) {
      BFTMETA_ASSIGN(const std::uint64_t n, scenario::number(words[i]));
      if (n != 4 && n != 7) return fail(Errc::malformed, "replicas: 4 or 7, not " + words[i]);
      sizes_.push_back(static_cast<std::uint32_t>(n));
    }
    if (sizes_.empty()) return fail(Errc::malformed, "'replicas' needs a number");
    return {};
  }
  static Status add_faulty(const Words& words, Scenario& s) {
    const bool rotten = words[0] == "rotten";
    BFTMETA_ASSIGN(const auto more,
                   scenario::options(words, 2, rotten ? Words{} : Words{"strategy"}));
    BFTMETA_ASSIGN(const scenario::Ids ids,
                   scenario::replicas(words[1], s.plan.n + s.plan.learners));
    if (rotten) {
      for (const Endpoint id : ids) s.plan.rotten |= 1U << id;
      return {};
    }
    for (const Endpoint id : ids) s.plan.byzantine[id] = nullptr;  // nothing is expected of it
    const auto strategy = more.find("strategy");
    if (strategy == more.end()) return {};
    if (s.attack.strategy != nullptr)
      return fail(Errc::malformed, "all replicas with a strategy have the same one");
    s.attack = {adversary::find_strategy(strategy->second), ids, nullptr, s.plan.seed};
    if (s.attack.strategy == nullptr)
      return fail(Errc::malformed, "unknown strategy '" + strategy->second + "'");
    return {};
  }

  Plan plan_;
  std::uint64_t retain_bytes_ = DiskLog::kRetainBytes;
  std::vector<std::uint32_t> sizes_{4};
  std::vector<Words> later_;
};

}  // namespace

Result<std::vector<Scenario>> parse_scenario(std::string_view text) {
  BFTMETA_ASSIGN(const std::string title, title_of(text.substr(0, text.find('\n'))));
  const std::vector<Line> lines = lines_of(text);
  Header header;
  std::size_t first = 0;
  for (; first < lines.size() && Header::knows(lines[first].words[0]); ++first)
    if (const Status taken = header.take(lines[first].words); !taken)
      return at_line(lines[first].number, taken.error());
  std::vector<Scenario> scenarios;
  for (const std::uint32_t n : header.sizes()) {
    auto made = header.scenario(n);
    if (!made) return fail("header", made.error());
    Scenario& s = *made;
    s.title = title + " (n = " + std::to_string(n) + ")";
    for (std::size_t i = first; i < lines.size(); ++i) {
      auto command = scenario::parse_command(lines[i].words, n + s.plan.learners, s.plan.clients);
      if (!command) return at_line(lines[i].number, command.error());
      std::string words;
      for (const std::string& word : lines[i].words) words += (words.empty() ? "" : " ") + word;
      s.commands.push_back({lines[i].number, std::move(words), std::move(*command)});
    }
    scenarios.push_back(std::move(s));
  }
  return scenarios;
}

Status run_scenario(const Scenario& scenario) {
  constexpr std::size_t kShown = 40;  // messages in the diagram
  Plan plan = scenario.plan;
  Adversary evil(plan, EngineMachine::genesis, scenario.attack);
  Cluster cluster(
      plan, EngineMachine::genesis,
      [&](Random r) { return std::make_unique<DiskLog>(r, scenario.log_retain_bytes); },
      scenario::simple_bundle);
  evil.attach(cluster);
  cluster.start_all();
  const auto with_diagram = [&](const std::string& what) {
    return fail(Errc::internal,
                scenario.title + ": " + what + "\n" + cluster.trace().mermaid(kShown));
  };
  for (const ScenarioCommand& command : scenario.commands) {
    const Status done = command.run(cluster);
    const std::string where = "line " + std::to_string(command.line) + " (" + command.text + "): ";
    if (!done) return with_diagram(where + done.error().message);
    if (!cluster.oracles().violations().empty())
      return with_diagram(where + cluster.oracles().violations().front());
  }
  cluster.finish();
  if (!cluster.oracles().violations().empty())
    return with_diagram("in the end: " + cluster.oracles().violations().front());
  return {};
}

}  // namespace bftmeta::sim
