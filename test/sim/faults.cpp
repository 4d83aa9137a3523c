#include "sim/faults.hpp"

#include <algorithm>
#include <functional>

namespace bftmeta::sim {

namespace {

constexpr const char* kNames[kFaultKinds] = {
    "power-cut", "kill",      "partition", "one-way",    "stall",     "clock-jump", "clock-drift",
    "rot",       "misdirect", "wipe",      "sync-error", "disk-full", "slow-disk",  "outage"};

// Longest outage of a machine or a process in the fault phase; longer ones are scenarios.
constexpr std::uint64_t kMaxDownUs = 800'000;
constexpr std::uint64_t kMaxEpisodeUs = 2'000'000;  // a partition, a stall, a full disk
// Well beyond the accepted skew, well below the validity of what simulated clients sign (50 min).
constexpr std::int64_t kMaxJumpUs = 600'000'000;
constexpr std::int64_t kMaxDriftPpm = 200'000;  // a second gains 0.2 s
constexpr std::int64_t kMaxSlowSyncUs = 400'000;

class Maker {
 public:
  Maker(const FaultCounts& counts, Random random) : counts_(counts), random_(random) {}

  void add(std::uint32_t count, const std::function<FaultEvent()>& make) {
    add(count, make, counts_.window_us);
  }
  void add(std::uint32_t count, const std::function<FaultEvent()>& make, std::uint64_t within_us) {
    for (; count > 0; --count) {
      FaultEvent event = make();
      event.at_us = random_.below(within_us);
      event.seed = random_.next();
      schedule_.push_back(event);
    }
  }
  std::vector<FaultEvent> take() {
    std::ranges::stable_sort(schedule_, {}, &FaultEvent::at_us);
    return std::move(schedule_);
  }

  FaultEvent crash() {
    return {.kind = FaultKind::power_cut,
            .replicas = counts_.crash_all ? most() : one(),
            .for_us = kMaxDownUs};
  }
  FaultEvent kill() { return {.kind = FaultKind::kill, .replicas = most(), .for_us = kMaxDownUs}; }
  FaultEvent partition() {
    return {.kind = FaultKind::partition, .replicas = half(), .for_us = episode()};
  }
  FaultEvent one_way() {
    return {.kind = FaultKind::one_way, .replicas = half(), .others = half(), .for_us = episode()};
  }
  FaultEvent stall() {
    return {.kind = FaultKind::stall, .replicas = half(), .others = half(), .for_us = episode()};
  }
  FaultEvent clock() {
    FaultEvent e{.replicas = one(), .for_us = counts_.window_us};
    const bool jump = random_.chance(500);
    e.kind = jump ? FaultKind::clock_jump : FaultKind::clock_drift;
    e.amount = either_way(jump ? kMaxJumpUs : kMaxDriftPpm);
    return e;
  }
  FaultEvent disk() {
    constexpr FaultKind kKinds[] = {FaultKind::sync_error, FaultKind::disk_full,
                                    FaultKind::slow_disk};
    FaultEvent e{.kind = kKinds[random_.below(3)], .replicas = one(), .for_us = episode()};
    e.amount = static_cast<std::int64_t>(random_.below(kMaxSlowSyncUs));
    return e;
  }
  FaultEvent rot() {
    constexpr FaultKind kKinds[] = {FaultKind::rot, FaultKind::rot, FaultKind::misdirect,
                                    FaultKind::wipe};
    FaultEvent e{.kind = kKinds[random_.below(std::size(kKinds))], .replicas = counts_.rotten};
    if (e.kind == FaultKind::wipe) e.for_us = kMaxDownUs;
    return e;
  }
  FaultEvent outage() {
    return {.kind = FaultKind::outage,
            .replicas = counts_.absent,
            .for_us = counts_.window_us / 4 * 3,
            .amount = random_.chance(500) ? 1 : 0};
  }

 private:
  std::uint32_t one() { return 1U << random_.below(counts_.n); }
  std::uint32_t half() { return static_cast<std::uint32_t>(random_.next()) & all(); }
  std::uint32_t most() {
    std::uint32_t bits = 0;
    for (std::uint32_t r = 0; r < counts_.n; ++r)
      if (random_.chance(600)) bits |= 1U << r;
    return bits;
  }
  std::uint32_t all() const { return (1U << counts_.n) - 1; }
  std::uint64_t episode() { return random_.between(50'000, kMaxEpisodeUs); }
  std::int64_t either_way(std::int64_t most) {
    const auto size = static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(most)));
    return random_.chance(500) ? size : -size;
  }

  const FaultCounts& counts_;
  Random random_;
  std::vector<FaultEvent> schedule_;
};

std::string seconds(std::uint64_t us) {
  return std::to_string(us / 1000) + "." + std::to_string(us % 1000 / 100) + " ms";
}

}  // namespace

const char* fault_name(FaultKind kind) { return kNames[static_cast<std::size_t>(kind)]; }

std::string replica_set(std::uint32_t bits) {
  std::string out = "{";
  for (std::uint32_t r = 0; bits >> r != 0; ++r)
    if ((bits >> r & 1) != 0) out += (out.size() > 1 ? "," : "") + std::to_string(r);
  return out + "}";
}

std::string FaultEvent::describe() const {
  std::string out = "at " + seconds(at_us) + ": " + fault_name(kind) + " " + replica_set(replicas);
  if (kind == FaultKind::one_way || kind == FaultKind::stall) out += " -> " + replica_set(others);
  if (amount != 0) out += " by " + std::to_string(amount);
  if (for_us != 0) out += " for at most " + seconds(for_us);
  return out;
}

std::vector<FaultEvent> make_schedule(const FaultCounts& counts, Random random) {
  Maker m(counts, random);
  m.add(counts.crashes, [&] { return m.crash(); });
  m.add(counts.kills, [&] { return m.kill(); });
  m.add(counts.partitions, [&] { return m.partition(); });
  m.add(counts.one_ways, [&] { return m.one_way(); });
  m.add(counts.stalls, [&] { return m.stall(); });
  m.add(counts.clocks, [&] { return m.clock(); });
  m.add(counts.disks, [&] { return m.disk(); });
  m.add(counts.rotten == 0 ? 0 : counts.rots, [&] { return m.rot(); });
  m.add(
      counts.outages, [&] { return m.outage(); }, counts.window_us / 8);
  return m.take();
}

}  // namespace bftmeta::sim
