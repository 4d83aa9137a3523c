// What goes wrong in a run, as data: a schedule of single faults and the rates of the network's
// misbehaviour. Both follow from a seed, and both can be made smaller when a run failed
// (minimize.hpp). Thread-safety: plain values.
#pragma once

#include <string>
#include <vector>

#include "sim/random.hpp"

namespace bftmeta::sim {

// Rates are per mille of the messages that are sent while faults are on.
struct NetworkFaults {
  std::uint32_t loss = 0;
  std::uint32_t duplicate = 0;
  std::uint64_t delay_min_us = 50;
  std::uint64_t delay_max_us = 500;
  std::uint32_t slow = 0;  // messages that take slow_us
  std::uint64_t slow_us = 60'000;
  std::uint32_t corrupt = 0;      // of the frames of a sender whose link authenticates nothing
  std::uint64_t bytes_per_s = 0;  // of each link; 0: no limit

  friend bool operator==(const NetworkFaults&, const NetworkFaults&) = default;
};

enum class FaultKind : std::uint8_t {
  power_cut,    // `replicas` lose what was not synced; each starts again within for_us
  kill,         // the processes end, their machines go on
  partition,    // nothing passes between `replicas` and the others
  one_way,      // nothing from `replicas` reaches `others`
  stall,        // what `replicas` send to `others` waits, and arrives at once in the end
  clock_jump,   // by amount (us); corrected after for_us
  clock_drift,  // by amount (ppm); corrected after for_us
  rot,          // a bit of the log flips
  misdirect,    // the next write lands elsewhere
  wipe,         // power cut, and a new disk under the old key
  sync_error,   // the next sync fails
  disk_full,    // no space for for_us
  slow_disk,    // every sync takes amount (us) longer, for for_us
  outage,  // one is down for for_us (amount 1: its page store is lost) while all others restart
           // twice, one after the other: with small logs they let go of what it lacks
};
constexpr std::size_t kFaultKinds = 14;
const char* fault_name(FaultKind kind);

struct FaultEvent {
  std::uint64_t at_us = 0;  // after the start of the run
  FaultKind kind = FaultKind::power_cut;
  std::uint32_t replicas = 0;  // bitmap
  std::uint32_t others = 0;    // bitmap
  std::uint64_t for_us = 0;
  std::int64_t amount = 0;
  std::uint64_t seed = 0;  // of what is decided when it happens

  std::string describe() const;
  friend bool operator==(const FaultEvent&, const FaultEvent&) = default;
};

// How many of each kind a schedule gets.
struct FaultCounts {
  std::uint32_t n = 4;
  std::uint64_t window_us = 5'000'000;
  std::uint32_t crashes = 0;
  bool crash_all = false;  // sets may be all replicas at once
  std::uint32_t kills = 0;
  std::uint32_t partitions = 0;
  std::uint32_t one_ways = 0;
  std::uint32_t stalls = 0;
  std::uint32_t clocks = 0;   // jumps and drifts
  std::uint32_t disks = 0;    // sync errors, full and slow disks
  std::uint32_t rots = 0;     // rot, misdirected writes and lost disks, of `rotten` only
  std::uint32_t rotten = 0;   // bitmap: replicas whose disk may lie
  std::uint32_t outages = 0;  // of `absent`, early, for most of the window
  std::uint32_t absent = 0;   // bitmap
};

// In order of time.
std::vector<FaultEvent> make_schedule(const FaultCounts& counts, Random random);

// "{0,2}"
std::string replica_set(std::uint32_t bits);

}  // namespace bftmeta::sim
