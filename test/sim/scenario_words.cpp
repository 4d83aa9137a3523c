#include "sim/scenario_words.hpp"

#include <algorithm>
#include <array>

namespace bftmeta::sim::scenario {

namespace {

constexpr const char* kTypes[] = {"PRE-PREPARE",
                                  "PREPARE",
                                  "COMMIT",
                                  "ROOT-SHARE",
                                  "ROOT-CERT",
                                  "VIEW-CHANGE",
                                  "NEW-VIEW",
                                  "STATUS",
                                  "FETCH-BATCH",
                                  "BATCH",
                                  "HISTORY",
                                  "FETCH-HISTORY",
                                  "FETCH-NEW-VIEW",
                                  "FORWARD",
                                  "FETCH-PREPARED",
                                  "PREPARED",
                                  "FETCH-VIEW-CHANGE",
                                  "HELLO",
                                  "HELLO-REPLY",
                                  "FETCH-NODES",
                                  "NODES",
                                  "EPOCHS",
                                  "SUBMIT",
                                  "READ",
                                  "REPLY",
                                  "READ-REPLY",
                                  "REFUSAL",
                                  "FRESH",
                                  "FRESH-REPLY"};

std::string without_hyphens(std::string s) {
  std::erase(s, '-');
  return s;
}

tl::unexpected<Error> refuse(const std::string& what, const std::string& word) {
  return fail(Errc::malformed, what + " '" + word + "'");
}

using Compare = bool (*)(std::uint64_t, std::uint64_t);
Result<Compare> comparison(const std::string& word) {
  if (word == "==") return Compare([](std::uint64_t a, std::uint64_t b) { return a == b; });
  if (word == ">=") return Compare([](std::uint64_t a, std::uint64_t b) { return a >= b; });
  if (word == "<=") return Compare([](std::uint64_t a, std::uint64_t b) { return a <= b; });
  return refuse("expected ==, >= or <= instead of", word);
}

std::string name_of(Endpoint id) {
  return id < kFirstClient ? "replica " + std::to_string(id)
                           : "client " + std::to_string(id - kFirstClient);
}

// A number of each of some endpoints, compared with a constant.
using Measure = std::function<std::optional<std::uint64_t>(const Cluster&, Endpoint)>;
Condition each(Ids ids, Measure measure, Compare compare, std::uint64_t limit) {
  return [=](const Cluster& cluster) -> std::optional<std::string> {
    for (const Endpoint id : ids) {
      const auto value = measure(cluster, id);
      if (!value) return name_of(id) + " is down";
      if (!compare(*value, limit)) return name_of(id) + " has " + std::to_string(*value);
    }
    return std::nullopt;
  };
}

std::optional<Measure> replica_measure(const std::string& word) {
  const auto of_core = [](auto measure) {
    return Measure([measure](const Cluster& c, Endpoint id) -> std::optional<std::uint64_t> {
      if (!c.host(id).up()) return std::nullopt;
      return measure(c.host(id).core());
    });
  };
  if (word == "transfers")
    return Measure([](const Cluster& c, Endpoint id) { return c.host(id).transfers(); });
  if (word == "epoch")
    return Measure([](const Cluster& c, Endpoint id) { return c.host(id).epoch(); });
  if (word == "executed") return of_core([](const auto& core) { return core.executed_seq(); });
  if (word == "certified") return of_core([](const auto& core) { return core.certified_seq(); });
  if (word == "view") return of_core([](const auto& core) { return core.view(); });
  if (word == "entered")  // the view, once it is active
    return of_core([](const auto& core) { return core.active() ? core.view() : 0; });
  if (word == "out")
    return of_core([](const auto& core) { return core.out_of_service() ? 1U : 0U; });
  if (word == "again")
    return of_core([](const auto& core) { return core.diverged_again() ? 1U : 0U; });
  if (word == "halted") return of_core([](const auto& core) { return core.halted() ? 1U : 0U; });
  if (word == "fenced")
    return of_core(
        [](const auto& core) { return core.standing() == consensus::Standing::fenced ? 1U : 0U; });
  if (word == "votes") return of_core([](const auto& core) { return core.may_vote() ? 1U : 0U; });
  if (word == "pending") return of_core([](const auto& core) { return core.pending(); });
  return std::nullopt;
}

std::optional<Measure> client_measure(const std::string& word) {
  const auto of_client = [](auto measure) {
    return Measure([measure](const Cluster& c, Endpoint id) -> std::optional<std::uint64_t> {
      return measure(c.client(id - kFirstClient));
    });
  };
  if (word == "acknowledged") return of_client([](const auto& c) { return c.acknowledged(); });
  if (word == "reads") return of_client([](const auto& c) { return c.reads(); });
  if (word == "fresh_reads") return of_client([](const auto& c) { return c.fresh_reads(); });
  if (word == "refuted") return of_client([](const auto& c) { return c.refuted(); });
  return std::nullopt;
}

Condition sent(Links links, std::string type, Compare compare, std::uint64_t limit) {
  return [=](const Cluster& cluster) -> std::optional<std::string> {
    std::uint64_t total = 0;
    for (const Endpoint from : links.from)
      for (const Endpoint to : links.to)
        if (from != to) total += cluster.network().sent(from, to, type);
    if (compare(total, limit)) return std::nullopt;
    return std::to_string(total) + " were sent";
  };
}

std::optional<Condition> plain_condition(const std::string& word) {
  const auto boolean = [](auto holds, const char* otherwise) {
    return Condition([=](const Cluster& c) -> std::optional<std::string> {
      if (holds(c)) return std::nullopt;
      return otherwise;
    });
  };
  if (word == "agreement")
    return Condition([](const Cluster& c) -> std::optional<std::string> {
      const auto& violations = c.oracles().violations();
      if (violations.empty()) return std::nullopt;
      return violations.front();
    });
  if (word == "no_view_change")
    return boolean([](const Cluster& c) { return c.highest_view() == 0; }, "a view was left");
  if (word == "done")
    return boolean([](const Cluster& c) { return c.clients_done(); }, "a client waits");
  if (word == "caught_up")
    return boolean([](const Cluster& c) { return c.caught_up(); }, "a correct replica is behind");
  return std::nullopt;
}

}  // namespace

Words split(std::string_view line) {
  Words words;
  std::size_t at = 0;
  while (at < line.size()) {
    const std::size_t begin = line.find_first_not_of(" \t", at);
    if (begin == std::string_view::npos) break;
    const std::size_t end = std::min(line.find_first_of(" \t", begin), line.size());
    words.emplace_back(line.substr(begin, end - begin));
    at = end;
  }
  return words;
}

Result<std::map<std::string, std::string>> options(const Words& words, std::size_t fixed,
                                                   const std::vector<std::string>& known) {
  if (words.size() < fixed)
    return fail(Errc::malformed,
                "'" + words.front() + "' needs " + std::to_string(fixed - 1) + " arguments");
  std::map<std::string, std::string> out;
  for (std::size_t i = fixed; i < words.size(); ++i) {
    const std::size_t equals = words[i].find('=');
    const std::string key = words[i].substr(0, equals);
    if (equals == std::string::npos || std::ranges::find(known, key) == known.end())
      return refuse("unknown argument", words[i]);
    if (!out.emplace(key, words[i].substr(equals + 1)).second)
      return refuse("argument given twice:", key);
  }
  return out;
}

Result<std::uint64_t> number(const std::string& word) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
  if (error != std::errc{} || end != word.data() + word.size())
    return refuse("not a number:", word);
  return value;
}

Result<std::uint64_t> duration_us(const std::string& word) {
  constexpr std::array<std::pair<const char*, std::uint64_t>, 5> kUnits = {
      {{"us", 1}, {"ms", 1'000}, {"s", 1'000'000}, {"m", 60'000'000}, {"h", 3'600'000'000}}};
  const std::size_t digits = std::min(word.find_first_not_of("0123456789"), word.size());
  for (const auto& [unit, us] : kUnits) {
    if (word.substr(digits) != unit) continue;
    BFTMETA_ASSIGN(const std::uint64_t count, number(word.substr(0, digits)));
    return count * us;
  }
  return refuse("not a duration (5us, 20ms, 3s, 10m, 1h):", word);
}

Result<Ids> replicas(const std::string& word, std::uint32_t n) {
  std::set<Endpoint> ids;
  const bool others = word.starts_with('!');
  std::string rest = others ? word.substr(1) : word;
  const auto add = [&](Endpoint first, Endpoint last) {
    for (Endpoint id = first; id <= last; ++id) ids.insert(id);
  };
  while (!rest.empty()) {
    const std::string part = rest.substr(0, rest.find(','));
    rest = part.size() < rest.size() ? rest.substr(part.size() + 1) : "";
    const std::size_t dash = part.find('-');
    if (part == "all") {
      add(0, n - 1);
    } else if (part == "last") {
      add(n - 1, n - 1);
    } else if (part == "low") {
      add(0, (n - 1) / 3 - 1);
    } else if (part == "high") {
      add(n - (n - 1) / 3, n - 1);
    } else {
      BFTMETA_ASSIGN(const std::uint64_t first, number(part.substr(0, dash)));
      std::uint64_t last = first;
      if (dash != std::string::npos) {
        BFTMETA_ASSIGN(last, number(part.substr(dash + 1)));
      }
      if (first > last || last >= n) return refuse("no such replicas:", part);
      add(static_cast<Endpoint>(first), static_cast<Endpoint>(last));
    }
  }
  Ids out;
  for (Endpoint id = 0; id < n; ++id)
    if (ids.contains(id) != others) out.push_back(id);
  if (out.empty()) return refuse("no replica:", word);
  return out;
}

Result<Ids> endpoints(const std::string& word, std::uint32_t n, std::uint32_t clients) {
  if (word == "clients") {
    Ids ids;
    for (std::uint32_t c = 0; c < clients; ++c) ids.push_back(kFirstClient + c);
    return ids;
  }
  if (!word.starts_with('c')) return replicas(word, n);
  BFTMETA_ASSIGN(const std::uint64_t id, number(word.substr(1)));
  if (id >= clients) return refuse("no such client:", word);
  return Ids{kFirstClient + static_cast<Endpoint>(id)};
}

Result<Links> links(const std::string& word, std::uint32_t n, std::uint32_t clients) {
  const std::size_t arrow = word.find("->");
  if (arrow == std::string::npos) return refuse("not a link (0->2):", word);
  Links out;
  BFTMETA_ASSIGN(out.from, endpoints(word.substr(0, arrow), n, clients));
  BFTMETA_ASSIGN(out.to, endpoints(word.substr(arrow + 2), n, clients));
  return out;
}

Result<std::string> message_type(const std::string& word) {
  if (word == "*") return std::string();
  for (const char* type : kTypes)
    if (without_hyphens(type) == without_hyphens(word)) return std::string(type);
  return refuse("unknown message type", word);
}

Result<Condition> condition(const Words& words, std::uint32_t n, std::uint32_t clients) {
  if (words.empty()) return fail(Errc::malformed, "a condition is missing");
  if (words.size() == 1) {
    if (auto plain = plain_condition(words[0])) return *plain;
    return refuse("unknown condition", words[0]);
  }
  const bool counts_messages = words[0] == "sent";
  if (words.size() != (counts_messages ? 5U : 4U))
    return refuse("wrong number of words for the condition", words[0]);
  BFTMETA_ASSIGN(const Compare compare, comparison(words[words.size() - 2]));
  BFTMETA_ASSIGN(const std::uint64_t limit, number(words.back()));
  if (counts_messages) {
    BFTMETA_ASSIGN(Links which, links(words[1], n, clients));
    BFTMETA_ASSIGN(std::string type, message_type(words[2]));
    return sent(std::move(which), std::move(type), compare, limit);
  }
  if (const auto measure = replica_measure(words[0])) {
    BFTMETA_ASSIGN(Ids ids, replicas(words[1], n));
    return each(std::move(ids), *measure, compare, limit);
  }
  if (const auto measure = client_measure(words[0])) {
    const std::string who = words[1] == "all" ? "clients" : "c" + words[1];
    BFTMETA_ASSIGN(Ids ids, endpoints(who, n, clients));
    return each(std::move(ids), *measure, compare, limit);
  }
  return refuse("unknown condition", words[0]);
}

}  // namespace bftmeta::sim::scenario
