#include "consensus/new_view.hpp"

#include <algorithm>

#include "base/mutant.hpp"

namespace bftmeta::consensus {

using messages::Batch;
using messages::PreparedCert;
using messages::Seq;
using messages::ViewChange;

namespace {

// A defect on purpose: entries that not more than f of these votes show.
void drop_lonely(const std::vector<const ViewChange*>& votes,
                 std::map<Seq, const PreparedCert*>& entries) {
  std::erase_if(entries, [&](const auto& e) {
    const auto shows = [&](const ViewChange* vc) {
      return std::ranges::any_of(vc->prepared, [&](const PreparedCert& entry) {
        return entry.proposal.seq == e.first && entry.proposal.digest == e.second->proposal.digest;
      });
    };
    return 2 * static_cast<std::size_t>(std::ranges::count_if(votes, shows)) < votes.size();
  });
}

}  // namespace

Result<ReproposalPlan> plan_reproposals(const messages::EpochContext& context,
                                        const std::vector<const ViewChange*>& votes) {
  ReproposalPlan plan;
  plan.base_seq = context.start;
  for (const ViewChange* vc : votes) {
    const Seq base = vc->base_seq(context.start);
    const bool better = mutant(Mutant::stale_base_believed)
                            ? vc == votes.front() || base < plan.base_seq
                            : base > plan.base_seq && !mutant(Mutant::base_ignored);
    if (!better) continue;
    plan.base_seq = base;
    plan.base = vc->base;
  }
  std::map<Seq, const PreparedCert*> highest;
  for (const ViewChange* vc : votes) {
    for (const PreparedCert& entry : vc->prepared) {
      const messages::Proposal& p = entry.proposal;
      if (p.seq <= plan.base_seq) continue;
      const auto [it, inserted] = highest.try_emplace(p.seq, &entry);
      if (inserted) continue;
      const messages::Proposal& best = it->second->proposal;
      if (best.view == p.view && best.digest != p.digest)
        return fail(Errc::internal, "sequence number " + std::to_string(p.seq) +
                                        ": two prepared certificates of view " +
                                        std::to_string(p.view) +
                                        " differ: more than f replicas are faulty");
      const bool better =
          mutant(Mutant::lowest_view_chosen) ? p.view < best.view : p.view > best.view;
      if (better) it->second = &entry;
    }
  }
  if (mutant(Mutant::p_entry_needs_two)) drop_lonely(votes, highest);
  if (highest.empty()) return plan;
  for (Seq s = plan.base_seq + 1; s <= highest.rbegin()->first; ++s) {
    const auto it = highest.find(s);
    if (it == highest.end() && mutant(Mutant::gap_not_filled)) continue;
    plan.digests[s] = it == highest.end() ? messages::batch_digest(context, Batch::null(s))
                                          : it->second->proposal.digest;
  }
  return plan;
}

}  // namespace bftmeta::consensus
