#include "replica/block_keeper.hpp"

#include <chrono>

#include "net/auth.hpp"
#include "replica/log.hpp"

namespace bftmeta::replica {

namespace {

// The links are looked after at least so often.
constexpr std::uint64_t kTurnUs = 250'000;
constexpr std::size_t kMaxRecordFile = 4096;

std::uint64_t mono_us() { return static_cast<std::uint64_t>(net::steady_us()); }

std::uint64_t wall_s() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(
                                        std::chrono::system_clock::now().time_since_epoch())
                                        .count());
}

}  // namespace

crypto::Context block_context(const Hash& cluster_id) { return {cluster_id, 0}; }

BlockKeeperOptions block_keeper_options(const Setup& setup, const storage::DataDirectory& directory,
                                        const config::Config& config, messages::ReplicaId self) {
  BlockKeeperOptions options;
  options.self = self;
  options.config = config;
  options.cluster = block_context(setup.genesis.cluster_id());
  // Below the blocks: who removes them removes it, too.
  options.record_path = directory.blocks_path() + "/pass";
  options.bytes_per_second = setup.settings.block_fetch_rate;
  options.interval_us = std::uint64_t{setup.settings.block_check_interval_s} * 1'000'000;
  return options;
}

Result<std::unique_ptr<BlockKeeper>> BlockKeeper::open(const net::Context& context,
                                                       const crypto::LinkKey& key,
                                                       storage::FileSystem& fs,
                                                       blocks::BlockDirectory& directory,
                                                       BlockKeeperOptions options) {
  std::unique_ptr<BlockKeeper> keeper(
      new BlockKeeper(context, key, fs, directory, std::move(options)));
  std::vector<std::optional<net::Destination>> members;
  for (const config::Replica& r : keeper->options_.config.replicas) {
    auto& destination = members.emplace_back();
    if (r.id != keeper->options_.self) destination = {r.host, r.block_port(), r.link_key};
  }
  BFTMETA_TRY(keeper->links_.lead_to(members).status);
  keeper->thread_ = std::thread([raw = keeper.get()] { raw->run(); });
  return keeper;
}

BlockKeeper::BlockKeeper(const net::Context& context, const crypto::LinkKey& key,
                         storage::FileSystem& fs, blocks::BlockDirectory& directory,
                         BlockKeeperOptions options)
    : fs_(fs),
      directory_(directory),
      options_(std::move(options)),
      links_(context, key, net::block_link_options()) {}

BlockKeeper::~BlockKeeper() { stop(); }

void BlockKeeper::stop() {
  stopping_ = true;
  links_.waker()->wake();
  if (thread_.joinable()) thread_.join();
}

std::optional<refill::Rest> BlockKeeper::end() {
  stop();
  if (!refill_) return std::nullopt;  // the thread came to nothing
  take_news(mono_us());
  return refill_->rest();
}

void BlockKeeper::publish(tree::Version version, Machine::ChangedExtents changed) {
  // Declared before the lock: the old version is destroyed outside of it.
  auto shared = std::make_shared<const tree::Version>(std::move(version));
  const std::lock_guard lock(mutex_);
  version_.swap(shared);
  changed_.lost = changed_.lost || changed.lost || changed_.keys.size() > Machine::kMaxExtents;
  if (changed_.lost) return changed_.keys.clear();
  changed_.keys.insert(changed_.keys.end(), changed.keys.begin(), changed.keys.end());
}

void BlockKeeper::transferred() {
  std::shared_ptr<const tree::Version> old;
  {
    const std::lock_guard lock(mutex_);
    version_.swap(old);
    transferred_ = true;
    complete_ = false;
    missed_.clear();
    changed_ = {};
  }
  links_.waker()->wake();
}

void BlockKeeper::missed(const Hash& digest) {
  {
    const std::lock_guard lock(mutex_);
    if (missed_.size() >= refill::Refill::kMaxUrgent) return;
    missed_.push_back(digest);
  }
  links_.waker()->wake();
}

void BlockKeeper::check_all(std::uint64_t bytes_per_second) {
  {
    const std::lock_guard lock(mutex_);
    check_rate_ = bytes_per_second;
  }
  links_.waker()->wake();
}

messages::BlocksProgress BlockKeeper::progress() const {
  const std::lock_guard lock(mutex_);
  return progress_;
}

// A record that is not there or not whole means: look at everything.
std::optional<refill::PassRecord> BlockKeeper::read_record() {
  const auto file = storage::read_file(fs_, options_.record_path, kMaxRecordFile);
  if (!file) {
    if (file.error().code != Errc::not_found) say(true, file.error().message);
    return std::nullopt;
  }
  auto record = refill::decode_record(*file);
  if (!record) {
    say(true, options_.record_path + ": " + record.error().message +
                  "; all blocks are looked for from the beginning");
    return std::nullopt;
  }
  return std::move(*record);
}

void BlockKeeper::run() {
  refill::Options options;
  options.self = options_.self;
  options.n = options_.config.n();
  options.quorum = options_.config.quorum();
  options.bytes_per_second = options_.bytes_per_second;
  options.interval_us = options_.interval_us;
  refill_.emplace(options, *this, read_record(), mono_us(), options_.rest);
  while (!stopping_) {
    const std::uint64_t before = mono_us();
    const std::uint64_t due = std::min(refill_->deadline(), before + kTurnUs);
    links_.wait(std::chrono::microseconds(due > before ? due - before : 0));
    const std::uint64_t now = mono_us();
    links_.receive([&](std::size_t from, ByteView message) {
      receive(static_cast<messages::ReplicaId>(from), message, now);
    });
    for (messages::ReplicaId id = 0; id < links_.size(); ++id)
      refill_->connected(id, links_.state(id) == net::LinkState::connected, now);
    take_news(now);
    refill_->turn(now, wall_s());
    links_.flush();
    const auto progress = refill_->progress(mono_us());
    const std::lock_guard lock(mutex_);
    progress_ = progress;
    complete_ = refill_->complete() && !transferred_;
  }
}

void BlockKeeper::take_news(std::uint64_t now_us) {
  std::vector<Hash> missed;
  Machine::ChangedExtents changed;
  bool transferred = false;
  std::uint64_t check_rate = 0;
  {
    const std::lock_guard lock(mutex_);
    missed.swap(missed_);
    changed = std::exchange(changed_, {});
    transferred = std::exchange(transferred_, false);
    check_rate = std::exchange(check_rate_, 0);
  }
  if (transferred) refill_->transferred(now_us);
  if (changed.lost)
    refill_->changed_unknown(now_us);
  else
    refill_->changed(changed.keys, now_us);
  for (const Hash& digest : missed) refill_->missed(digest, now_us);
  if (check_rate != 0) refill_->check_all(check_rate, now_us);
}

void BlockKeeper::receive(messages::ReplicaId from, ByteView message, std::uint64_t now_us) {
  auto reply = messages::decode_block_reply_frame(options_.cluster, message);
  if (!reply)
    log_line(LogLevel::debug,
             "block port of replica " + std::to_string(from) + ": " + reply.error().message);
  else
    refill_->on(from, std::move(*reply), now_us);
}

Result<refill::Slice> BlockKeeper::named(const Key& cursor) {
  const auto newest = version();
  if (!newest) return fail(Errc::stale, "no certified version yet");
  return refill::named_blocks(*newest, cursor);
}

Result<std::optional<refill::NamedBlock>> BlockKeeper::named_at(const Key& extent) {
  const auto newest = version();
  if (!newest) return fail(Errc::stale, "no certified version yet");
  return refill::named_at(*newest, extent);
}

std::shared_ptr<const tree::Version> BlockKeeper::version() const {
  const std::lock_guard lock(mutex_);
  return version_;
}

Result<bool> BlockKeeper::holds(const Hash& digest, bool thorough) {
  return thorough ? directory_.has(digest) : directory_.named(digest);
}

// What does not fit the link's queue is asked for again, of somebody else.
void BlockKeeper::ask(messages::ReplicaId to, const Hash& digest) {
  links_.send(to, messages::encode_frame(options_.cluster, messages::GetBlock{digest}));
}

std::vector<Status> BlockKeeper::keep(const std::vector<refill::Fetcher::Keep>& blocks) {
  std::vector<blocks::BlockDirectory::Named> group;
  group.reserve(blocks.size());
  for (const auto& block : blocks) group.push_back({block.digest, block.content});
  return directory_.put_group(group);
}

void BlockKeeper::remember(const refill::PassRecord& record) {
  if (const Status written =
          storage::write_file(fs_, options_.record_path, refill::encode_record(record));
      !written)
    say(true, written.error().message);
}

void BlockKeeper::say(bool warning, const std::string& line) {
  log_line(warning ? LogLevel::warn : LogLevel::info, line);
}

}  // namespace bftmeta::replica
