#include "replica/flusher.hpp"

#include "base/assert.hpp"

namespace bftmeta::replica {

Flusher::Flusher(storage::LmdbPageStore& store, storage::Log& log,
                 std::shared_ptr<net::Waker> waker)
    : store_(store), log_(log), waker_(std::move(waker)), thread_([this] { run(); }) {}

Flusher::~Flusher() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Flusher::start(FlushJob job) {
  BFTMETA_ASSERT(!busy_);
  busy_ = true;
  {
    const std::lock_guard lock(mutex_);
    job_ = std::move(job);
  }
  changed_.notify_all();
}

std::optional<Result<FlushDone>> Flusher::poll() {
  if (!busy_) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (done_) busy_ = false;
  return std::exchange(done_, std::nullopt);
}

void Flusher::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    constexpr std::chrono::milliseconds kPrepareEvery{200};
    if (!changed_.wait_for(lock, kPrepareEvery, [this] { return stopping_ || job_.has_value(); })) {
      lock.unlock();
      if (!starved_) prepare_log();
      lock.lock();
      continue;
    }
    if (!job_) return;
    FlushJob job = std::move(*job_);
    job_.reset();
    lock.unlock();
    auto result = flush(std::move(job));
    starved_ = !result && result.error().code == Errc::disk_full;
    lock.lock();
    done_ = std::move(result);
    waker_->wake();
  }
}

// An error here is not lost: the commit that needs the segment meets it again.
void Flusher::prepare_log() {
  while (true) {
    const auto more = log_.prepare_space();
    if (!more || !*more) return;
  }
}

Result<FlushDone> Flusher::flush(FlushJob job) {
  BFTMETA_ASSIGN(auto writer, store_.begin());
  while (true) {
    BFTMETA_ASSIGN(const bool all, job.set.write_some(*writer, kSliceRecords));
    if (all) break;
    std::this_thread::yield();
  }
  BFTMETA_ASSIGN(auto snapshot, writer->commit(job.set.root_record(), job.meta));
  writer.reset();
  BFTMETA_TRY(store_.sync());
  return FlushDone{std::move(job.set), job.seq, std::move(snapshot)};
}

}  // namespace bftmeta::replica
