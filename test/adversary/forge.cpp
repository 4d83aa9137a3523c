#include "adversary/forge.hpp"

#include "consensus/new_view.hpp"

namespace bftmeta::adversary::forge {

using messages::Batch;
using messages::NewView;
using messages::Prepare;
using messages::PreparedCert;
using messages::PrePrepare;
using messages::RootShare;
using messages::ViewChange;

PrePrepare proposal(const Identity& id, View view, Batch batch) {
  PrePrepare p;
  p.proposal = {view, batch.seq, messages::batch_digest(id.context(), batch)};
  p.signature = messages::sign_pre_prepare(*id.signer, id.context(), p.proposal);
  p.batch = std::move(batch);
  return p;
}

messages::Commit commit(const PrePrepare& p) { return {p.proposal}; }

Batch another(Batch batch, sim::Random& random) {
  switch (random.below(3)) {
    case 0:
      if (batch.items.size() > 1) {
        std::ranges::reverse(batch.items);
        break;
      }
      [[fallthrough]];
    case 1:
      if (!batch.items.empty()) {
        batch.items.pop_back();
        break;
      }
      [[fallthrough]];
    default: batch.time_us += 1 + random.below(1000);
  }
  return batch;
}

ViewChange view_change(const Identity& id, View view, std::optional<messages::RootCert> base,
                       std::vector<PreparedCert> prepared, messages::Reason reason) {
  ViewChange vc;
  vc.new_view = view;
  vc.replica = id.self;
  vc.base = std::move(base);
  vc.prepared = std::move(prepared);
  vc.reason = reason;
  messages::sign_view_change(*id.signer, id.context(), vc);
  return vc;
}

ViewChange view_change(const Identity& id, View view) {
  const Witness& witness = id.conspiracy->witness;
  std::optional<messages::RootCert> base;
  if (const auto* cert = witness.newest_cert()) base = *cert;
  return view_change(id, view, base, witness.prepared(id.config, witness.certified(), view),
                     messages::Reason::abdication);
}

std::optional<NewView> new_view(const Identity& id, View view, std::vector<ViewChange> votes) {
  const std::uint32_t quorum = id.config.quorum();
  if (votes.size() < quorum) return std::nullopt;
  votes.resize(quorum);
  std::ranges::sort(votes, {}, &ViewChange::replica);
  std::vector<const ViewChange*> pointers;
  for (const ViewChange& vc : votes) pointers.push_back(&vc);
  const auto plan = consensus::plan_reproposals(id.context(), pointers);
  if (!plan) return std::nullopt;
  NewView nv;
  nv.view = view;
  nv.base_seq = plan->base_seq;
  for (const ViewChange& vc : votes) nv.votes.push_back({vc.replica, vc.digest()});
  for (const auto& [seq, digest] : plan->digests) nv.proposals.push_back({seq, digest, {}});
  PeerMessage message = std::move(nv);
  sign_again(id, message);
  return std::get<NewView>(std::move(message));
}

namespace {

void sign_entry(const Identity& id, PreparedCert& entry) {
  if (id.is_primary(entry.proposal.view))
    entry.primary_signature = messages::sign_pre_prepare(*id.signer, id.context(), entry.proposal);
  std::size_t at = 0;
  for (ReplicaId r = 0; r < id.self; ++r) at += entry.backups >> r & 1;
  if ((entry.backups >> id.self & 1) != 0 && at < entry.signatures.size())
    entry.signatures[at] =
        messages::sign_prepare(*id.signer, id.context(), entry.proposal, id.self).signature;
}

}  // namespace

void sign_again(const Identity& id, PeerMessage& message) {
  const auto context = id.context();
  if (auto* p = std::get_if<PrePrepare>(&message)) {
    if (id.is_primary(p->proposal.view))
      p->signature = messages::sign_pre_prepare(*id.signer, context, p->proposal);
  } else if (auto* prepare = std::get_if<Prepare>(&message)) {
    if (prepare->replica == id.self)
      *prepare = messages::sign_prepare(*id.signer, context, prepare->proposal, id.self);
  } else if (auto* share = std::get_if<RootShare>(&message)) {
    if (share->replica == id.self) *share = messages::sign_share(*id.signer, share->body, id.self);
  } else if (auto* vc = std::get_if<ViewChange>(&message)) {
    if (vc->replica != id.self) return;
    for (PreparedCert& entry : vc->prepared) sign_entry(id, entry);
    messages::sign_view_change(*id.signer, context, *vc);
  } else if (auto* nv = std::get_if<NewView>(&message)) {
    if (!id.is_primary(nv->view)) return;
    for (messages::Reproposal& r : nv->proposals)
      r.signature = messages::sign_pre_prepare(*id.signer, context, {nv->view, r.seq, r.digest});
    messages::sign_new_view(*id.signer, context, *nv);
  }
}

messages::Item bundle(const Identity& id, const Id16& session, std::uint64_t number,
                      std::uint64_t valid_until_us) {
  messages::Bundle b;
  b.session_id = session;
  b.client = id.conspiracy->client->signer->public_key();
  b.bundle_no = number;
  b.valid_until_us = valid_until_us;
  b.operations.emplace_back();
  return messages::sign_bundle(*id.conspiracy->client->signer, id.cluster_id, b);
}

Hash random_hash(sim::Random& random) {
  Hash h;
  for (std::uint8_t& byte : h) byte = static_cast<std::uint8_t>(random.next());
  return h;
}

}  // namespace bftmeta::adversary::forge
