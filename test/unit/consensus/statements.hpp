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

// As many bytes as bundles of this form can make of a batch: 490 KiB, of sessions that nobody
// opened.
inline std::vector<messages::Item> large_items(const crypto::Signer& client, const Hash& cluster_id,
                                               std::uint64_t bundle_no) {
  schema::SetXattr set;
  set.name = to_bytes("user.k");
  set.value = Bytes(limits::kMaxXattrValue);
  std::vector<messages::Item> items;
  for (std::uint8_t i = 0; i < 8; ++i) {
    messages::Bundle b;
    b.session_id = Id16{i};
    b.client = client.public_key();
    b.bundle_no = bundle_no;
    b.valid_until_us = ~0ULL >> 1;
    b.operations.assign(15, {{}, set});
    items.push_back(messages::sign_bundle(client, cluster_id, b));
  }
  return items;
}

}  // namespace bftmeta::consensus::testing
