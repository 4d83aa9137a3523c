#include "adversary/strategy.hpp"

#include <numeric>

namespace bftmeta::adversary {

Strategy::Strategy(Identity identity) : id_(std::move(identity)), random_(id_.seed) {}

void Strategy::outgoing(ReplicaId to, Messages& messages, consensus::Now now) {
  now_ = now;
  for (const PeerMessage& m : messages) witness().saw(id_.config, id_.cluster_id, self(), m);
  send(to, messages);
}

bool Strategy::incoming(ReplicaId from, const PeerMessage& message, consensus::Now now) {
  now_ = now;
  if (!plot().includes(from)) witness().saw(id_.config, id_.cluster_id, from, message);
  return receive(from, message);
}

bool Strategy::tick(consensus::Now now) {
  now_ = now;
  return see_tick();
}

std::vector<consensus::Interceptor::Unasked> Strategy::unasked(consensus::Now now) {
  now_ = now;
  if (now.mono_us >= next_act_us_) {
    act();
    next_act_us_ = now.mono_us + period_us_;  // which act() may change
  }
  std::vector<Unasked> due = more();
  const std::size_t counted = due.size();  // by the strategy that it comes from
  while (!outbox_.empty() && outbox_.begin()->first <= now.mono_us)
    due.push_back(std::move(outbox_.extract(outbox_.begin()).mapped()));
  lie(due.size() - counted);
  return due;
}

std::uint64_t Strategy::deadline() const {
  const std::uint64_t act = period_us_ == 0 ? kNever : next_act_us_;
  const std::uint64_t next = std::min(act, more_at());
  return outbox_.empty() ? next : std::min(next, outbox_.begin()->first);
}

void Strategy::say_at(std::uint64_t at_us, ReplicaId to, PeerMessage message) {
  // A wedged receiver of a real process must not fill this one's memory.
  constexpr std::size_t kMaxOutbox = 16'384;
  if (outbox_.size() < kMaxOutbox) outbox_.emplace(at_us, Unasked{to, std::move(message)});
}

void Strategy::say_to_all(const PeerMessage& message) {
  for (ReplicaId to = 0; to < config().n(); ++to)
    if (to != self()) say(to, message);
}

void Strategy::unsettle() {
  const messages::PeerStatus* own = own_status();
  const auto& cut_power = plot().powers.cut_power;
  if (own == nullptr || !own->active || !cut_power) return;
  if (witness().certified() < settled_ || now_us() < settled_us_) return;
  if (id_.is_primary(own->view)) {
    leave(own->view);
  } else if (!cut_power()) {
    return;
  }
  settled_ = witness().certified() + 2;
  constexpr std::uint64_t kQuietUs = 300'000;
  settled_us_ = now_us() + kQuietUs;
}

std::vector<ReplicaId> Strategy::victims() const {
  std::vector<ReplicaId> all;
  for (ReplicaId r = 0; r < id_.config.n(); ++r)
    if (r != id_.self && !id_.conspiracy->includes(r)) all.push_back(r);
  return all;
}

std::vector<ReplicaId> Strategy::some_victims(std::size_t count, std::uint64_t salt) const {
  std::vector<ReplicaId> all = victims();
  // Colluders choose alike: their seed plays no part, the plot's lowest member's id does.
  sim::Random random(salt * 0x9e37'79b9 + id_.config.n());
  for (std::size_t i = all.size(); i > 1; --i) std::swap(all[i - 1], all[random.below(i)]);
  all.resize(std::min(count, all.size()));
  return all;
}

bool Strategy::chosen(ReplicaId to, std::size_t count, std::uint64_t salt) const {
  const auto some = some_victims(count, salt);
  return std::ranges::find(some, to) != some.end();
}

bool Strategy::in_first_half(ReplicaId to, std::uint64_t salt) const {
  return chosen(to, victims().size() / 2, salt);
}

}  // namespace bftmeta::adversary
