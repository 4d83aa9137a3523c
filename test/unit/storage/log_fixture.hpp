// A writer of the log as consensus is one: each group holds a vote and a batch, the votes of the
// last kLive groups are live control state, batches are flushed some groups later. It knows what
// was acknowledged, and checks what a reopened log says against that.
#pragma once

#include <doctest/doctest.h>

#include "sim/disk.hpp"
#include "storage/log.hpp"

namespace bftmeta::storage::test {

inline constexpr std::uint8_t kVote = 1;
inline constexpr std::uint8_t kBatch = 2;
inline constexpr std::uint64_t kLive = 8;
inline constexpr std::uint64_t kFlushLag = 5;
inline const std::string kDirectory = "log";

inline LogSecret secret() {
  LogSecret s;
  s.fill(0x5a);
  return s;
}

inline LogOptions small_options() { return {.segment_bytes = 64 << 10, .retain_bytes = 128 << 10}; }

inline Hash digest_of(std::uint64_t seq) {
  Hash h{};
  store_be64(h.data(), seq);
  return h;
}

inline Record vote(std::uint64_t seq) {
  return {kVote, RecordClass::control, seq, std::nullopt, to_bytes("vote " + std::to_string(seq))};
}

inline Record batch(std::uint64_t seq) {
  const std::size_t size = 100 + static_cast<std::size_t>(seq * 2654435761ULL % 9000);
  Bytes payload(size, static_cast<std::uint8_t>(seq));
  return {kBatch, RecordClass::body, seq, digest_of(seq), std::move(payload)};
}

// The id of the oldest segment in the log.
inline std::uint64_t oldest_segment(sim::SimulatedDisk& disk) {
  const auto names = disk.list(kDirectory);
  const auto it =
      std::ranges::find_if(*names, [](const std::string& n) { return n.starts_with("log-"); });
  return it == names->end() ? 0 : std::stoull(it->substr(4), nullptr, 16);
}

class Writer {
 public:
  explicit Writer(sim::SimulatedDisk& disk, LogOptions options = small_options())
      : disk_(disk), options_(options) {}

  Status create() { return Log::create(disk_, kDirectory, secret()); }

  Status open() {
    log.reset();
    auto opened = Log::open(disk_, kDirectory, options_, secret(), flushed);
    if (!opened) return tl::make_unexpected(opened.error());
    log = std::move(opened->log);
    recovered = std::move(opened->recovered);
    // Tests that do not write by step() do their own checks.
    if (expect_damage || appended == 0) return set_up();
    check_recovered();
    for (const Record& r : recovered.records) (r.kind == kVote ? votes : batches).insert(r.seq);
    return set_up();
  }

  Status set_up() {
    log->set_state_provider([this] { return state(); });
    return {};
  }

  // One more group.
  Status step() {
    const std::uint64_t seq = ++appended;
    log->append(vote(seq));
    log->append(batch(seq));
    const auto done = log->commit();
    if (!done) return tl::make_unexpected(done.error());
    acknowledged = seq;
    votes.insert(seq);
    batches.insert(seq);
    flushed = std::max(flushed, seq > kFlushLag ? seq - kFlushLag : 0);
    log->set_flushed(flushed);
    return {};
  }

  Status steps(std::uint64_t count) {
    for (std::uint64_t i = 0; i < count; ++i) BFTMETA_TRY(step());
    return {};
  }

  bool has(const Record& record) const {
    return std::ranges::find(recovered.records, record) != recovered.records.end();
  }
  bool has_vote(std::uint64_t seq) const { return has(vote(seq)); }

  // Everything acknowledged and live is there, nothing is there that was not written.
  void check_recovered() const {
    CHECK(recovered.tail != LogTail::rot);
    CHECK_FALSE(recovered.control_lost);
    CHECK_FALSE(recovered.bodies_lost);
    CHECK(recovered.damage.empty());
    for (auto it = votes.lower_bound(first_live(appended)); it != votes.end(); ++it)
      CHECK(has_vote(*it));
    for (auto it = batches.upper_bound(flushed); it != batches.end(); ++it) CHECK(has(batch(*it)));
    for (const Record& r : recovered.records)
      CHECK((r.seq <= appended && (r == vote(r.seq) || r == batch(r.seq))));
  }

  static std::uint64_t first_live(std::uint64_t newest) {
    return newest > kLive ? newest - kLive : 1;
  }

  std::unique_ptr<Log> log;
  RecoveredLog recovered;
  std::uint64_t appended = 0;
  std::uint64_t acknowledged = 0;
  std::uint64_t flushed = 0;
  bool expect_damage = false;
  // What must be there: acknowledged, or recovered once and therefore believed.
  std::set<std::uint64_t> votes;
  std::set<std::uint64_t> batches;

 private:
  std::vector<Record> state() const {
    std::vector<Record> out;
    for (auto it = votes.lower_bound(first_live(appended)); it != votes.end(); ++it)
      out.push_back(vote(*it));
    if (appended != 0 && !votes.contains(appended)) out.push_back(vote(appended));
    return out;
  }

  sim::SimulatedDisk& disk_;
  LogOptions options_;
};

}  // namespace bftmeta::storage::test
