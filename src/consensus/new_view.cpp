#include "consensus/new_view.hpp"

#include "base/mutant.hpp"

namespace bftmeta::consensus {

using messages::Batch;
using messages::PreparedCert;
using messages::Seq;
using messages::ViewChange;

Result<ReproposalPlan> plan_reproposals(const messages::EpochContext& context,
                                        const std::vector<const ViewChange*>& votes) {
  ReproposalPlan plan;
  plan.base_seq = context.start;
  for (const ViewChange* vc : votes) {
    if (vc->base_seq(context.start) <= plan.base_seq || mutant(Mutant::base_ignored)) continue;
    plan.base_seq = vc->base_seq();
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
