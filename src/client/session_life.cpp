// How a session begins and ends: SESSION-OPEN, doubt, and what becomes of what was in flight.
#include <bit>

#include "client/session.hpp"

namespace bftmeta::client {

namespace {

constexpr std::uint64_t kOpenValidity = 600'000'000;  // of a SESSION-OPEN; execution allows 1 h
constexpr Micros kReopenPause = 1'000'000;
constexpr Micros kCheckInterval = 250'000;
// A bundle whose validity ended this long ago, by agreed time, and which the session record does
// not know, blocks the session.
constexpr std::uint64_t kStuckAfter = 5'000'000;

}  // namespace

void Session::begin_open(const Now& now) {
  messages::SessionOpen open;
  open.client = core_.options.signer->public_key();
  crypto::random_bytes(open.nonce);
  open.valid_until_us = core_.agreed_time(now) + kOpenValidity;
  messages::Submit submit{
      messages::sign_session_open(*core_.options.signer, core_.context.cluster_id, open)};
  opening_ = {};
  opening_.digest = submit.item.digest();
  opening_.valid_until_us = open.valid_until_us;
  opening_.frame = messages::encode_frame(core_.context, submit);
  state_ = State::opening;
  send_first(opening_, now);
}

void Session::opened(const verify::VerifiedReply& reply, const Now& now) {
  if (reply.result.outcome == schema::BundleOutcome::open_refused) {
    const schema::Code code = reply.result.code;
    const Errc errc = code == schema::Code::no_space ? Errc::busy : Errc::permission;
    return open_refused(
        {errc, "session: the cluster refused to open one (" + std::string(schema::code_name(code)) +
                   "); is this client's key registered?"},
        now);
  }
  if (reply.result.outcome != schema::BundleOutcome::session_opened) {
    state_ = State::none;  // expired on the way: a new one is signed at once
    return;
  }
  state_ = State::open;
  refusal_.reset();
  id_ = reply.result.session_id;
  next_number_ = 1;
  window_ = limits::kSessionWindow;
  last_active_ = opening_.first_sent;
  subscribed_ = 1;
  choose_home(now);
  core_.send(home_, messages::Subscribe{id_});
}

void Session::choose_home(const Now& now) {
  home_ = id_[0] % core_.replicas.n();
  for (std::uint32_t i = 0; i < core_.replicas.n(); ++i) {
    const ReplicaId r = (home_ + i) % core_.replicas.n();
    if (core_.replicas.blacklisted(r, now.mono) || (core_.port.connected() & bit(r)) == 0) continue;
    home_ = r;
    return;
  }
}

// One replica may lie, and others may lag behind the registration. When it is certified, f + 1
// correct replicas know it; so 2f + 1 that do not are proof that it was not.
void Session::strange_to(ReplicaId replica, const Now& now) {
  opening_.strange_to |= bit(replica);
  const std::uint32_t n = core_.replicas.n();
  const auto count = static_cast<std::uint32_t>(std::popcount(opening_.strange_to));
  if (count < n - core_.replicas.f()) {
    if (opening_.sends == 1) opening_.resend_at = now.mono;  // what do the others say?
    return;
  }
  open_refused({Errc::permission, "session: " + std::to_string(count) + " of " + std::to_string(n) +
                                      " replicas do not know the sign key of this client; is it "
                                      "registered there (bftadm client add)?"},
               now);
}

void Session::open_refused(Error error, const Now& now) {
  state_ = State::none;
  open_after_ = now.mono + core_.replicas.jittered(kReopenPause);
  refuse_queue(error, now);
  refusal_ = std::move(error);
}

void Session::refuse_queue(const Error& error, const Now& now) {
  for (PendingOperation& op : std::exchange(queue_, {}))
    if (op.done)
      core_.ready.emplace_back(
          [done = std::move(op.done), error] { done(tl::make_unexpected(error)); });
  queued_bytes_ = 0;
  for (Barrier& b : std::exchange(barriers_, {})) b.done(tl::make_unexpected(error), now);
}

void Session::check(const Now& now) {
  if (checking_ || now.mono < check_after_ || flights_.empty()) return;
  checking_ = true;
  check_after_ = now.mono + kCheckInterval;
  // Who is read from usually may stand still before the bundle: a root that is merely old verifies
  // and tells nothing. So the first question goes there, and each further one to the next replica.
  ReplicaSet avoid = 0;
  if (checks_ > 0) avoid = core_.replicas.all() & ~bit((checks_ - 1) % core_.replicas.n());
  ++checks_;
  ask_(
      id_, flights_.front().number, avoid,
      [this, id = id_](const Result<SessionEvidence>& evidence, const Now& later) {
        checking_ = false;
        if (evidence && state_ == State::open && id == id_) judge(*evidence, later);
      },
      now);
}

void Session::judge(const SessionEvidence& evidence, const Now& now) {
  if (!evidence.record) return lost(evidence.tombstone);
  if (flights_.empty()) return;
  if (evidence.stored) judge_stored(*evidence.stored, now);
  if (flights_.empty()) return;
  const Flight& front = flights_.front();
  if (core_.agreed_time(now) > front.valid_until_us + kStuckAfter &&
      evidence.record->last_bundle < front.number)
    lost(schema::Tombstone{.principal = {}, .last_bundle = evidence.record->last_bundle});
}

void Session::judge_stored(const schema::StoredResult& stored, const Now& now) {
  Flight* flight = find(stored.request_digest);
  if (flight == nullptr) return;
  if (!stored.complete) return unkept(*flight, stored.seq, now);
  auto result = decode<schema::BundleResult>(stored.results, "stored result");
  if (!result) return;  // certified bytes of a format that this client does not know
  finish(*flight, {std::move(*result), stored.seq, 0}, now);
}

void Session::lost(const std::optional<schema::Tombstone>& tombstone) {
  for (Flight& f : flights_) {
    if (f.resolved) continue;
    std::string outcome = "whether it happened is no longer known; look at the object";
    if (tombstone)
      outcome = f.number <= tombstone->last_bundle
                    ? "it was executed, but its result went with the session"
                    : "it was not executed and will not happen";
    fail_flight(f, {Errc::stale, "operation: the session has expired; " + outcome});
  }
  drop_session();
}

void Session::drop_session() {
  flights_.clear();
  id_ = {};
  state_ = State::none;
  probing_ = false;
  checks_ = 0;
  gather_until_ = 0;
}

}  // namespace bftmeta::client
