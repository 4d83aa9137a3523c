#include "sim/minimize.hpp"

#include "base/assert.hpp"

namespace bftmeta::sim {

namespace {

class Search {
 public:
  Search(Plan plan, Report failed, const RunPlan& run)
      : run_(run), oracle_(oracle_of(failed.violations.front())) {
    plan.schedule = failed.schedule;
    best_ = {std::move(plan), std::move(failed), 0};
  }

  void schedule() {
    const std::vector<FaultEvent> all = *best_.plan.schedule;
    for (std::size_t length = 0; length < all.size(); ++length)
      if (try_schedule({all.begin(), all.begin() + static_cast<std::ptrdiff_t>(length)})) break;
    for (std::size_t i = 0; i < best_.plan.schedule->size();) {
      std::vector<FaultEvent> rest = *best_.plan.schedule;
      rest.erase(rest.begin() + static_cast<std::ptrdiff_t>(i));
      if (!try_schedule(std::move(rest))) ++i;
    }
  }
  void window() {
    constexpr std::uint64_t kShortestUs = 10'000;
    while (best_.plan.window_us > kShortestUs)
      if (!try_change([](Plan& p) { p.window_us /= 2; })) return;
  }
  void network() {
    try_change([](Plan& p) { p.network.loss = 0; });
    try_change([](Plan& p) { p.network.duplicate = 0; });
    try_change([](Plan& p) { p.network.slow = 0; });
    try_change([](Plan& p) { p.network.bytes_per_s = 0; });
    try_change([](Plan& p) { p.network.delay_max_us = NetworkFaults{}.delay_max_us; });
  }
  void load() {
    while (best_.plan.bundles_per_client > 1)
      if (!try_change([](Plan& p) { p.bundles_per_client /= 2; })) break;
    try_change([](Plan& p) { p.reads = 0; });
    try_change([](Plan& p) { p.final_power_cut = false; });
  }
  Minimized take() { return std::move(best_); }

 private:
  bool try_schedule(std::vector<FaultEvent> schedule) {
    return try_change([&](Plan& p) { p.schedule = std::move(schedule); });
  }
  // Kept if the same oracle fires; a change that changes nothing is not worth a run.
  template <class Change>
  bool try_change(const Change& change) {
    Plan plan = best_.plan;
    change(plan);
    if (same(plan, best_.plan)) return true;
    Report report = run_(plan);
    ++best_.runs;
    if (report.violations.empty() || oracle_of(report.violations.front()) != oracle_) return false;
    best_.plan = std::move(plan);
    best_.report = std::move(report);
    return true;
  }
  static bool same(const Plan& a, const Plan& b) {
    return a.schedule == b.schedule && a.window_us == b.window_us && a.reads == b.reads &&
           a.final_power_cut == b.final_power_cut && a.bundles_per_client == b.bundles_per_client &&
           a.network == b.network;
  }

  const RunPlan& run_;
  const std::string oracle_;
  Minimized best_;
};

}  // namespace

std::string oracle_of(const std::string& violation) {
  return violation.substr(0, violation.find(' '));
}

Minimized minimize(Plan plan, Report failed, const RunPlan& run) {
  BFTMETA_ASSERT(!failed.violations.empty());
  Search search(std::move(plan), std::move(failed), run);
  search.schedule();
  search.window();
  search.network();
  search.load();
  return search.take();
}

std::string describe(const Minimized& m) {
  const NetworkFaults& net = m.plan.network;
  std::string out = "smallest run that still fails (" + std::to_string(m.runs) + " tried):\n  " +
                    m.report.violations.front() + "\n";
  out += "  " + std::to_string(m.plan.n) + " replicas, " +
         std::to_string(m.plan.bundles_per_client) + " bundles per client, faults for " +
         std::to_string(m.plan.window_us / 1000) + " ms, loss " + std::to_string(net.loss) +
         ", duplicates " + std::to_string(net.duplicate) + ", slow " + std::to_string(net.slow) +
         " per mille, delay up to " + std::to_string(net.delay_max_us) + " us\n";
  for (const auto& [id, make] : m.plan.byzantine)
    out += "  replica " + std::to_string(id) + " is Byzantine\n";
  for (const FaultEvent& event : *m.plan.schedule) out += "  " + event.describe() + "\n";
  return out;
}

}  // namespace bftmeta::sim
