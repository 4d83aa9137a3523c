// What replicas sign, made by a test that holds their keys. Thread-safety: pure functions.
#pragma once

#include <doctest/doctest.h>

#include "consensus/new_view.hpp"

namespace bftmeta::consensus::testing {

inline messages::ViewChange signed_view_change(const crypto::Signer& signer,
                                               const crypto::Context& context,
                                               messages::ReplicaId who, messages::View view,
                                               std::optional<messages::RootCert> base,
                                               std::vector<messages::PreparedCert> entries) {
  messages::ViewChange vc;
  vc.new_view = view;
  vc.replica = who;
  vc.base = std::move(base);
  vc.prepared = std::move(entries);
  messages::sign_view_change(signer, context, vc);
  return vc;
}

// The correct one that follows from these votes.
inline messages::NewView signed_new_view(const crypto::Signer& primary,
                                         const messages::EpochContext& context, messages::View view,
                                         const std::vector<messages::ViewChange>& votes) {
  messages::NewView nv;
  nv.view = view;
  std::vector<const messages::ViewChange*> pointers;
  for (const messages::ViewChange& vc : votes) {
    nv.votes.push_back({vc.replica, vc.digest()});
    pointers.push_back(&vc);
  }
  const auto plan = plan_reproposals(context, pointers);
  REQUIRE(plan.has_value());
  nv.base_seq = plan->base_seq;
  for (const auto& [seq, digest] : plan->digests)
    nv.proposals.push_back(
        {seq, digest, messages::sign_pre_prepare(primary, context, {view, seq, digest})});
  messages::sign_new_view(primary, context, nv);
  return nv;
}

}  // namespace bftmeta::consensus::testing
