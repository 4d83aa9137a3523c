// Reads all of the log and of the state store again and again, at a set rate, on a thread of its
// own (protocol §7.8): the groups of the log; leaves in key order, each with its path from the
// root, compared with the hashes that their parents commit to, up to the root of a certificate.
// Slices of some milliseconds, each on the newest generation, so that no reader of the store lives
// long; a slice goes on where the last one ended. Thread-safety: all functions from the main
// thread.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "net/poller.hpp"
#include "storage/lmdb_store.hpp"
#include "storage/log_check.hpp"
#include "tree/version.hpp"

namespace bftmeta::replica {

class Scrubber {
 public:
  static constexpr std::uint64_t kWeekSeconds = 7 * 86'400;
  static constexpr std::uint64_t kSlowest = 16'384;            // bytes per second
  static constexpr std::uint64_t kFastest = 64 * 1024 * 1024;  // some percent of a core
  static constexpr std::size_t kSliceBytes = 256 * 1024;

  struct Progress {
    std::uint64_t bytes_per_s = 0;
    std::uint32_t permille = 0;  // of the key space, about, in this cycle
    std::uint64_t cycles = 0;    // that ended since the start
    std::uint64_t found = 0;     // damaged places of the store
  };

  // `bytes_per_s`: 0 for as much as reads everything in a week.
  Scrubber(const storage::LmdbPageStore& store, storage::LogCheck log, std::uint64_t bytes_per_s,
           std::shared_ptr<net::Waker> waker);
  ~Scrubber();

  // One cycle from the beginning at this rate, kSlowest to kFastest, then as before.
  void begin(std::uint64_t bytes_per_s);
  Progress progress();
  // Found since the last call.
  std::vector<tree::Subtree> take_rotten();
  // It has come to the log, and waits to be told what there is to read.
  bool wants_log();
  void read_log(std::vector<storage::WrittenSegment> written);
  std::vector<storage::LogCheck::Damage> take_log_damage();
  // The stored root is not the one of its own checkpoint: the store is of no use.
  std::optional<Error> take_fault();

 private:
  struct Slice {
    std::uint64_t bytes = 0;
    std::optional<Key> next;  // nullopt: the end was reached
    std::vector<tree::Subtree> rotten;
  };

  enum class Phase : std::uint8_t { log_wanted, log, store };

  void run();
  std::uint64_t rate() const;  // with the lock held
  // Of about so many bytes; how many it read. The lock is given up meanwhile.
  std::uint64_t check_store(std::unique_lock<std::mutex>& lock, std::uint64_t bytes);
  std::uint64_t check_log(std::unique_lock<std::mutex>& lock, std::uint64_t bytes);
  void finish(Slice slice);  // with the lock held
  Result<Slice> scrub(const Key& from, std::uint64_t bytes) const;

  const storage::LmdbPageStore& store_;
  storage::LogCheck log_;  // of the thread
  const std::uint64_t usual_;
  std::shared_ptr<net::Waker> waker_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  std::uint64_t once_ = 0;  // rate of this cycle, 0: the usual one
  Phase phase_ = Phase::log_wanted;
  bool begun_ = false;  // anew, and at once
  Key at_;
  std::optional<std::vector<storage::WrittenSegment>> written_;  // for the thread to begin with
  std::uint64_t log_bytes_ = 0;                                  // as of the last pass
  std::vector<storage::LogCheck::Damage> log_damage_;
  std::uint64_t cycles_ = 0;
  std::uint64_t found_ = 0;
  std::vector<tree::Subtree> rotten_;
  std::optional<Error> fault_;
  std::thread thread_;
};

}  // namespace bftmeta::replica
