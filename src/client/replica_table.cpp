#include "client/replica_table.hpp"

#include <algorithm>
#include <utility>

namespace bftmeta::client {

ReplicaTable::ReplicaTable(const config::Config& config, std::uint64_t seed)
    : config_(config), entries_(config.n()) {
  random_.seed(static_cast<std::minstd_rand::result_type>(seed ^ (seed >> 32)));
}

Renumbering::Renumbering(const config::Config& from, const config::Config& to) {
  for (const config::Replica& replica : from.replicas)
    to_.push_back(config::position_of(to, replica.vote_key));
}

ReplicaSet Renumbering::set(ReplicaSet before) const {
  ReplicaSet after = 0;
  for (ReplicaId r = 0; r < to_.size(); ++r)
    if ((before & bit(r)) != 0 && to_[r]) after |= bit(*to_[r]);
  return after;
}

void ReplicaTable::follow(const Renumbering& moved) {
  const std::vector<Entry> before = std::exchange(entries_, std::vector<Entry>(config_.n()));
  for (ReplicaId r = 0; r < before.size(); ++r) {
    const auto to = moved.position(r);
    if (!to) continue;
    entries_[*to] = before[r];
    entries_[*to].view = 0;
  }
  view_ = 0;
  if (preferred_) preferred_ = moved.position(*preferred_);
}

void ReplicaTable::note_view(ReplicaId replica, messages::View view) {
  entries_[replica].view = view;
  std::vector<messages::View> views;
  for (const Entry& e : entries_) views.push_back(e.view);
  std::ranges::sort(views, std::greater<>());
  view_ = views[f()];
}

void ReplicaTable::blacklist(ReplicaId replica, Micros now) {
  entries_[replica].blacklisted_until = now + kBlacklist;
  if (preferred_ == replica) preferred_.reset();
}

bool ReplicaTable::blacklisted(ReplicaId replica, Micros now) const {
  return now < entries_[replica].blacklisted_until;
}

bool ReplicaTable::all_blacklisted(Micros now) const {
  return std::ranges::all_of(entries_, [now](const Entry& e) { return now < e.blacklisted_until; });
}

std::optional<ReplicaId> ReplicaTable::choose_reader(Micros now, ReplicaSet avoid,
                                                     ReplicaSet connected) {
  std::vector<ReplicaId> open;
  std::vector<ReplicaId> closed;
  for (ReplicaId r = 0; r < n(); ++r) {
    if ((avoid & bit(r)) != 0 || blacklisted(r, now)) continue;
    ((connected & bit(r)) != 0 ? open : closed).push_back(r);
  }
  const std::vector<ReplicaId>& candidates = open.empty() ? closed : open;
  if (candidates.empty()) return std::nullopt;
  if (preferred_ && std::ranges::find(candidates, *preferred_) != candidates.end())
    return preferred_;
  const ReplicaId a = candidates[random_() % candidates.size()];
  const ReplicaId b = candidates[random_() % candidates.size()];
  const ReplicaId better = entries_[b].score < entries_[a].score ? b : a;
  // A hedge or a retry must not move the others' reads away from a replica that is merely late.
  if (!preferred_) preferred_ = better;
  return better;
}

void ReplicaTable::note_read(ReplicaId replica, Micros latency) {
  Micros& score = entries_[replica].score;
  score = score == 0 ? latency : score - score / 8 + latency / 8;
  reads_.add(latency);
}

void ReplicaTable::note_bad_read(ReplicaId replica) {
  Micros& score = entries_[replica].score;
  score = std::clamp<Micros>(2 * score, 1000, 10'000'000);
  if (preferred_ == replica) preferred_.reset();
}

}  // namespace bftmeta::client
