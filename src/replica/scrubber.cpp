#include "replica/scrubber.hpp"

#include <algorithm>

#include "execution/checkpoint.hpp"
#include "transfer/receiver.hpp"

namespace bftmeta::replica {

namespace {
// What a leaf takes in the store beside its bytes, with its share of nodes.
constexpr std::uint64_t kLeafOverhead = 128;
constexpr std::size_t kMaxRotten = 256;  // that wait to be taken; more are found in the next cycle

// Certificate and root came into the store together, and were compared when it was opened.
Status check_root(const tree::Snapshot& snapshot, const tree::Version& version) {
  if (snapshot.generation() == 0 || transfer::is_mixture(snapshot.meta())) return {};
  const auto checkpoint = execution::decode_checkpoint(snapshot.meta());
  if (checkpoint && version.state_root(checkpoint->body.cluster_id, checkpoint->body.sm_version) ==
                        checkpoint->body.state_root)
    return {};
  return fail(Errc::corrupt, "scrub: the root of the state store is not the certified one");
}
}  // namespace

Scrubber::Scrubber(const storage::LmdbPageStore& store, storage::LogCheck log,
                   std::uint64_t bytes_per_s, std::shared_ptr<net::Waker> waker)
    : store_(store),
      log_(std::move(log)),
      usual_(bytes_per_s),
      waker_(std::move(waker)),
      thread_([this] { run(); }) {}

Scrubber::~Scrubber() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Scrubber::begin(std::uint64_t bytes_per_s) {
  {
    const std::lock_guard lock(mutex_);
    once_ = bytes_per_s;
    phase_ = Phase::log_wanted;
    at_ = Key();
    begun_ = true;
  }
  changed_.notify_all();
}

Scrubber::Progress Scrubber::progress() {
  const std::lock_guard lock(mutex_);
  Progress p;
  p.bytes_per_s = rate();
  const std::uint32_t first =
      at_.size() < 2 ? 0 : std::uint32_t{at_.data()[0]} << 8 | at_.data()[1];
  p.permille = first * 1000 / 65'536;
  p.cycles = cycles_;
  p.found = found_;
  return p;
}

std::vector<tree::Subtree> Scrubber::take_rotten() {
  const std::lock_guard lock(mutex_);
  return std::exchange(rotten_, {});
}

std::optional<Error> Scrubber::take_fault() {
  const std::lock_guard lock(mutex_);
  return std::exchange(fault_, std::nullopt);
}

std::uint64_t Scrubber::rate() const {
  const std::uint64_t weekly = (store_.used_bytes() + log_bytes_) / kWeekSeconds;
  const std::uint64_t wanted = once_ != 0 ? once_ : usual_ != 0 ? usual_ : weekly;
  return std::clamp(wanted, kSlowest, kFastest);
}

bool Scrubber::wants_log() {
  const std::lock_guard lock(mutex_);
  return phase_ == Phase::log_wanted;
}

void Scrubber::read_log(std::vector<storage::WrittenSegment> written) {
  const std::lock_guard lock(mutex_);
  if (phase_ != Phase::log_wanted) return;
  log_bytes_ = 0;
  for (const storage::WrittenSegment& segment : written) log_bytes_ += segment.used;
  written_ = std::move(written);
  phase_ = Phase::log;
}

std::vector<storage::LogCheck::Damage> Scrubber::take_log_damage() {
  const std::lock_guard lock(mutex_);
  return std::exchange(log_damage_, {});
}

// A slice, then a pause that makes the rate.
void Scrubber::run() {
  constexpr std::uint64_t kSlicesPerS = 4;
  std::unique_lock lock(mutex_);
  auto pause = std::chrono::microseconds(1'000'000 / kSlicesPerS);
  for (;;) {
    changed_.wait_for(lock, pause, [this] { return stopping_ || begun_; });
    if (stopping_) return;
    begun_ = false;
    const std::uint64_t per_s = rate();
    const std::uint64_t bytes = std::min<std::uint64_t>(per_s / kSlicesPerS, kSliceBytes);
    std::uint64_t read = bytes;
    if (phase_ == Phase::store)
      read = check_store(lock, bytes);
    else if (phase_ == Phase::log)
      read = check_log(lock, bytes);
    pause = std::chrono::microseconds(std::max(read, bytes) * 1'000'000 / per_s);
  }
}

std::uint64_t Scrubber::check_store(std::unique_lock<std::mutex>& lock, std::uint64_t bytes) {
  const Key from = at_;
  lock.unlock();
  auto slice = scrub(from, bytes);
  lock.lock();
  // Else it is an error of LMDB itself: the store says so.
  if (!slice && slice.error().code == Errc::corrupt && !fault_) fault_ = slice.error();
  const std::uint64_t read = slice ? slice->bytes : 0;
  if (slice && phase_ == Phase::store && at_ == from) finish(std::move(*slice));
  return read;
}

void Scrubber::finish(Slice slice) {
  found_ += slice.rotten.size();
  for (tree::Subtree& place : slice.rotten)
    if (rotten_.size() < kMaxRotten) rotten_.push_back(std::move(place));
  at_ = slice.next.value_or(Key());
  if (!slice.next) {
    phase_ = Phase::log_wanted;
    ++cycles_;
    once_ = 0;
  }
  if (!slice.rotten.empty() || !slice.next) waker_->wake();
}

std::uint64_t Scrubber::check_log(std::unique_lock<std::mutex>& lock, std::uint64_t bytes) {
  auto begin = std::exchange(written_, std::nullopt);
  lock.unlock();
  if (begin) log_.begin(std::move(*begin));
  storage::LogCheck::Slice slice = log_.read(bytes);
  lock.lock();
  if (phase_ != Phase::log) return slice.bytes;  // begun anew
  if (!slice.damaged.empty()) waker_->wake();
  std::ranges::move(slice.damaged, std::back_inserter(log_damage_));
  if (slice.done) phase_ = Phase::store;
  return slice.bytes;
}

// On a version of which nothing is in memory, so that even its upper nodes are read.
Result<Scrubber::Slice> Scrubber::scrub(const Key& from, std::uint64_t bytes) const {
  BFTMETA_ASSIGN(auto snapshot, store_.snapshot());
  BFTMETA_ASSIGN(const auto version, tree::Version::open(snapshot, {.pinned_nodes = 0}));
  BFTMETA_TRY(check_root(*snapshot, version));
  Slice slice;
  const Status status = version.read_range(from, std::nullopt, [&](const Key& key, ByteView value) {
    if (slice.bytes >= bytes) {
      slice.next = key;
      return false;
    }
    slice.bytes += kLeafOverhead + key.size() + value.size();
    return true;
  });
  if (status) return slice;
  slice.rotten = version.take_rotten();
  if (slice.rotten.empty()) return tl::make_unexpected(status.error());
  slice.next = slice.rotten.back().region.end();
  return slice;
}

}  // namespace bftmeta::replica
