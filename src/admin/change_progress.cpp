#include "admin/change_progress.hpp"

#include <algorithm>

#include "config/change.hpp"

namespace bftmeta::admin {

namespace {

using Ids = std::vector<std::uint32_t>;

std::string seconds_left(std::uint64_t us) {
  return us == messages::kUnknownUs ? "" : ", about " + std::to_string(us / 1'000'000) + " s left";
}

// What it does, as it says: first the state, then the blocks.
std::string text_of(const messages::Learning& learning) {
  const messages::TransferProgress& t = learning.transfer;
  const messages::BlocksProgress& b = learning.blocks;
  if (learning.seq != 0)
    return "has the state of " + std::to_string(learning.seq) +
           (t.running ? ", fetches a newer one" : "") + "; blocks: " + std::to_string(b.checked) +
           " looked for, " + std::to_string(b.missing) + " missing, " +
           std::to_string(b.fetched_bytes) + " bytes fetched" +
           (b.running ? seconds_left(b.left_us) : "");
  return "fetches the state: " + std::to_string(t.received_bytes) + " bytes, " +
         std::to_string(t.leaves) + " of " +
         (t.target_leaves == 0 ? "unknown" : std::to_string(t.target_leaves)) + " leaves" +
         seconds_left(t.left_us);
}

// "4, 6 (fetches the state: ...)"
std::string text_of(const Ids& ids, const std::map<std::uint32_t, messages::Learning>& heard = {}) {
  std::string text;
  for (const std::uint32_t id : ids) {
    text += (text.empty() ? "" : ", ") + std::to_string(id);
    if (const auto it = heard.find(id); it != heard.end()) text += " (" + text_of(it->second) + ")";
  }
  return text.empty() ? "none" : text;
}

// Of the next configuration, by their numbers there, those who join first.
std::string who_is_not_ready(const config::Config& now, const schema::PendingChange& change,
                             const ClusterStatus& status) {
  const Ids joins = config::difference(now, change.next).joining;
  Ids joining;
  Ids staying;
  for (const config::Replica& r : change.next.replicas) {
    if ((change.ready >> r.id & 1) != 0) continue;
    (std::ranges::find(joins, r.id) != joins.end() ? joining : staying).push_back(r.id);
  }
  return "joining replicas that are not ready: " + text_of(joining, admin::joining(status)) +
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
  const std::string not_ready = who_is_not_ready(now, *heard->pending, status);
  if (end == 0)
    return quorums + not_ready + "; needed are all that join, and " + quorum_text(next) + "; " +
           who_is_behind(status, 0);
  return quorums + "a quorum of both has to sign the last batch, number " + std::to_string(end) +
         "; " + who_is_behind(status, end) + "; " + not_ready;
}

}  // namespace bftmeta::admin
