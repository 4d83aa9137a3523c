#include "client/session.hpp"

#include <algorithm>

namespace bftmeta::client {

namespace {

// Sent to all after at most 250 ms (architecture §5: so that backups see a backlog), of which
// jitter takes up to a fifth.
constexpr Micros kFirstRetry = 200'000;
// A result that is not in the state is asked for so long.
constexpr Micros kLostAfter = 4'000'000;
constexpr Micros kResultRetry = 250'000;
constexpr Micros kLeastRetry = 20'000;    // below it a busy machine looks like a dead replica
constexpr Micros kMostRetry = 4'000'000;  // doubling stops here
constexpr Micros kKeepAlive = 20'000'000;
constexpr Micros kLeaseDoubt = limits::kLeaseUs - 5'000'000;
constexpr Micros kMostBundleGather = 500;
constexpr std::uint64_t kBackupEvery = 16;  // architecture §5: so that backlog is seen
constexpr std::uint64_t kValidityMargin = 60'000'000;
constexpr Micros kStatusInterval = 100'000;
// Refusals that are believed before the bundle goes to everybody: a primary may not claim to be
// busy for ever.
constexpr std::uint32_t kBusyBelieved = 2;
constexpr Micros kMostBusyPause = 100'000;  // both beliefs, with jitter, last 250 ms

const std::size_t kBundleOverhead = encoded_size(messages::Bundle{});

}  // namespace

Session::Session(Core& core, Ask ask)
    : core_(core), ask_(std::move(ask)), window_(limits::kSessionWindow) {}

std::size_t Session::max_operation_size() { return limits::kMaxBundleBytes - kBundleOverhead; }

void Session::submit(PendingOperation operation) {
  queued_bytes_ += operation.size;
  queue_.push_back(std::move(operation));
}

void Session::close() {
  closing_ = true;
  wanted_ = false;
}

std::size_t Session::outstanding() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(flights_, [](const Flight& f) { return !f.resolved; }));
}

bool Session::bundle_is_full() const {
  return queue_.size() >= limits::kMaxOpsPerBundle || queued_bytes_ >= max_operation_size();
}

bool Session::may_send(const Now& now) const {
  if (probing_ || (queue_.empty() && barriers_.empty())) return false;
  // The numbers in flight include answered ones behind an unanswered one: replicas keep results
  // for a window of numbers, not of unanswered bundles.
  if (flights_.size() >= window_) return false;
  if (bundle_is_full()) return true;
  if (!flights_.empty()) return false;
  return now.mono >= gather_until_ || queue_.size() >= gather_count_;
}

void Session::send_next(const Now& now) {
  messages::Bundle bundle;
  Flight flight;
  std::size_t bytes = 0;
  while (!queue_.empty() && bundle.operations.size() < limits::kMaxOpsPerBundle) {
    PendingOperation& next = queue_.front();
    if (bytes + next.size > max_operation_size()) break;
    bytes += next.size;
    bundle.operations.push_back(std::move(next.operation));
    flight.waiters.push_back({std::move(next.done), next.deadline});
    queue_.pop_front();
  }
  queued_bytes_ -= bytes;
  flight.barriers = std::exchange(barriers_, {});
  launch(std::move(flight), std::move(bundle), now);
}

void Session::send_noop(const Now& now) { launch({}, {}, now); }

void Session::launch(Flight flight, messages::Bundle bundle, const Now& now) {
  if (bundle.operations.empty()) {
    bundle.operations.push_back({own_caller(core_.options), schema::Noop{}});
    flight.waiters.push_back({nullptr, kNever});
  }
  flight.number = next_number_++;
  flight.valid_until_us = core_.agreed_time(now) + core_.timeout + kValidityMargin;
  bundle.session_id = id_;
  bundle.client = core_.options.signer->public_key();
  bundle.bundle_no = flight.number;
  bundle.ack_upto = (flights_.empty() ? flight.number : flights_.front().number) - 1;
  bundle.valid_until_us = flight.valid_until_us;
  messages::Submit submit{
      messages::sign_bundle(*core_.options.signer, core_.context.cluster_id, bundle)};
  flight.digest = submit.item.digest();
  flight.frame = messages::encode_frame(core_.context, submit);
  flights_.push_back(std::move(flight));
  send_first(flights_.back(), now);
}

void Session::send_first(Flight& flight, const Now& now) {
  const ReplicaId primary = core_.replicas.primary();
  flight.first_sent = now.mono;
  flight.sends = 1;
  flight.resend_at = now.mono + retry_delay(flight);
  if ((core_.port.connected() & bit(primary)) == 0) {
    if (state_ == State::open) subscribe_more();
    core_.send_all(flight.frame);
    return;
  }
  core_.port.send(primary, flight.frame);
  if (flight.number % kBackupEvery != 0 || flight.number == 0) return;
  const std::uint32_t n = core_.replicas.n();
  const auto turn = static_cast<std::uint32_t>(flight.number / kBackupEvery % (n - 1));
  core_.port.send((primary + 1 + turn) % n, flight.frame);
}

Micros Session::retry_delay(const Flight& flight) {
  const Micros late = core_.bundles.quantile(0.99, kFirstRetry);
  const Micros first = std::clamp(4 * late, kLeastRetry, kFirstRetry);
  const std::uint32_t doublings = std::min<std::uint32_t>(flight.sends - 1, 16);
  return core_.replicas.jittered(std::min(first << doublings, kMostRetry));
}

// A replica answers whom it knows to wait for ever after, so one more is asked at a time.
void Session::subscribe_more() {
  const std::uint32_t n = core_.replicas.n();
  subscribed_ = std::min(subscribed_ + 1, n);
  for (std::uint32_t i = 0; i < subscribed_; ++i)
    core_.send((home_ + i) % n, messages::Subscribe{id_});
}

void Session::retransmit(Flight& flight, const Now& now) {
  ++flight.sends;
  flight.resend_at = now.mono + retry_delay(flight);
  if (flight.busy > 0 && flight.busy <= kBusyBelieved) {
    core_.port.send(core_.replicas.primary(), flight.frame);
    return;
  }
  flight.busy = 0;
  core_.send_all(flight.frame);
}

void Session::retransmit(const Now& now) {
  const bool late = std::ranges::any_of(
      flights_, [&](const Flight& f) { return !f.resolved && now.mono >= f.resend_at; });
  if (!late) return;
  subscribe_more();
  if (now.mono >= status_after_) {  // the primary may be another one by now
    status_after_ = now.mono + kStatusInterval;
    core_.send_all(messages::encode_frame(core_.context, messages::StatusQuery{}));
  }
  bool doubtful = false;
  for (Flight& f : flights_) {
    if (f.resolved || now.mono < f.resend_at) continue;
    retransmit(f, now);
    doubtful = doubtful || f.sends >= 4 || core_.agreed_time(now) > f.valid_until_us;
  }
  if (doubtful) check(now);
}

void Session::keep_alive(const Now& now) {
  if (closing_ || !flights_.empty()) return;
  // Asleep for a lease: what waits must not be sent into a session that may be gone.
  probing_ = now.mono >= last_active_ + kLeaseDoubt;
  if (probing_ || (idle() && now.mono >= last_active_ + kKeepAlive)) send_noop(now);
}

void Session::expire(const Now& now) {
  const auto too_late = [this](const char* what) {
    if (const auto why = turned_away(core_.replicas.n(), core_.port.refused()))
      return Error{Errc::permission, "operation: " + std::string(what) + "; " + *why};
    return Error{Errc::unreachable, "operation: no certified outcome within " +
                                        std::to_string(core_.options.timeout.count()) + " ms; " +
                                        what};
  };
  while (!queue_.empty() && queue_.front().deadline <= now.mono) {
    PendingOperation late = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= late.size;
    if (late.done)
      core_.ready.emplace_back(
          [done = std::move(late.done), error = too_late("it was not sent and will not happen")] {
            done(tl::make_unexpected(error));
          });
  }
  for (Flight& f : flights_)
    for (Waiter& w : f.waiters) {
      if (!w.done || now.mono < w.deadline) continue;
      core_.ready.emplace_back(
          [done = std::exchange(w.done, nullptr), error = too_late("it may still happen")] {
            done(tl::make_unexpected(error));
          });
    }
  const auto expire_barriers = [&](std::vector<Barrier>& barriers) {
    std::erase_if(barriers, [&](Barrier& b) {
      if (now.mono < b.deadline) return false;
      b.done(tl::make_unexpected(too_late("the read was not ordered")), now);
      return true;
    });
  };
  expire_barriers(barriers_);
  for (Flight& f : flights_) expire_barriers(f.barriers);
}

void Session::poll(const Now& now) {
  expire(now);
  switch (state_) {
    case State::none:
      if (closing_ && !idle())
        refuse_queue({Errc::unreachable, "operation: the client is closing; it will not happen"},
                     now);
      if (now.mono >= open_after_ && !closing_ &&
          (wanted_ || !queue_.empty() || !barriers_.empty()))
        begin_open(now);
      break;
    case State::opening:
      if (closing_ && idle())
        state_ = State::none;
      else if (now.mono < opening_.resend_at)
        break;
      else if (core_.agreed_time(now) > opening_.valid_until_us)
        begin_open(now);
      else
        retransmit(opening_, now);
      break;
    case State::open:
      keep_alive(now);
      while (may_send(now)) send_next(now);
      if (closing_ && !close_sent_ && idle()) {
        close_sent_ = true;
        submit({{own_caller(core_.options), schema::CloseSession{}}, 0, nullptr, kNever});
        send_next(now);
      }
      retransmit(now);
      break;
  }
}

Micros Session::next_wake() const {
  Micros wake = kNever;
  const auto at = [&wake](Micros t) { wake = std::min(wake, t); };
  if (!queue_.empty()) at(queue_.front().deadline);
  for (const Barrier& b : barriers_) at(b.deadline);
  if (state_ == State::none && (wanted_ || !queue_.empty() || !barriers_.empty())) at(open_after_);
  if (state_ == State::opening) at(opening_.resend_at);
  if (state_ != State::open) return wake;
  if (!closing_ && idle()) at(last_active_ + kKeepAlive);
  if (!(queue_.empty() && barriers_.empty()) && flights_.empty()) at(gather_until_);
  for (const Flight& f : flights_) {
    if (!f.resolved) at(f.resend_at);
    for (const Waiter& w : f.waiters)
      if (w.done) at(w.deadline);
    for (const Barrier& b : f.barriers) at(b.deadline);
  }
  return wake;
}

Session::Flight* Session::find(const Hash& digest) {
  if (state_ == State::opening && opening_.digest == digest) return &opening_;
  for (Flight& f : flights_)
    if (!f.resolved && f.digest == digest) return &f;
  return nullptr;
}

bool Session::on_reply(ReplicaId from, const messages::Reply& reply, ByteView evidence,
                       const Now& now) {
  Flight* flight = find(reply.request_digest);
  if (flight == nullptr) return false;
  verify::Expected expected;
  expected.request_digest = flight->digest;
  if (flight->number != 0) {
    expected.session_id = id_;
    expected.bundle_no = flight->number;
  }
  const auto verified = verify::verify_reply(reply, expected, core_.certificates);
  if (!verified && core_.outdated(reply.cert)) return true;  // when asked again it has a newer one
  if (!verified) {
    core_.blame(from, reply.cert.body.seq, verified.error(), evidence, now.mono);
    flight->busy = 0;
    flight->resend_at = now.mono;  // somebody else will tell the truth
    return true;
  }
  if (flight->number != 0 && flight->sends > 1) home_ = from;
  if (flight->sends == 1) core_.bundles.add(now.mono - flight->first_sent);
  if (flight->number == 0)
    opened(*verified, now);
  else
    finish(*flight, *verified, now);
  return true;
}

bool Session::on_refusal(ReplicaId from, const messages::Refusal& refusal, const Now& now) {
  Flight* flight = find(refusal.request_digest);
  if (flight == nullptr) return false;
  using Reason = messages::RefusalReason;
  if (flight->number == 0 && refusal.reason == Reason::no_session) {
    strange_to(from, now);
    return true;
  }
  if (refusal.reason == Reason::already_done) flight->gone |= bit(from);
  // A refusal is one replica's word: what the session's record says decides.
  if (refusal.reason != Reason::busy) check(now);
  if (refusal.reason == Reason::busy && from == core_.replicas.primary()) {
    const Micros pause =
        std::clamp<Micros>(Micros{refusal.retry_after_ms} * 1000, 5'000, kMostBusyPause);
    flight->resend_at = now.mono + core_.replicas.jittered(pause);
    if (++flight->busy == 1) window_ = std::max<std::size_t>(1, window_ / 2);
    window_credit_ = 0;
  }
  return true;
}

void Session::on_connected(ReplicaId replica) {
  if (state_ == State::open && replica == home_) core_.send(replica, messages::Subscribe{id_});
  // What was under way when a connection broke is lost: do not wait for the timer.
  if (replica != core_.replicas.primary()) return;
  if (state_ == State::opening) core_.port.send(replica, opening_.frame);
  for (const Flight& f : flights_)
    if (!f.resolved) core_.port.send(replica, f.frame);
}

void Session::follow(const Renumbering& moved, std::uint64_t before, const Now& now) {
  // Items are signed for all epochs: what was executed in the one before is not executed again.
  const auto renew = [&](Flight& f) {
    if (f.resolved) return;
    f.frame = core_.reframed(before, f.frame);
    f.busy = 0;
    f.strange_to = 0;
    f.gone = 0;
    f.resend_at = now.mono;
  };
  if (state_ == State::opening) renew(opening_);
  std::ranges::for_each(flights_, renew);
  if (state_ != State::open) return;
  subscribed_ = std::min(subscribed_, core_.replicas.n());
  if (const auto at = moved.position(home_))
    home_ = *at;
  else
    choose_home(now);
  core_.send(home_, messages::Subscribe{id_});
}

void Session::finish(Flight& flight, const verify::VerifiedReply& reply, const Now& now) {
  using Outcome = schema::BundleOutcome;
  const std::string which = "bundle " + std::to_string(flight.number);
  switch (reply.result.outcome) {
    case Outcome::done:
      if (reply.result.code == schema::Code::ok)
        return succeed(flight, reply.result, reply.seq, now);
      break;  // the number was used up by another bundle, which this client never makes
    case Outcome::expired:
      fail_flight(flight, {Errc::unreachable,
                           "operation: its validity passed before it was ordered; it will not "
                           "happen"});
      return resolved(flight);
    case Outcome::digest_only: return unkept(flight, reply.seq, now);
    case Outcome::result_gone:
      fail_flight(flight, {Errc::stale, "operation: it was executed (" + which +
                                            "), but its result is no longer kept; look at the "
                                            "object"});
      return resolved(flight);
    case Outcome::skipped:  // of one seq only: an earlier number was not done yet
      flight.resend_at = std::min(flight.resend_at, now.mono + kLeastRetry);
      return;
    case Outcome::no_session: check_after_ = 0; return check(now);
    case Outcome::session_opened:
    case Outcome::open_refused: break;
  }
  fail_flight(flight, {Errc::internal, which + ": certified with an outcome that it cannot have"});
  resolved(flight);
}

void Session::succeed(Flight& flight, schema::BundleResult result, messages::Seq seq,
                      const Now& now) {
  if (result.results.size() != flight.waiters.size()) {
    fail_flight(flight, {Errc::internal, "bundle " + std::to_string(flight.number) +
                                             ": certified with another number of results"});
    return resolved(flight);
  }
  const std::size_t count = flight.waiters.size();
  core_.ready.emplace_back(
      [waiters = std::move(flight.waiters), results = std::move(result.results)]() mutable {
        for (std::size_t i = 0; i < waiters.size(); ++i)
          if (waiters[i].done) waiters[i].done(std::move(results[i]));
      });
  flight.waiters.clear();
  for (Barrier& b : std::exchange(flight.barriers, {})) b.done(seq, now);
  last_active_ = std::max(last_active_, flight.first_sent);
  gather_count_ = count;
  gather_until_ =
      count < 2 ? 0 : now.mono + std::min(kMostBundleGather, core_.bundles.quantile(0.5, 0) / 8);
  resolved(flight);
}

// The state keeps small results only; replicas have the others in memory for a while. One of them
// may be asked that was not there then, and has to say no, while the answer of another is on its
// way: so it is lost only when all say so, or after some seconds.
void Session::unkept(Flight& flight, messages::Seq seq, const Now& now) {
  if (flight.gone != core_.replicas.all() && now.mono < flight.first_sent + kLostAfter) {
    flight.resend_at = std::min(flight.resend_at, now.mono + kResultRetry);
    return;
  }
  fail_flight(flight,
              {Errc::stale, "operation: it was executed at sequence number " + std::to_string(seq) +
                                ", but its result is no longer kept; look at the object"});
  resolved(flight);
}

void Session::fail_flight(Flight& flight, const Error& error) {
  core_.ready.emplace_back([waiters = std::move(flight.waiters), error] {
    for (const Waiter& w : waiters)
      if (w.done) w.done(tl::make_unexpected(error));
  });
  flight.waiters.clear();
  // A read that waited for its place has none now; another bundle gives it one.
  for (Barrier& b : std::exchange(flight.barriers, {})) barriers_.push_back(std::move(b));
}

void Session::resolved(Flight& flight) {
  flight.resolved = true;
  flight.frame = {};
  probing_ = false;
  checks_ = 0;
  last_active_ = std::max(last_active_, flight.first_sent);
  if (++window_credit_ >= 16 && window_ < limits::kSessionWindow) {
    window_credit_ = 0;
    ++window_;
  }
  while (!flights_.empty() && flights_.front().resolved) flights_.pop_front();
  if (close_sent_ && flights_.empty()) drop_session();
}

void Session::fail_all(const Error& error, const Now& now) {
  for (Flight& f : flights_) fail_flight(f, error);
  refuse_queue(error, now);
}

}  // namespace bftmeta::client
