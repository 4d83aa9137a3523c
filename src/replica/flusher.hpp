// Materialises certified states into LMDB in the background (protocol §3.4), and what a state
// transfer brings: one write set at a time, in slices, then commit and a forced sync of the
// environment, so that what it reports is durable. Thread-safety: start, poll and the destructor
// from the main thread.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "execution/checkpoint.hpp"
#include "net/poller.hpp"
#include "storage/lmdb_store.hpp"
#include "storage/log.hpp"
#include "tree/flush.hpp"

namespace bftmeta::replica {

struct FlushJob {
  tree::WriteSet set;
  Bytes meta;             // of the generation: a checkpoint with its certificate, or a mixture
  messages::Seq seq = 0;  // of the checkpoint
};

struct FlushDone {
  tree::WriteSet set;
  messages::Seq seq = 0;
  std::shared_ptr<const tree::Snapshot> snapshot;
};

class Flusher {
 public:
  // Records per slice; about 5 ms, after which other threads get the core (architecture §5).
  static constexpr std::size_t kSliceRecords = 2000;

  Flusher(storage::LmdbPageStore& store, storage::Log& log, std::shared_ptr<net::Waker> waker);
  ~Flusher();  // finishes the job under way

  bool busy() const { return busy_; }
  // Precondition: !busy().
  void start(FlushJob job);
  // The finished job, once. An error means that LMDB cannot be written: the replica goes on from
  // its log until that is full, and says so.
  std::optional<Result<FlushDone>> poll();

 private:
  void run();
  Result<FlushDone> flush(FlushJob job);
  void prepare_log();

  storage::LmdbPageStore& store_;
  storage::Log& log_;
  std::shared_ptr<net::Waker> waker_;
  bool busy_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<FlushJob> job_;
  std::optional<Result<FlushDone>> done_;
  bool stopping_ = false;
  // Of the thread: the store found no room, so no spare log segment takes what becomes free.
  bool starved_ = false;
  std::thread thread_;
};

}  // namespace bftmeta::replica
