#include "client/io_thread.hpp"

#include <cstdio>
#include <ctime>

#include "client/state_file.hpp"

namespace bftmeta::client {

namespace {

constexpr Micros kLongestWait = 250'000;
constexpr Micros kSaveInterval = 5'000'000;
constexpr Micros kBusyInterval = 100'000;
constexpr std::chrono::milliseconds kClosingPatience(1000);

Micros clock_us(clockid_t clock) {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<Micros>(t.tv_sec) * 1'000'000 + static_cast<Micros>(t.tv_nsec) / 1000;
}

// Boot time: a suspended machine's leases run out like anybody's.
Now now() { return {clock_us(CLOCK_BOOTTIME), clock_us(CLOCK_REALTIME)}; }

std::uint64_t random_seed() {
  std::array<std::uint8_t, 8> bytes{};
  crypto::random_bytes(bytes);
  return load_be64(bytes.data());
}

}  // namespace

Result<std::unique_ptr<IoThread>> IoThread::start(Options options,
                                                  std::unique_ptr<Transport> transport) {
  if (!options.on_fault)
    options.on_fault = [](const Fault& f) {
      std::fprintf(stderr, "replica %u, sequence number %llu: %s; not read from for ten minutes\n",
                   f.replica, static_cast<unsigned long long>(f.seq), f.why.c_str());
    };
  if (!options.on_unsaved)
    options.on_unsaved = [](const Error& why) {
      std::fprintf(stderr, "%s; what this client has seen is not remembered\n",
                   why.message.c_str());
    };
  std::unique_ptr<IoThread> io(new IoThread(std::move(options), std::move(transport)));
  if (!io->options_.state_file.empty()) {
    BFTMETA_ASSIGN(const Bytes state, load_state(io->options_.state_file));
    if (const Status restored = io->engine_.restore(state, now()); !restored)
      return fail(restored.error().code,
                  "state file '" + io->options_.state_file + "': " + restored.error().message +
                      "; without the file a client begins at the genesis, and may be shown what is "
                      "older than what it had seen");
    io->saved_seq_ = io->engine_.certificates().newest_seq();
    io->saved_epoch_ = io->engine_.config().epoch;
  }
  io->thread_ = std::thread([raw = io.get()] { raw->run(); });
  return io;
}

IoThread::IoThread(Options options, std::unique_ptr<Transport> transport)
    : options_(std::move(options)),
      transport_(std::move(transport)),
      engine_(options_, verifier_, *transport_, random_seed()),
      members_(engine_.config().n()),
      epoch_(engine_.config().epoch),
      saved_epoch_(epoch_) {}

IoThread::~IoThread() { std::ignore = drain(0); }

bool IoThread::post(Task task) {
  bool first = false;
  {
    const std::lock_guard lock(mutex_);
    if (ending_) return false;
    first = tasks_.empty();
    tasks_.push_back(std::move(task));
  }
  if (first && std::this_thread::get_id() != thread_.get_id()) transport_->wake();
  return true;
}

void IoThread::watch(std::function<bool(const Engine&)> watcher) {
  post([this, watcher = std::move(watcher)](Engine&, const Now&) mutable {
    watchers_.push_back(std::move(watcher));
  });
}

void IoThread::watch_members(std::function<void(const config::Config&)> changed) {
  post([this, changed = std::move(changed)](Engine& engine, const Now&) mutable {
    changed(engine.config());
    member_watchers_.push_back(std::move(changed));
  });
}

Status IoThread::drain(Micros timeout) {
  const std::lock_guard lock(join_mutex_);
  if (thread_.joinable()) {
    drain_until_ = now().mono + timeout;
    transport_->wake();
    thread_.join();
  }
  if (!save_status_) return save_status_;
  if (!drained_)
    return fail(Errc::unreachable,
                "close: not everything was finished in time; what was left has "
                "been answered with an error");
  return {};
}

void IoThread::take_tasks(const Now& now) {
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(tasks_);
  }
  for (Task& task : tasks) task(engine_, now);
}

void IoThread::run_ready() {
  for (const auto& callback : engine_.take_ready()) callback();
}

void IoThread::note_connections() {
  const config::Config& config = engine_.config();
  if (epoch_ != config.epoch) {  // its bits are of other members: all of them are new
    epoch_ = config.epoch;
    members_ = config.n();
    connected_ = 0;
    save_after_ = 0;
    for (const auto& changed : member_watchers_) changed(config);
  }
  const ReplicaSet connected = transport_->connected();
  for (ReplicaId r = 0; r < config.n(); ++r)
    if ((connected & ~connected_ & bit(r)) != 0) engine_.on_connected(r);
  connected_ = connected;
  refused_ = transport_->refused();
}

void IoThread::save_state(const Now& now, bool at_once) {
  const messages::Seq newest = engine_.certificates().newest_seq();
  const std::uint64_t epoch = engine_.config().epoch;
  const bool saved = newest == saved_seq_ && epoch == saved_epoch_ && save_status_;
  if (options_.state_file.empty() || saved) return;
  if (!at_once && now.mono < save_after_) return;
  Status stored = store_state(options_.state_file, engine_.certificates().save(),
                              at_once ? kClosingPatience : std::chrono::milliseconds(0));
  const bool later = !stored && stored.error().code == Errc::busy && !at_once;
  save_after_ = now.mono + (later ? kBusyInterval : kSaveInterval);
  if (later) return;
  if (!stored && save_status_) options_.on_unsaved(stored.error());
  save_status_ = std::move(stored);
  saved_seq_ = newest;
  saved_epoch_ = epoch;
}

Micros IoThread::wait_time(const Now& now) const {
  const Micros wake = std::min(engine_.next_wake(), drain_until_.load());
  if (wake <= now.mono) return 0;
  return std::min(wake - now.mono, kLongestWait);
}

void IoThread::run() {
  bool closing = false;
  for (;;) {
    Now turn = now();
    transport_->receive(
        [&](ReplicaId from, ByteView frame) { engine_.on_frame(from, frame, turn); });
    take_tasks(turn);
    note_connections();
    engine_.poll(turn);
    transport_->flush();
    run_ready();
    // Callbacks often ask for more: it goes out in this turn, together.
    take_tasks(turn);
    engine_.poll(turn);
    transport_->flush();
    run_ready();
    std::erase_if(watchers_, [&](const auto& watcher) { return watcher(engine_); });
    save_state(turn, false);

    turn = now();
    const Micros until = drain_until_.load();
    if (until != kNever) {
      if (!closing) {
        closing = true;
        const std::lock_guard lock(mutex_);
        ending_ = true;
      } else {
        drained_ = engine_.closed();
        if (drained_ || turn.mono >= until) break;
      }
      take_tasks(turn);
      engine_.close();
      engine_.poll(turn);
      transport_->flush();
    }
    transport_->wait(wait_time(turn));
  }
  engine_.fail_all({Errc::unreachable, "the client was closed before there was an outcome"}, now());
  run_ready();
  watchers_.clear();
  member_watchers_.clear();
  save_state(now(), true);
}

}  // namespace bftmeta::client
