#include "messages/agreement.hpp"

#include <bit>

#include "base/mutant.hpp"

namespace bftmeta::messages {

namespace {

struct PrepareBody {
  Proposal proposal;
  ReplicaId replica = 0;
  template <class V, class Self>
  static void fields(V& v, Self& s) {
    v.field("proposal", s.proposal);
    v.field("replica", s.replica);
  }
};

Bytes prepare_body(const Proposal& proposal, ReplicaId replica) {
  return encode(PrepareBody{proposal, replica});
}

// Encodes everything but the signature, through the same list of fields.
template <class T>
Bytes unsigned_body(const T& message) {
  Bytes out;
  codec::Encoder e(out);
  T::body_fields(e, message);
  return out;
}

tl::unexpected<Error> bad(const char* what, const std::string& why) {
  return fail(Errc::unverified, std::string(what) + ": " + why);
}

}  // namespace

bool valid_value(Reason r) { return r <= Reason::slow_primary; }

Hash ViewChange::body_digest() const {
  return crypto::Hasher(tags::Domain::view_change).update(unsigned_body(*this)).finish();
}

Hash ViewChange::digest() const { return crypto::hash_of(tags::Domain::view_change, *this); }

Hash NewView::body_digest() const {
  return crypto::Hasher(tags::Domain::new_view).update(unsigned_body(*this)).finish();
}

Signature sign_pre_prepare(const crypto::Signer& signer, const crypto::Context& context,
                           const Proposal& proposal) {
  return signer.sign(tags::kPrePrepare, context, encode(proposal));
}

bool verify_pre_prepare(const crypto::Verifier& verifier, const crypto::Context& context,
                        const config::Config& config, const Proposal& proposal,
                        const Signature& signature) {
  const PublicKey& key = config.replicas[config.primary(proposal.view)].vote_key;
  return verifier.verify(key, tags::kPrePrepare, context, encode(proposal), signature);
}

Prepare sign_prepare(const crypto::Signer& signer, const crypto::Context& context,
                     const Proposal& proposal, ReplicaId replica) {
  return {proposal, replica, signer.sign(tags::kPrepare, context, prepare_body(proposal, replica))};
}

bool verify_prepare(const crypto::Verifier& verifier, const crypto::Context& context,
                    const config::Config& config, const Prepare& prepare) {
  if (prepare.replica >= config.n() || prepare.replica == config.primary(prepare.proposal.view))
    return false;
  return verifier.verify(config.replicas[prepare.replica].vote_key, tags::kPrepare, context,
                         prepare_body(prepare.proposal, prepare.replica), prepare.signature);
}

bool verify_prepared(const crypto::Verifier& verifier, const crypto::Context& context,
                     const config::Config& config, const PreparedCert& prepared) {
  const Proposal& p = prepared.proposal;
  const std::uint32_t primary = config.primary(p.view);
  const auto backups = static_cast<std::uint32_t>(std::popcount(prepared.backups));
  if (prepared.backups >> config.n() != 0 || (prepared.backups >> primary & 1) != 0 ||
      backups != 2 * config.f() || prepared.signatures.size() != backups)
    return false;
  if (!verify_pre_prepare(verifier, context, config, p, prepared.primary_signature)) return false;
  std::size_t next = 0;
  for (ReplicaId r = 0; r < config.n(); ++r) {
    if ((prepared.backups >> r & 1) == 0) continue;
    if (!verify_prepare(verifier, context, config, {p, r, prepared.signatures[next++]}))
      return false;
  }
  return true;
}

void sign_view_change(const crypto::Signer& signer, const crypto::Context& context,
                      ViewChange& vc) {
  vc.signature = signer.sign(tags::kViewChange, context, vc.body_digest());
}

Status verify_view_change(const crypto::Verifier& verifier, const EpochContext& context,
                          const config::Config& config, const ViewChange& vc) {
  constexpr const char* kWhat = "VIEW-CHANGE";
  if (vc.replica >= config.n()) return bad(kWhat, "sender is not a member");
  if (vc.new_view == 0 || vc.new_view > kMaxView) return bad(kWhat, "no such view");
  if (!verifier.verify(config.replicas[vc.replica].vote_key, tags::kViewChange, context,
                       vc.body_digest(), vc.signature))
    return bad(kWhat, "signature");
  if (vc.base) {
    BFTMETA_TRY(verify_cert(verifier, context.cluster_id, config, *vc.base));
  }
  const Seq base = vc.base_seq(context.start);
  Seq last = base;
  for (const PreparedCert& p : vc.prepared) {
    if (p.proposal.seq <= last)
      return bad(kWhat, "entries are not in ascending order above the base");
    if (p.proposal.seq > base + limits::kWindow) return bad(kWhat, "entry beyond the window");
    if (p.proposal.view >= vc.new_view) return bad(kWhat, "entry of a view that is not older");
    if (!mutant(Mutant::p_entry_unchecked) && !verify_prepared(verifier, context, config, p))
      return bad(kWhat, "entry is no proof");
    last = p.proposal.seq;
  }
  return {};
}

std::uint64_t signatures_in(const config::Config& config, const ViewChange& vc) {
  return 1 + (vc.base ? config.quorum() : 0) + vc.prepared.size() * (2 * config.f() + 1);
}

void sign_new_view(const crypto::Signer& signer, const crypto::Context& context, NewView& nv) {
  nv.signature = signer.sign(tags::kNewView, context, nv.body_digest());
}

bool new_view_signed(const crypto::Verifier& verifier, const crypto::Context& context,
                     const config::Config& config, const NewView& nv) {
  return verifier.verify(config.replicas[config.primary(nv.view)].vote_key, tags::kNewView, context,
                         nv.body_digest(), nv.signature);
}

Status verify_new_view(const crypto::Verifier& verifier, const crypto::Context& context,
                       const config::Config& config, const NewView& nv) {
  constexpr const char* kWhat = "NEW-VIEW";
  if (nv.view == 0 || nv.view > kMaxView) return bad(kWhat, "no such view");
  if (nv.votes.size() != config.quorum()) return bad(kWhat, "not exactly a quorum of votes");
  for (std::size_t i = 0; i < nv.votes.size(); ++i) {
    if (nv.votes[i].replica >= config.n()) return bad(kWhat, "vote of a replica that is no member");
    if (i > 0 && nv.votes[i].replica <= nv.votes[i - 1].replica)
      return bad(kWhat, "votes are not in ascending order");
  }
  if (!new_view_signed(verifier, context, config, nv)) return bad(kWhat, "signature");
  Seq expected = nv.base_seq + 1;
  for (const Reproposal& p : nv.proposals) {
    if (p.seq != expected++) return bad(kWhat, "proposals have a gap");
    if (!verify_pre_prepare(verifier, context, config, {nv.view, p.seq, p.digest}, p.signature))
      return bad(kWhat, "signature of a proposal");
  }
  return {};
}

}  // namespace bftmeta::messages
