#include "client/fresh_rounds.hpp"

#include <algorithm>

namespace bftmeta::client {

namespace {

// An answer is held back until a certificate comes, under load a fraction of a batch.
constexpr Micros kLeastRound = 50'000;

messages::Seq claimed_seq(const messages::FreshReply& reply) {
  const auto* cert = std::get_if<messages::RootCert>(&reply.newest);
  return cert == nullptr ? 0 : cert->body.seq;
}

}  // namespace

Micros FreshRounds::timeout() const { return rounds_.timeout(kLeastRound); }

// Of replicas that were not caught lying.
bool FreshRounds::quorum_possible(const Now& now) const {
  std::uint32_t honest = 0;
  for (ReplicaId r = 0; r < core_.replicas.n(); ++r)
    if (!core_.replicas.blacklisted(r, now.mono)) ++honest;
  return honest >= core_.replicas.quorum();
}

void FreshRounds::start(const Now& now) {
  Round round;
  crypto::random_bytes(round.query.nonce);
  round.query.epoch = core_.context.epoch;
  if (const messages::RootCert* known = core_.certificates.newest()) {
    round.query.known_cert = known->body.seq;
    round.known_digest = known->body.digest();
  }
  round.started = now.mono;
  round.ends = now.mono + timeout();
  round.waiting = std::exchange(waiting_, {});
  round_ = std::move(round);
  core_.send_all(messages::encode_frame(core_.context, messages::ClientMessage(round_->query)));
}

// The number that a valid answer stands for. An old certificate is valid: it only does not help.
Result<messages::Seq> FreshRounds::verify(const messages::FreshReply& reply) {
  const auto refuse = [](const std::string& why) {
    return fail(Errc::unverified, "newest certificate: " + why);
  };
  if (reply.epoch != round_->query.epoch)
    return refuse("the answer is of epoch " + std::to_string(reply.epoch) + ", asked for was " +
                  std::to_string(round_->query.epoch));
  if (const auto* cert = std::get_if<messages::RootCert>(&reply.newest)) {
    BFTMETA_TRY(core_.certificates.check(*cert));
    return cert->body.seq;
  }
  if (const auto* digest = std::get_if<Hash>(&reply.newest)) {
    if (round_->query.known_cert == 0 || *digest != round_->known_digest)
      return refuse("its digest is not that of the certificate " +
                    std::to_string(round_->query.known_cert) + ", which this client holds");
    return round_->query.known_cert;
  }
  return messages::Seq{0};
}

void FreshRounds::on_reply(ReplicaId from, const messages::FreshReply& reply, ByteView evidence,
                           const Now& now) {
  if (!round_ || reply.nonce != round_->query.nonce) return;  // to a round that is over
  if ((round_->heard & bit(from)) != 0 || core_.replicas.blacklisted(from, now.mono)) return;
  const auto seq = verify(reply);
  const auto* cert = std::get_if<messages::RootCert>(&reply.newest);
  if (!seq && cert != nullptr && core_.outdated(*cert)) return;
  if (!seq) return core_.blame(from, claimed_seq(reply), seq.error(), evidence, now.mono);
  round_->heard |= bit(from);
  round_->newest = std::max(round_->newest, *seq);
  if (count(round_->heard) < core_.replicas.quorum()) return;
  // Behind the end of the epoch its members know nothing: the next ones have to be asked.
  if (epoch_ends_with(round_->newest)) return give_up(now);
  succeed(now);
}

bool FreshRounds::epoch_ends_with(messages::Seq seq) const {
  const messages::RootCert* cert = core_.certificates.find(seq);
  return cert != nullptr && cert->body.epoch == core_.context.epoch &&
         cert->body.next_config_hash != Hash{};
}

void FreshRounds::succeed(const Now& now) {
  const Round round = *std::exchange(round_, std::nullopt);
  rounds_.add(now.mono - round.started);
  for (const Waiting& w : round.waiting) {
    // Before the first certificate there is no root to prove anything against.
    if (round.newest == 0)
      fall_back_(w.barrier);
    else
      w.barrier.done(round.newest, now);
  }
}

void FreshRounds::give_up(const Now& now) {
  Round round = *std::exchange(round_, std::nullopt);
  const bool possible = quorum_possible(now);
  for (Waiting& w : round.waiting) {
    if (++w.failed >= kMaxFailedRounds || !possible)
      fall_back_(std::move(w.barrier));
    else
      waiting_.push_back(std::move(w));
  }
}

void FreshRounds::expire(std::vector<Waiting>& waiting, const Now& now) {
  const auto late = std::ranges::partition(
      waiting, [&](const Waiting& w) { return now.mono < w.barrier.deadline; });
  std::vector<Waiting> expired(std::make_move_iterator(late.begin()),
                               std::make_move_iterator(late.end()));
  waiting.erase(late.begin(), late.end());
  for (const Waiting& w : expired)
    w.barrier.done(
        fail(Errc::unreachable, "read: no quorum of replicas named its newest certificate within " +
                                    std::to_string(core_.options.timeout.count()) + " ms"),
        now);
}

void FreshRounds::follow() {
  if (!round_) return;
  std::vector<Waiting> first = std::exchange(round_, std::nullopt)->waiting;
  first.insert(first.end(), std::make_move_iterator(waiting_.begin()),
               std::make_move_iterator(waiting_.end()));
  waiting_ = std::move(first);
}

void FreshRounds::on_connected(ReplicaId replica) {
  if (round_ && (round_->heard & bit(replica)) == 0) core_.send(replica, round_->query);
}

void FreshRounds::poll(const Now& now) {
  if (round_) expire(round_->waiting, now);
  expire(waiting_, now);
  if (round_ && (now.mono >= round_->ends || !quorum_possible(now))) give_up(now);
  if (round_ || waiting_.empty()) return;
  if (quorum_possible(now)) return start(now);
  for (Waiting& w : std::exchange(waiting_, {})) fall_back_(std::move(w.barrier));
}

Micros FreshRounds::next_wake() const {
  Micros wake = kNever;
  for (const Waiting& w : waiting_) wake = std::min(wake, w.barrier.deadline);
  if (!round_) return wake;
  for (const Waiting& w : round_->waiting) wake = std::min(wake, w.barrier.deadline);
  return std::min(wake, round_->ends);
}

void FreshRounds::fail_all(const Error& error, const Now& now) {
  std::vector<Waiting> all = std::exchange(waiting_, {});
  if (auto round = std::exchange(round_, std::nullopt))
    all.insert(all.end(), round->waiting.begin(), round->waiting.end());
  for (const Waiting& w : all) w.barrier.done(tl::make_unexpected(error), now);
}

}  // namespace bftmeta::client
