#include "admin/change_progress.hpp"

#include <algorithm>

#include "config/change.hpp"

namespace bftmeta::admin {

namespace {

using Ids = std::vector<std::uint32_t>;

std::string text_of(const Ids& ids) {
  std::string text;
  for (const std::uint32_t id : ids) text += (text.empty() ? "" : ", ") + std::to_string(id);
  return text.empty() ? "none" : text;
}

// Of the next configuration, by their numbers there, those who join first.
std::string who_is_not_ready(const config::Config& now, const schema::PendingChange& change) {
  const Ids joins = config::difference(now, change.next).joining;
  Ids joining;
  Ids staying;
  for (const config::Replica& r : change.next.replicas) {
    if ((change.ready >> r.id & 1) != 0) continue;
    (std::ranges::find(joins, r.id) != joins.end() ? joining : staying).push_back(r.id);
  }
  return "joining replicas that are not ready: " + text_of(joining) +
         "; others that are not: " + text_of(staying);
}

// Of the members of now, by what they say of themselves.
std::string who_is_behind(const ClusterStatus& status, messages::Seq goal) {
  Ids silent;
  Ids behind;
  for (std::uint32_t id = 0; id < status.replicas.size(); ++id) {
    const auto& reply = status.replicas[id];
    if (!reply) silent.push_back(id);
    if (reply && reply->executed_seq < goal) behind.push_back(id);
  }
  return "members of now that do not answer: " + text_of(silent) +
         (goal == 0 ? "" : "; that have not executed it: " + text_of(behind));
}

}  // namespace

std::string quorum_text(const config::Config& config) {
  return std::to_string(config.quorum()) + " of " + std::to_string(config.n());
}

std::string change_progress(const config::Config& now, const config::Config& next,
                            const std::optional<ns::MembershipAnswer>& heard,
                            const ClusterStatus& status) {
  const std::string quorums =
      "quorum " + quorum_text(now) + " before, " + quorum_text(next) + " after; ";
  if (!heard) return quorums + "nothing was heard of it; " + who_is_behind(status, 0);
  if (!heard->pending)
    return quorums + "a quorum of both has to sign the last batch; " + who_is_behind(status, 0);
  const messages::Seq end = heard->pending->epoch_end_seq;
  const std::string not_ready = who_is_not_ready(now, *heard->pending);
  if (end == 0)
    return quorums + not_ready + "; needed are all that join, and " + quorum_text(next) + "; " +
           who_is_behind(status, 0);
  return quorums + "a quorum of both has to sign the last batch, number " + std::to_string(end) +
         "; " + who_is_behind(status, end) + "; " + not_ready;
}

}  // namespace bftmeta::admin
